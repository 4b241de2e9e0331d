"""From what is observed to the steps that bring an earlier release back."""

from __future__ import annotations

from collections.abc import Iterator

from wharfinger.errors import UsageError
from wharfinger.facts import Observed
from wharfinger.model.checks import LatencyCheck, LogCheck
from wharfinger.model.release import Layout, Live, Release, other_slot
from wharfinger.model.values import seconds
from wharfinger.planning import Plan
from wharfinger.planning.changes import not_serving, serving
from wharfinger.planning.checklist import verification
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
from wharfinger.planning.tiers import overlap_warnings, start_steps
from wharfinger.planning.traffic import traffic_steps
from wharfinger.planning.wanted import Wanted
from wharfinger.steps import Step
from wharfinger.steps.app import Pull, Retire
from wharfinger.steps.edge import StartEdge
from wharfinger.steps.releases import Record


def choose(observed: Observed, wanted: str | None) -> Release:
    """Return the release to go back to: the named one, or the last good one before the current.

    Good is what succeeded and was not left by a rollback. Raises UsageError where there is none.
    """
    doomed = reverted(observed)
    successful = [each for each in observed.releases if each.succeeded is not None and each.id not in doomed]
    if wanted is not None:
        named = next((release for release in successful if release.id == wanted), None)
        if named is None:
            known = ", ".join(release.id for release in successful) or "none"
            raise UsageError(f"no successful release {wanted} on the server; there is: {known}", fix="invoke releases")
        return named
    earlier = [release for release in successful if release.id < (observed.current or "") and not release.left]
    if not earlier:
        raise UsageError(
            "there is no successful release before the current one", fix="invoke releases lists what there is"
        )
    return earlier[-1]


def plan_rollback(wanted: Wanted, observed: Observed, layout: Layout) -> Plan:
    """Decide how to bring `wanted.release` back: its digests, rendered files and values together.

    The data tier and the schema stay as they are (ARCHITECTURE.md §5).
    """
    release = wanted.release
    if release.id == observed.current:
        expected, with_site = wanted.expected(scale_after(observed)), wanted.site is not None
        why = not_serving(release, observed, expected, data=wanted.stack.data, with_site=with_site)
    else:
        why = (f"release {observed.current} is to be replaced by {release.id}",)
    steps = _steps(wanted, observed, layout) if why else recovery_steps(observed, layout, alone=True)
    warnings = tuple(overlap_warnings(wanted.stack, observed, release.id)) if why else ()
    reasons = (*why, *left_behind(observed))
    return Plan("rollback", release.id, tuple(steps), reasons, serving(observed), warnings, stack=wanted.stack)


def _left(release: Release, observed: Observed) -> Release | None:
    """Return the record of the current release where it is left for an earlier one; forth again none is left."""
    current = next((each for each in observed.releases if each.id == observed.current), None)
    return None if current is None or current.id <= release.id else current.model_copy(update={"left": True})


def _steps(wanted: Wanted, observed: Observed, layout: Layout) -> Iterator[Step]:
    release, deploy = wanted.release, wanted.stack.deploy
    again = release.id == observed.current
    slot = (slot_in_use(observed) or "blue") if again else other_slot(slot_in_use(observed))
    down = wanted.site is not None and (not observed.edge_is_ready or edge_in_doubt(observed))
    recovery, edge = with_edge(recovery_steps(observed, layout), [StartEdge({})] if down else [], observed)
    yield from recovery
    yield Pull(tuple(dict.fromkeys(release.images.values())))
    yield from edge  # as it is: its files are those of the newest deploy, whichever stack's that was
    expected = wanted.expected(scale_after(observed))
    yield from start_steps(wanted.stack, expected, observed, release.id, slot)
    if wanted.site is not None:
        yield from traffic_steps(wanted, observed, layout, Live(slot, release.id))
    # Not timed: nothing was measured, and what is slower than a release that fails fast may be the right one.
    # Containers that were there before may have logged anything since.
    without = (LatencyCheck, LogCheck) if again else (LatencyCheck,)
    yield verification(wanted.stack, wanted.environment, release.id, expected, observed, without=without)
    record = release.model_copy(update={"slot": slot, "left": False})
    yield Record(release.id, observed.current, record, _left(release, observed))
    for tier in tiers_after(observed):
        if tier != release.id:
            yield Retire(tier, drain=seconds(deploy.drain))
    yield from closing_steps(observed)
