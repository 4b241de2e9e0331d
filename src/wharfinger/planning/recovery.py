"""Putting right what a run that was cut off left behind.

Until its release is recorded, a run is reverted; after that it is finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from wharfinger.facts import Observed
from wharfinger.model.release import SLOTS, Layout, Live, Slot
from wharfinger.model.run import CutOff
from wharfinger.planning import Plan
from wharfinger.planning.changes import serving
from wharfinger.rendering.live import live_default
from wharfinger.steps import Step
from wharfinger.steps.app import Retire
from wharfinger.steps.edge import StartEdge, Switch
from wharfinger.steps.recovery import (
    CloseJournal,
    EndRun,
    PointBack,
    RemoveRelease,
    RestoreReplicas,
    RestoreSite,
    SettleMaintenance,
    SettleRoutes,
    StartAgain,
    StopData,
    StopEdge,
)
from wharfinger.steps.releases import Prune
from wharfinger.steps.replicas import RetireReplicas

_STARTING: Final = ("BeforeHook", "Migrate", "CheckMigrations", "Seed", "StartApp")


def plan_recovery(observed: Observed, layout: Layout) -> Plan:
    """Decide how to put right what was cut off, and nothing else; the plan is empty where nothing was."""
    steps = tuple(recovery_steps(observed, layout, alone=True))
    kept = tuple(tier for tier in _kept(observed, alone=True) if tier != observed.current)
    warnings = tuple(
        f"release {tier} serves, since {observed.current} is down; the next deploy ends that" for tier in kept
    )
    return Plan("recover", observed.current or "", steps, left_behind(observed), serving(observed), warnings)


def left_behind(observed: Observed) -> tuple[str, ...]:
    """Return in the user's words what was cut off, and what becomes of it."""
    runs = [f"{run}, and is {'finished' if _is_finished(run, observed) else 'reverted'}" for run in observed.cut_off]
    known = {run.release for run in observed.cut_off}
    if any(run.is_committed(observed.current) for run in observed.cut_off):
        known |= set(leftovers(observed))
    tiers = [tier for tier in leftovers(observed) if tier not in known]
    left = (*(f"release {tier}" for tier in tiers), *(stale_replicas(observed) if not runs else ()))
    return (*runs, *(f"{what} was left behind by a run that was cut off" for what in left))


def leftovers(observed: Observed) -> tuple[str, ...]:
    """Return the releases whose app tiers run without being current."""
    return tuple(release for release in observed.tiers if release != observed.current)


def recovery_steps(observed: Observed, layout: Layout, *, alone: bool = False) -> Iterator[Step]:
    """Yield the steps that bring the traffic back to the current release and remove all that does not belong to it.

    `alone` says that no deploy or rollback follows: what served nobody before is stopped too.
    """
    kept = _kept(observed, alone=alone)
    runs = tuple(run for run in observed.cut_off if run.release not in kept or _is_of_current(run, observed))
    if runs:
        hooks = tuple(run.release for run in runs if run.release is not None and "AfterHook" in run.begun)
        yield EndRun(tuple(dict.fromkeys(_touched(runs))), _began(runs, "StartData"), _backed_up(runs), hooks)
    if any(run.moved_current(run.release) for run in runs):
        yield PointBack(observed.current)
    yield from _traffic_back(observed, layout, alone=alone)
    started = (run.release for run in runs if run.release and not set(_STARTING).isdisjoint(run.begun))
    stale = stale_replicas(observed)
    if stale and observed.current is not None:
        drain = max((float(run.planned("RetireReplicas", "drain", 0)) for run in runs), default=0)
        yield RetireReplicas(observed.current, stale, drain=drain)
    yield from _replicas_back(observed)
    if _began(runs, "CloseSite") or _began(runs, "OpenSite"):
        yield SettleMaintenance(observed.edge_is_ready)
    for release in dict.fromkeys((*leftovers(observed), *started)):
        if release not in (*kept, observed.current):
            yield Retire(release, drain=_drain(observed, release))
    if _began([run for run in runs if not run.is_committed(observed.current)], "StopFirst"):
        yield from _started_again(observed)
    if alone and not _served_before(observed):
        reverted = [run for run in runs if not run.is_committed(observed.current)]
        if _began(reverted, "StartData"):
            yield StopData(with_files=observed.current is None)
        if _began(reverted, "StartEdge"):
            yield StopEdge()
    for run in runs:
        yield from _close(run, observed)


def _started_again(observed: Observed) -> Iterator[StartAgain]:
    """Yield the step that starts services of the current release which had to stop before their successors began."""
    tier = observed.tiers.get(observed.current or "", ())
    stopped = tuple(dict.fromkeys(container.service for container in tier if container.state == "exited"))
    if stopped and observed.current is not None:
        yield StartAgain(observed.current, stopped)


