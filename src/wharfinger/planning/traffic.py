"""How the traffic moves to another tier."""

from __future__ import annotations

from collections.abc import Iterator

from wharfinger.facts import Observed
from wharfinger.model.release import Layout, Live
from wharfinger.model.stack import Stack
from wharfinger.planning.recovery import live_after, site_after
from wharfinger.planning.wanted import Wanted
from wharfinger.steps import Step
from wharfinger.steps.edge import PutSite, Switch


def traffic_steps(wanted: Wanted, observed: Observed, layout: Layout, live: Live) -> Iterator[Step]:
    """Yield the steps that move the traffic to a tier which runs in `live.slot`."""
    assert wanted.site is not None  # noqa: S101 - callers ask first
    previous, before = live_after(observed), site_after(observed, layout)
    if before[0] != wanted.site or before[1] is None:
        yield PutSite(live.release, live.slot, wanted.site, before)
    yield Switch(live.release, live.slot, previous, probes_of(wanted.stack))


def probes_of(stack: Stack) -> tuple[tuple[str, str], ...]:
    """Return each routed service with the path at which the edge asks it before a switch."""
    if stack.site is None:
        return ()
    return tuple(dict.fromkeys((route.service, stack.site.health) for route in stack.site.routes))
