"""From what is observed to the steps that put a site under maintenance or end it."""

from __future__ import annotations

from wharfinger.facts import Observed
from wharfinger.planning import Plan
from wharfinger.planning.changes import serving
from wharfinger.steps.maintenance import CloseSite, OpenSite
from wharfinger.steps.recovery import CloseJournal


def plan_maintenance(step: CloseSite | OpenSite, observed: Observed) -> Plan:
    """Decide how to close or open a site.

    An earlier maintenance that was cut off is settled by this one. What is left of a deploy stays for `recover`:
    whoever closes a site because of it must not have to wait for that.
    """
    why = "it is closed for visitors" if isinstance(step, CloseSite) else "it is opened for visitors"
    superseded = (run for run in observed.cut_off if run.action == "maintenance")
    closing = (CloseJournal(run.journal, "reverted") for run in superseded)
    return Plan("maintenance", observed.current or "", (step, *closing), (why,), serving(observed))