def scale_after(observed: Observed) -> Mapping[str, int]:
    """Return what `scale` asked for once `recovery_steps` are done."""
    kept = _reverted_step(observed, "KeepScale")
    return kept["before"][0] if kept is not None else observed.scale


def _replicas_back(observed: Observed) -> Iterator[RestoreReplicas]:
    """Yield the step that writes down again what a `scale` or `restart` had changed."""
    kept, more = _reverted_step(observed, "KeepScale"), _reverted_step(observed, "StartMore")
    if observed.current is not None and (kept is not None or more is not None):
        scale, expected = kept["before"] if kept is not None else (None, {})
        slot = slot_in_use(observed) if more is not None else None
        yield RestoreReplicas(observed.current, slot, scale, expected)


def _reverted_step(observed: Observed, verb: str) -> Mapping[str, Any] | None:
    """Return what the oldest run that is to be reverted began to do to the replicas of the current release."""
    runs = (run for run in observed.cut_off if not _is_finished(run, observed))
    begun = (step for run in runs if (step := run.first(verb)) is not None)
    return next((step for step in begun if step["release"] == observed.current), None)


def _is_finished(run: CutOff, observed: Observed) -> bool:
    """Whether a run is to be finished; else it is to be reverted. Of a maintenance, what is written down counts."""
    closing = run.first("CloseSite")
    if closing is not None:
        return observed.maintenance is not None and observed.maintenance.allow == tuple(closing["allow"])
    if run.first("OpenSite") is not None:
        return observed.maintenance is None
    return run.is_committed(observed.current)


def _is_of_current(run: CutOff, observed: Observed) -> bool:
    """Whether the release of a run counts already: it was committed, or was a `scale` or `restart` of what serves."""
    return run.is_committed(observed.current) or (run.release is not None and run.release == observed.current)


def closing_steps(observed: Observed) -> Iterator[Step]:
    """Yield what `recovery_steps` leaves to the end, since a release that was cut off serves until then."""
    kept = _kept(observed, alone=False)
    for run in observed.cut_off:
        if run.release in kept and not _is_of_current(run, observed):
            yield from _close(run, observed)


def reverted(observed: Observed) -> frozenset[str]:
    """Return the releases that recovery removes."""
    return frozenset(
        run.release
        for run in observed.cut_off
        if run.release and "UploadRelease" in run.begun and not run.is_committed(observed.current)
    ) - {observed.current or ""}


def with_edge(
    recovery: Iterable[Step], edge: Iterable[StartEdge], observed: Observed
) -> tuple[tuple[Step, ...], tuple[StartEdge, ...]]:
    """Return the steps of a recovery, the start of the edge among them where they need it, and else what starts it."""
    steps, starts = tuple(recovery), tuple(edge)
    switch = next((index for index, step in enumerate(steps) if isinstance(step, Switch)), None)
    if switch is None or observed.edge_is_ready:
        return steps, starts
    return (*steps[:switch], *starts, *steps[switch:]), ()  # only an Nginx that runs can be switched back


def edge_in_doubt(observed: Observed) -> bool:
    """Whether the edge's files may have been written without being taken up."""
    return any("StartEdge" in run.begun and "StartEdge" not in run.done for run in observed.cut_off)


def routes_in_doubt(observed: Observed) -> bool:
    """Whether the foreign routes may have been written without having been tested."""
    return any("PutRoutes" in run.begun and "PutRoutes" not in run.done for run in observed.cut_off)


def site_after(observed: Observed, layout: Layout) -> tuple[bytes | None, bytes | None]:
    """Return what the site's file and its live default hold once `recovery_steps` are done."""
    live, fallback = live_after(observed), observed.files[layout.live]
    if fallback is not None and live is not None:
        fallback = live_default(live).encode()
    if not _site_in_doubt(observed, alone=False):
        return observed.files[layout.site], fallback
    if _served_before(observed):
        return observed.files[layout.current / "site.conf"], fallback
    return None, None


def stale_replicas(observed: Observed) -> tuple[str, ...]:
    """Return the current release's containers that a cut-off run left: all in the slot that does not serve.

    In the slot that serves, where a `scale` or `restart` works too, these are the new ones of a run that is
    reverted and the old ones of one that is finished.
    """
    slot = _slot_of(observed, observed.current)
    tier = observed.tiers.get(observed.current or "", ())
    doomed = {each.name for each in tier if slot is not None and each.slot not in {"", slot}}
    for run in observed.cut_off:
        more, fewer = run.first("StartMore"), next((s for s in run.steps if s.get("verb") == "RetireReplicas"), None)
        if run.release is not None or run.action not in {"scale", "restart"}:
            continue  # its two slots tell
        if _is_finished(run, observed):
            doomed |= set(fewer["containers"]) if fewer is not None else set()
        elif more is not None:
            doomed |= {each.name for each in tier if each.service in more["more"]} - set(more["beside"])
    return tuple(each.name for each in tier if each.name in doomed)


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


