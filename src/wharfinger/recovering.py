"""Finishing or reverting what was cut off, without deploying anything."""

from __future__ import annotations

from wharfinger.carrying_out import Consent, carry_out
from wharfinger.connecting import connect
from wharfinger.console import Console
from wharfinger.facts import observe
from wharfinger.planning import Plan
from wharfinger.planning.recovery import plan_recovery
from wharfinger.project import Place


def recover(place: Place, console: Console, *, consent: Consent) -> None:
    """Put right what a run that was killed left behind, and say whether it was finished or reverted.

    Raises LockHeld where the run goes on: only the lock of a process that has ended is taken over.
    """
    with connect(place) as server:
        layout = server.layout
        paths = (layout.site, layout.live, layout.current / "site.conf")

        def make_plan() -> Plan:
            return plan_recovery(observe(server.host, server.engine, server.edge, layout, paths), layout)

        plan = carry_out(make_plan, place, place.stack, server, console, consent).plan
        if not plan.steps:
            console.say("nothing to recover")
        elif not consent.plan_only:
            serves = (
                f"release {plan.release} serves at {place.environment.url}" if plan.release else "nothing is deployed"
            )
            console.say(f"recovered; {serves}")
