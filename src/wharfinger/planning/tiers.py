"""In which order the new app tier starts and the old one stops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wharfinger.facts import Observed
from wharfinger.model.release import Slot
from wharfinger.model.stack import Stack
from wharfinger.model.values import seconds
from wharfinger.planning.recovery import tiers_after
from wharfinger.steps import Step
from wharfinger.steps.app import StartApp, StopFirst


def start_steps(
    stack: Stack, expected: Mapping[str, int], observed: Observed, release: str, slot: Slot
) -> Iterator[Step]:
    """Yield the steps that start a release's services in a slot.

    Those that may overlap start beside the old ones; then each that must not follows the stop of its predecessor,
    which a failure starts again.
    """
    within = seconds(stack.deploy.healthy_within)
    stops = tuple(_stops(stack, observed, release))
    if not stops:
        yield StartApp(release, slot, dict(expected), timeout=within)
        return
    after = {name: expected[name] for name in stack.recreated}
    beside = {name: count for name, count in expected.items() if name not in after}
    if beside:
        yield StartApp(release, slot, beside, timeout=within)
    yield from stops
    yield StartApp(release, slot, after, timeout=within)


def overlap_warnings(stack: Stack, observed: Observed, release: str) -> Iterator[str]:
    """Yield what visitors will notice of services that are stopped before their successors start."""
    routed = {route.service for route in stack.site.routes} if stack.site is not None else set()
    for stop in _stops(stack, observed, release):
        if names := [name for name in stop.services if name in routed]:
            yield f"{', '.join(names)}: `strategy: recreate`, so no answers from its stop until the switch"


def _stops(stack: Stack, observed: Observed, release: str) -> Iterator[StopFirst]:
    for tier in tiers_after(observed):
        there = {container.service for container in observed.tiers[tier]}
        services = tuple(name for name in stack.recreated if name in there)
        if services and tier != release:
            drain, within = seconds(stack.deploy.drain), seconds(stack.deploy.healthy_within)
            yield StopFirst(tier, services, drain=drain, timeout=within)
