"""Putting right what a deploy that was cut off left behind."""

from __future__ import annotations

from collections.abc import Iterator

from wharfinger.facts import Observed
from wharfinger.model.release import SLOTS, Live, Slot
from wharfinger.steps import Step
from wharfinger.steps.app import Retire
from wharfinger.steps.edge import Switch


def leftovers(observed: Observed) -> tuple[str, ...]:
    """Return the releases whose app tiers run without being current."""
    return tuple(release for release in observed.tiers if release != observed.current)


def recovery_steps(observed: Observed) -> Iterator[Step]:
    """Yield the steps that bring the traffic back to the current release and remove all other app tiers."""
    live, current = observed.live, observed.current
    slot = _slot_of(observed, current)
    if current is not None and slot is not None and live is not None and live.release != current:
        # No way back: should the deploy fail later, the tier that the traffic comes from is gone.
        yield Switch(current, slot, None, probes=())
    for release in leftovers(observed):
        if release not in tiers_after(observed):
            yield Retire(release, drain=0)


def tiers_after(observed: Observed) -> tuple[str, ...]:
    """Return the releases whose app tiers there are once `recovery_steps` are done.

    That is the current one's; and where it is down, that of another which the traffic still goes to.
    """
    live = live_after(observed)
    return tuple(tier for tier in observed.tiers if tier == observed.current or (live and tier == live.release))


def slot_in_use(observed: Observed) -> Slot | None:
    """Return the slot that serves once `recovery_steps` are done."""
    return _slot_of(observed, observed.current) or (observed.live.slot if observed.live else None)


def live_after(observed: Observed) -> Live | None:
    """Return where the traffic goes once `recovery_steps` are done."""
    slot = _slot_of(observed, observed.current)
    return Live(slot, observed.current) if slot is not None and observed.current is not None else observed.live


def _slot_of(observed: Observed, release: str | None) -> Slot | None:
    """Return the slot in which a release runs; None unless a container of it is up."""
    up = [container.slot for container in observed.tiers.get(release or "", ()) if container.state == "running"]
    return next((slot for slot in SLOTS if slot in up), None)
