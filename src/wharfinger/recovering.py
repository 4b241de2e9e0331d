"""Finishing or reverting what was cut off, without deploying anything."""

from __future__ import annotations

from wharfinger.carrying_out import Consent, carry_out, recovery
from wharfinger.connecting import connect_all
from wharfinger.console import Console
from wharfinger.project import Place


def recover(place: Place, console: Console, *, consent: Consent) -> None:
    """Put right what a run that was killed left behind, and say whether it was finished or reverted.

    Raises LockHeld where the run goes on: only the lock of a process that has ended is taken over.
    """
    with connect_all(place) as servers:
        plan = carry_out(lambda: recovery(servers), place, servers, console, consent).plan
        if not plan.steps:
            console.say("nothing to recover")
        elif not consent.plan_only:
            serves = (
                f"release {plan.release} serves at {place.environment.url}" if plan.release else "nothing is deployed"
            )
            console.say(f"recovered; {serves}")