def _traffic_back(observed: Observed, layout: Layout, *, alone: bool) -> Iterator[Step]:
    ready = observed.edge_is_ready
    back: list[Step] = []
    if _site_in_doubt(observed, alone=alone):
        if _served_before(observed):
            site, fallback = site_after(observed, layout)
            back = [RestoreSite(site, fallback, reload=ready)]
        elif alone:
            back = [RestoreSite(None, None, reload=ready)]
    if routes_in_doubt(observed):
        back.insert(0, SettleRoutes(reload=ready))
    if not ready:  # no Nginx must start with a site that was never tested
        yield from back
    live, wanted = observed.live, live_after(observed)
    switched = wanted is not None and live is not None and wanted.release == observed.current
    # Nginx, and what it falls back on when it starts, are set one after the other.
    default = observed.files.get(layout.live)
    differs = wanted is not None and (live != wanted or default not in (None, live_default(wanted).encode()))
    if wanted is not None and switched and (differs or _switching(observed)):
        if alone and not ready:
            yield StartEdge({})
        # No way back: should the deploy fail later, the tier that the traffic comes from is gone.
        yield Switch(wanted.release, wanted.slot, None, probes=())
    if ready:
        yield from back
    if alone and ready and edge_in_doubt(observed) and _served_before(observed):
        yield StartEdge({})


def _close(run: CutOff, observed: Observed) -> Iterator[Step]:
    if _is_finished(run, observed):
        old = tuple(name for name in run.planned("Prune", "releases", ()) if name != observed.current)
        if old:
            yield Prune(old, tuple(run.planned("Prune", "images", ())))
        yield CloseJournal(run.journal, "succeeded")
        return
    if run.release is not None and run.release in reverted(observed):
        yield RemoveRelease(run.release, _backed_up((run,)))
    yield CloseJournal(run.journal, "reverted")


def _kept(observed: Observed, *, alone: bool) -> tuple[str, ...]:
    """Return the tiers that go on running: what nothing replaces, and nothing preceded, does not."""
    if alone and not _served_before(observed):
        return ()
    return tiers_after(observed)


def _served_before(observed: Observed) -> bool:
    return observed.current is not None and observed.current in observed.tiers


def _site_in_doubt(observed: Observed, *, alone: bool) -> bool:
    """Whether the site's file is, or may be, that of a run which is to be reverted."""
    kept = _kept(observed, alone=alone)
    return any(
        "PutSite" in run.begun and not run.is_committed(observed.current) and run.release not in kept
        for run in observed.cut_off
    )


def _switching(observed: Observed) -> bool:
    """Whether the edge may still wait to reach a tier before it switches to it: to be told anew ends that."""
    return any("Switch" in run.begun and "Switch" not in run.done for run in observed.cut_off)


def _drain(observed: Observed, release: str) -> float:
    """Return how long requests in flight have: none are where the traffic never went."""
    live = observed.live.release if observed.live else None
    seconds = [
        float(run.planned("Retire", "drain", 0))
        for run in observed.cut_off
        if run.is_committed(observed.current) or live == release
    ]
    return max(seconds, default=0)


def _touched(runs: tuple[CutOff, ...]) -> Iterator[str]:
    for run in runs:
        yield from (run.release,) if run.release else ()
        if "Retire" in run.begun:  # else somebody may be at work in it, who must not be ended
            yield from (step["release"] for step in run.steps if step.get("verb") == "Retire")


def _backed_up(runs: tuple[CutOff, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for run in runs for name in run.planned("BackUp", "services", ())))


def _began(runs: Iterable[CutOff], verb: str) -> bool:
    return any(verb in run.begun for run in runs)


def _slot_of(observed: Observed, release: str | None) -> Slot | None:
    """Return the slot in which a release runs, the live one of two; None unless a container of it is up."""
    up = [container.slot for container in observed.tiers.get(release or "", ()) if container.state == "running"]
    live = observed.live
    for run in observed.cut_off:  # of two slots that run the same release the one before the run is meant
        more = run.first("StartMore")
        began = more is not None and more["release"] == release and not run.is_committed(observed.current)
        if more is not None and began and more["previous"] in up:
            return SLOTS[SLOTS.index(more["previous"])]
    if live is not None and live.release == release and live.slot in up:
        return live.slot
    return next((slot for slot in SLOTS if slot in up), None)
