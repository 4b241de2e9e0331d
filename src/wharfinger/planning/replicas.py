"""From what runs to the steps that change how many replicas of a release run, or start them anew.

Docker cannot take a running container out of its name server, so that a replica which is stopped in its place could
still be sent a request. Services that the edge leads to therefore start anew in the other slot, all together, and the
traffic is switched as a deploy does it. Other services get no traffic, so theirs come and go one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from wharfinger.errors import UsageError, WharfingerError
from wharfinger.facts import Observed
from wharfinger.model.checks import LatencyCheck, LogCheck
from wharfinger.model.release import Layout, Live, other_slot
from wharfinger.model.values import seconds
from wharfinger.planning import Plan
from wharfinger.planning.changes import serving
from wharfinger.planning.checklist import verification
from wharfinger.planning.recovery import recovery_steps, scale_after, slot_in_use, stale_replicas
from wharfinger.planning.traffic import traffic_steps
from wharfinger.planning.wanted import Wanted
from wharfinger.steps import Step
from wharfinger.steps.releases import Record
from wharfinger.steps.replicas import KeepScale, RetireReplicas, StartMore


def plan_scale(wanted: Wanted, observed: Observed, layout: Layout, scale: Mapping[str, int]) -> Plan:
    """Decide how to get to as many replicas as `scale` says, for the services that it names.

    `wanted` is the release that serves. The plan is empty where that many run and are kept already. Raises UsageError
    for a service that there is not.
    """
    _refuse_unknown(scale, wanted)
    _refuse_published(scale, wanted)
    release, expected = wanted.release.id, wanted.expected(scale)
    there = {name: _replicas(observed, release, [name]) for name in expected}
    changed = {name: count for name, count in expected.items() if len(there[name]) != count}
    why = tuple(f"{name}: {len(there[name])} → {count}" for name, count in changed.items())
    if scale != scale_after(observed) and not why:
        why = ("as many run already, and are to be kept",)
    before = (scale_after(observed), wanted.expected(scale_after(observed)))
    steps: list[Step] = []
    if why:
        steps += [*recovery_steps(observed, layout), KeepScale(release, scale, expected, before)]
    if _has_traffic(changed, wanted):
        steps += _anew(wanted, observed, layout, expected)
    else:
        more = {name: count - len(there[name]) for name, count in changed.items() if count > len(there[name])}
        surplus = tuple(name for each, count in changed.items() for name in there[each][count:])
        steps += _beside(wanted, observed, more, surplus)
    return Plan("scale", release, tuple(steps), why, serving(observed), stack=wanted.stack)


def plan_restart(wanted: Wanted, observed: Observed, layout: Layout, services: Collection[str]) -> Plan:
    """Decide how to start every replica of the release that serves anew, or (of services without traffic) only some.

    Raises UsageError for a service that there is not.
    """
    _refuse_unknown(services, wanted)
    release, expected = wanted.release.id, wanted.expected(scale_after(observed))
    steps: list[Step] = [*recovery_steps(observed, layout)]
    if not services or _has_traffic(services, wanted):
        led = [name for name in services if _has_traffic([name], wanted)]
        why = "every service starts anew" + (f", since the edge leads to {', '.join(led)}" if led else "")
        steps += _anew(wanted, observed, layout, expected)
    else:
        why = f"{', '.join(services)} to be started anew"
        more = {name: expected[name] for name in services}
        steps += _beside(wanted, observed, more, _replicas(observed, release, services))
    return Plan("restart", release, tuple(steps), (why,), serving(observed), stack=wanted.stack)


def refuse_unserved(observed: Observed, *, with_site: bool, environment: str) -> str:
    """Return the release that serves; raises UsageError where none does, or the edge does not run."""
    fix = f"invoke deploy --env {environment}"
    if observed.current is None:
        raise UsageError(f"nothing is deployed in {environment}", fix=fix)
    if slot_in_use(observed) is None or observed.current not in observed.tiers:
        raise WharfingerError(f"release {observed.current} does not run", fix=fix)
    if with_site and not observed.edge_is_ready:
        raise WharfingerError("the edge does not run, or is not healthy yet", fix=fix)
    return observed.current


def _refuse_unknown(services: Collection[str], wanted: Wanted) -> None:
    unknown = [name for name in services if name not in wanted.stack.services]
    if unknown:
        known = ", ".join(wanted.stack.services)
        raise UsageError(f"{wanted.stack.name} has no service {', '.join(unknown)}", fix=f"there is: {known}")


def _refuse_published(scale: Mapping[str, int], wanted: Wanted) -> None:
    fixed = [name for name, count in scale.items() if count > 1 and name in wanted.environment.ports]
    if fixed:
        raise UsageError(
            f"{', '.join(fixed)}: published on a port of the server, which several replicas cannot share",
            fix=f"take it out of environments.{wanted.release.environment}.ports, with an edge in a container",
        )


def _has_traffic(services: Collection[str], wanted: Wanted) -> bool:
    """Whether the edge leads to one of these services."""
    return wanted.stack.site is not None and any(route.service in services for route in wanted.stack.site.routes)


def _replicas(observed: Observed, release: str, services: Collection[str]) -> tuple[str, ...]:
    """Return the containers of services that there are once `recovery_steps` are done."""
    stale = stale_replicas(observed)
    tier = observed.tiers.get(release, ())
    return tuple(each.name for each in tier if each.service in services and each.name not in stale)


def _anew(wanted: Wanted, observed: Observed, layout: Layout, expected: Mapping[str, int]) -> Iterator[Step]:
    """Yield the steps that start all services in the other slot, switch to them and retire the old ones."""
    release, deploy = wanted.release, wanted.stack.deploy
    previous = slot_in_use(observed) or "blue"
    slot, old = other_slot(previous), _replicas(observed, release.id, expected)
    yield StartMore(release.id, slot, previous, expected, old, timeout=seconds(deploy.healthy_within))
    if wanted.site is not None:
        yield from traffic_steps(wanted, observed, layout, Live(slot, release.id))
    # The same release as before: no slower for it, and its old containers may have logged anything since.
    without = (LatencyCheck, LogCheck)
    yield verification(wanted.stack, wanted.environment, release.id, expected, observed, without=without)
    yield Record(release.id, observed.current, release.model_copy(update={"slot": slot}))
    yield RetireReplicas(release.id, old, drain=seconds(deploy.drain))


def _beside(wanted: Wanted, observed: Observed, more: Mapping[str, int], surplus: tuple[str, ...]) -> Iterator[Step]:
    """Yield the steps that start more replicas of services without traffic, then retire others."""
    release, slot = wanted.release.id, slot_in_use(observed) or "blue"
    if more:
        there = _replicas(observed, release, wanted.stack.services)
        yield StartMore(release, slot, slot, more, there, timeout=seconds(wanted.stack.deploy.healthy_within))
    if surplus:
        services = (wanted.stack.services[each.service] for each in observed.tiers[release] if each.name in surplus)
        drain = max(seconds(service.stop_grace_period) for service in services)
        yield RetireReplicas(release, surplus, drain=drain)
