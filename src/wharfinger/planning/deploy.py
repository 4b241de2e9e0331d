"""From what is observed and wanted to the steps of a deploy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from wharfinger.facts import Observed
from wharfinger.model.release import Layout, Live, other_slot
from wharfinger.model.values import seconds
from wharfinger.planning import Plan, hooks
from wharfinger.planning.certificates import certificate_reasons, certificate_steps
from wharfinger.planning.changes import file_changes, ignored_changes, pruned, reasons, serving
from wharfinger.planning.checklist import measurements, migration_checks, verification
from wharfinger.planning.recovery import (
    closing_steps,
    edge_in_doubt,
    left_behind,
    recovery_steps,
    reverted,
    scale_after,
    slot_in_use,
    tiers_after,
    with_edge,
)
from wharfinger.planning.routes import route_changes, route_reasons, route_steps
from wharfinger.planning.tiers import overlap_warnings, start_steps
from wharfinger.planning.traffic import traffic_steps
from wharfinger.planning.wanted import COMPARED, Wanted
from wharfinger.steps import Step
from wharfinger.steps.app import Pull, Retire
from wharfinger.steps.data import BackUp, Migrate, Seed, StartData
from wharfinger.steps.edge import StartEdge
from wharfinger.steps.releases import Prune, Record, UploadRelease
from wharfinger.steps.supply import Supply


def plan_deploy(wanted: Wanted, observed: Observed, layout: Layout, *, besides: str = "") -> Plan:
    """Decide how to get from what is observed to what is wanted.

    The plan is empty when the current release is the wanted one and all of it serves, unless `besides` gives a reason.
    """
    release = wanted.release
    values = (observed.files[layout.current / ".env"] or b"", wanted.files[".env"].content)
    why = reasons(
        wanted.release,
        observed,
        wanted.expected(scale_after(observed)),
        values,
        data=wanted.stack.data,
        with_site=wanted.site is not None,
    )
    if not why and _wants_seed(wanted, observed, layout):
        why = ("the databases were never seeded",)
    if not why and besides:
        why = (besides,)
    apart = (
        *certificate_reasons(wanted.certificates, observed, layout),
        *route_reasons(wanted.routes, observed, layout),
    )
    warnings = tuple(_warnings(wanted, observed, layout))
    if not why:
        steps = (
            *recovery_steps(observed, layout, alone=True),
            *certificate_steps(wanted.certificates, observed, layout),
            *route_steps(wanted.routes, wanted.environment, observed, layout),
        )
        ignored = ignored_changes(observed.release(observed.current), release)
        now = observed.current or release.id
        why = (*apart, *left_behind(observed))
        changes = route_changes(wanted.routes, observed, layout)
        return Plan("deploy", now, steps, why, serving(observed), warnings, changes, ignored=ignored)
    steps = tuple(_steps(wanted, observed, layout))
    warnings += tuple(overlap_warnings(wanted.stack, observed, release.id))
    changes = _changes(wanted, observed, layout)
    why = (*why, *apart, *left_behind(observed))
    on_failure = tuple(hooks.on_failure(wanted.stack, wanted.environment, release.id)) if wanted.is_first else ()
    return Plan("deploy", release.id, steps, why, serving(observed), warnings, changes, on_failure)


def plan_deploys(wanted: Sequence[Wanted], observed: Sequence[Observed], layout: Layout) -> tuple[Plan, ...]:
    """Decide how several servers get to the same release: where one of them needs a new one, all get it."""
    plans = tuple(plan_deploy(one, seen, layout) for one, seen in zip(wanted, observed, strict=True))
    current = {seen.current for seen in observed}
    new = any(plan.release == one.release.id for plan, one in zip(plans, wanted, strict=True))
    if len(current) == 1 and not new:
        return plans
    why = "all servers get the same release"
    return tuple(plan_deploy(one, seen, layout, besides=why) for one, seen in zip(wanted, observed, strict=True))


def _changes(wanted: Wanted, observed: Observed, layout: Layout) -> tuple[str, ...]:
    if observed.current is None:
        return ()
    before = {name: observed.files[layout.current / name] for name in COMPARED}
    after = {name: file.content for name, file in wanted.files.items() if name in COMPARED and name != ".env"}
    ids = (observed.current, wanted.release.id)
    return (*file_changes(before, after, ids), *route_changes(wanted.routes, observed, layout))


def _steps(wanted: Wanted, observed: Observed, layout: Layout) -> Iterator[Step]:
    release, stack = wanted.release, wanted.stack
    slot = other_slot(slot_in_use(observed))
    images = tuple(dict.fromkeys(release.images.values()))
    start = (
        [StartEdge(wanted.edge_files)] if wanted.site is not None and _edge_differs(wanted, observed, layout) else []
    )
    recovery, edge = with_edge(recovery_steps(observed, layout), start, observed)
    yield from recovery
    yield UploadRelease(release.id, wanted.files)
    with_data = bool(stack.data) and _data_differs(wanted, observed, layout)
    certificates = tuple(certificate_steps(wanted.certificates, observed, layout))
    if wanted.stock and (edge or with_data or certificates):
        yield Supply(wanted.stock, wanted.port)
    yield Pull(images)
    yield from edge
    yield from certificates
    yield from route_steps(wanted.routes, wanted.environment, observed, layout)
    observed = dataclasses.replace(observed, trust=wanted.certificates.trust)
    if with_data:
        before = {name: observed.files[layout.data / name] for name in wanted.data_files}
        yield StartData(tuple(stack.data), wanted.data_files, before)
    if wanted.is_first:
        yield from _once(wanted, observed, layout)
    if wanted.site is not None and tiers_after(observed):
        yield from measurements(stack, wanted.environment, release.id, observed)
    expected = wanted.expected(scale_after(observed))
    yield from start_steps(stack, expected, observed, release.id, slot)
    if wanted.site is not None:
        yield from traffic_steps(wanted, observed, layout, Live(slot, release.id))
    yield verification(stack, wanted.environment, release.id, expected, observed)
    succeeded = release.model_copy(update={"slot": slot, "succeeded": release.created})
    yield Record(release.id, observed.current, succeeded)
    for tier in tiers_after(observed):
        yield Retire(tier, drain=seconds(stack.deploy.drain))
    yield from closing_steps(observed)
    there = (each for each in observed.releases if each.id not in reverted(observed))
    old, images = pruned((*there, succeeded), observed, keep=stack.deploy.keep, current=release.id)
    if old:
        yield Prune(old, images)
    if wanted.is_first:
        yield from hooks.after(stack, wanted.environment, release.id)


def _once(wanted: Wanted, observed: Observed, layout: Layout) -> Iterator[Step]:
    """Yield what is done once, however many servers there are, before the release starts anywhere."""
    release, stack = wanted.release, wanted.stack
    yield from hooks.before(stack, wanted.environment, release.id)
    databases = tuple(name for name, service in stack.data.items() if service.engine == "postgres")
    if databases:
        yield BackUp(databases, stamp=release.id)
    if stack.migrate is not None:
        yield Migrate(release.id, timeout=seconds(stack.migrate.timeout))
    yield from migration_checks(stack, release.id)
    if stack.seed is not None and _wants_seed(wanted, observed, layout):
        yield Seed(release.id, timeout=seconds(stack.seed.timeout))


def _wants_seed(wanted: Wanted, observed: Observed, layout: Layout) -> bool:
    return wanted.seeded and wanted.stack.seed is not None and observed.files[layout.seeded] is None


def _edge_differs(wanted: Wanted, observed: Observed, layout: Layout) -> bool:
    files = {layout.edge / name: content for name, content in wanted.edge_files.items()}
    return (
        not observed.edge_is_ready
        or edge_in_doubt(observed)
        or any(observed.files[path] != content for path, content in files.items())
    )


def _data_differs(wanted: Wanted, observed: Observed, layout: Layout) -> bool:
    ready = {container.service for container in observed.data if container.is_ready}
    return not ready.issuperset(wanted.stack.data) or bool(_changed_data_files(wanted, observed, layout))


def _changed_data_files(wanted: Wanted, observed: Observed, layout: Layout) -> list[str]:
    return [name for name, file in wanted.data_files.items() if observed.files[layout.data / name] != file.content]


def _warnings(wanted: Wanted, observed: Observed, layout: Layout) -> Iterator[str]:
    changed = _changed_data_files(wanted, observed, layout)
    if observed.data and changed:
        yield (
            f"the data tier runs with an older {', '.join(changed)}; a deploy never recreates data services. "
            f"When you can bear their restart: docker compose -p {layout.target.name} -f {layout.data}/data.yaml up -d"
        )
