"""What a deploy that was cut off leaves behind, and the steps of the next one that put it right."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.examples import LAYOUT
from tests.recording import tier
from tests.unit.planning.situations import EDGE_FILES, NEW, OLD, OLDER, SERVICES, SITE, release, serving, wanted

from wharfinger.engine import Container
from wharfinger.errors import UsageError
from wharfinger.facts import Observed
from wharfinger.model.maintenance import Maintenance
from wharfinger.model.release import Live
from wharfinger.model.run import CutOff
from wharfinger.planning.deploy import plan_deploy
from wharfinger.planning.recovery import (
    live_after,
    plan_recovery,
    recovery_steps,
    scale_after,
    slot_in_use,
    tiers_after,
)
from wharfinger.planning.rollback import choose
from wharfinger.rendering.live import live_default
from wharfinger.steps import Step
from wharfinger.steps.app import Retire, StartApp
from wharfinger.steps.edge import PutSite, StartEdge, Switch
from wharfinger.steps.recovery import (
    CloseJournal,
    EndRun,
    RemoveRelease,
    RestoreReplicas,
    RestoreSite,
    SettleMaintenance,
    StartAgain,
    StopData,
    StopEdge,
)
from wharfinger.steps.releases import Prune
from wharfinger.steps.replicas import RetireReplicas

CUT_OFF = "20261120130000"
BOTH = {OLD: tier(OLD, *SERVICES), CUT_OFF: tier(CUT_OFF, *SERVICES, slot="green")}
DOWN = {OLD: tier(OLD, *SERVICES, state="exited"), CUT_OFF: tier(CUT_OFF, *SERVICES, slot="green")}
OLD_LIVE, CUT_OFF_LIVE = Live("blue", OLD), Live("green", CUT_OFF)


@pytest.mark.parametrize(
    ("tiers", "live", "steps", "slot", "after"),
    [
        pytest.param({OLD: BOTH[OLD]}, OLD_LIVE, (), "blue", OLD_LIVE, id="nothing was left"),
        pytest.param(BOTH, OLD_LIVE, (Retire(CUT_OFF, drain=0),), "blue", OLD_LIVE, id="killed before the switch"),
        pytest.param(
            BOTH,
            CUT_OFF_LIVE,
            (Switch(OLD, "blue", None, ()), Retire(CUT_OFF, drain=0)),
            "blue",
            OLD_LIVE,
            id="killed between switch and record",
        ),
        pytest.param(DOWN, CUT_OFF_LIVE, (), "green", CUT_OFF_LIVE, id="the current one is down, the other serves"),
        pytest.param(
            {OLD: BOTH[OLD]},
            CUT_OFF_LIVE,
            (Switch(OLD, "blue", None, ()),),
            "blue",
            OLD_LIVE,
            id="the traffic goes to a tier that is gone",
        ),
        pytest.param(
            {OLDER: tier(OLDER, "api"), **BOTH},
            OLD_LIVE,
            (Retire(OLDER, drain=0), Retire(CUT_OFF, drain=0)),
            "blue",
            OLD_LIVE,
            id="two were left",
        ),
    ],
)
def test_the_traffic_goes_back_to_the_current_release_and_no_orphan_stays(
    tiers: dict[str, list[Container]], live: Live, steps: tuple[Step, ...], slot: str, after: Live
) -> None:
    observed = serving(wanted(), tiers=tiers, live=live)

    assert tuple(recovery_steps(observed, LAYOUT)) == steps
    assert (slot_in_use(observed), live_after(observed)) == (slot, after)
    assert set(tiers_after(observed)) == set(tiers) - {step.release for step in steps if isinstance(step, Retire)}


def test_what_was_left_goes_even_if_nothing_else_is_to_be_done() -> None:
    want = wanted()

    plan = plan_deploy(want, serving(want, tiers=BOTH), LAYOUT)

    assert (plan.release, plan.steps) == (OLD, (Retire(CUT_OFF, drain=0),))
    assert plan.reasons == (f"release {CUT_OFF} was left behind by a run that was cut off",)


def test_a_deploy_recovers_first_and_never_returns_to_what_it_retired() -> None:
    """Were a later step to fail, undoing must not send the traffic to the tier that is gone."""
    want = wanted(fingerprint="other")
    observed = serving(want, tiers=BOTH, live=CUT_OFF_LIVE, files={LAYOUT.site: b"old site\n"})

    steps = plan_deploy(want, observed, LAYOUT).steps

    assert steps[:2] == (Switch(OLD, "blue", None, ()), Retire(CUT_OFF, drain=0))
    assert [step.slot for step in steps if isinstance(step, StartApp)] == ["green"]
    assert PutSite(NEW, "green", SITE, (b"old site\n", live_default(OLD_LIVE).encode())) in steps
    assert Switch(NEW, "green", OLD_LIVE, (("api", "/health"),)) in steps


def test_a_release_that_serves_in_place_of_a_dead_current_one_is_retired_with_it() -> None:
    """It goes on serving until the new one does, and then stays no more than the current one."""
    want = wanted(fingerprint="other")

    steps = plan_deploy(want, serving(want, tiers=DOWN, live=CUT_OFF_LIVE), LAYOUT).steps

    assert [step.slot for step in steps if isinstance(step, StartApp)] == ["blue"]
    assert steps[-2:] == (Retire(OLD, drain=10), Retire(CUT_OFF, drain=10))


def test_a_first_deploy_that_was_killed_after_its_switch_leaves_no_orphan() -> None:
    want = wanted()
    observed = serving(
        want, releases=(), current=None, live=CUT_OFF_LIVE, tiers={CUT_OFF: tier(CUT_OFF, *SERVICES, slot="green")}
    )

    steps = plan_deploy(want, observed, LAYOUT).steps

    assert steps[-1] == Retire(CUT_OFF, drain=10)


def test_an_edge_that_is_down_is_started_before_it_is_switched_back() -> None:
    want = wanted()

    steps = plan_deploy(want, serving(want, tiers=BOTH, live=CUT_OFF_LIVE, edge=[]), LAYOUT).steps

    assert steps[:3] == (StartEdge(EDGE_FILES), Switch(OLD, "blue", None, ()), Retire(CUT_OFF, drain=0))
    assert sum(isinstance(step, StartEdge) for step in steps) == 1


STEPS = (
    {"verb": "UploadRelease", "release": CUT_OFF},
    {"verb": "BackUp", "services": ["postgres"], "stamp": CUT_OFF},
    {"verb": "Record", "release": CUT_OFF, "previous": OLD},
    {"verb": "Retire", "release": OLD, "drain": 10.0},
    {"verb": "Prune", "releases": [OLDER], "images": ["old"]},
)
NEVER_BEGUN = ("StartEdge", "StartData")
ORDER = ("UploadRelease", "Pull", "BackUp", "Migrate", "StartApp", "PutSite", "Switch", "Verify", "Record", "Retire")
END, REMOVE = EndRun((CUT_OFF,), False, ("postgres",)), RemoveRelease(CUT_OFF, ("postgres",))
REVERTED, SUCCEEDED = CloseJournal("x.jsonl", "reverted"), CloseJournal("x.jsonl", "succeeded")
BACK = Switch(OLD, "blue", None, ())


def killed(last: str, *, more: tuple[str, ...] = ()) -> CutOff:
    """A deploy of CUT_OFF that was killed within a step."""
    begun = (*more, *ORDER[: ORDER.index(last) + 1])
    return CutOff("x.jsonl", "deploy", "ann@laptop", "then", STEPS, begun, begun[:-1])


def left(run: CutOff, **facts: Any) -> Observed:
    """A server on which that run was killed; the current release's own site file is there."""
    files = {LAYOUT.current / "site.conf": b"old site\n"} | facts.pop("files", {})
    return dataclasses.replace(serving(wanted(), files=files, **facts), cut_off=(run,))


@pytest.mark.parametrize(
    ("last", "facts", "steps"),
    [
        ("UploadRelease", {}, (END, REMOVE, REVERTED)),
        ("BackUp", {}, (END, REMOVE, REVERTED)),
        pytest.param("Migrate", {}, (END, Retire(CUT_OFF, drain=0), REMOVE, REVERTED), id="seen or not, it is ended"),
        ("StartApp", {"tiers": BOTH}, (END, Retire(CUT_OFF, drain=0), REMOVE, REVERTED)),
        (
            "PutSite",
            {"tiers": BOTH},
            (
                END,
                RestoreSite(b"old site\n", live_default(OLD_LIVE).encode(), reload=True),
                Retire(CUT_OFF, drain=0),
                REMOVE,
                REVERTED,
            ),
        ),
        pytest.param(
            "Switch",
            {"tiers": BOTH},
            (
                END,
                BACK,
                RestoreSite(b"old site\n", live_default(OLD_LIVE).encode(), reload=True),
                Retire(CUT_OFF, drain=0),
                REMOVE,
                REVERTED,
            ),
            id="the edge may still wait to reach the tier",
        ),
        (
            "Verify",
            {"tiers": BOTH, "live": CUT_OFF_LIVE},
            (
                END,
                BACK,
                RestoreSite(b"old site\n", live_default(OLD_LIVE).encode(), reload=True),
                Retire(CUT_OFF, drain=10),
                REMOVE,
                REVERTED,
            ),
        ),
    ],
)
def test_until_it_counts_a_run_is_reverted(last: str, facts: dict[str, Any], steps: tuple[Step, ...]) -> None:
    plan = plan_recovery(left(killed(last), **facts), LAYOUT)

    assert plan.steps == steps
    assert plan.reasons == (f"the deploy of release {CUT_OFF} by ann@laptop was cut off in {last}, and is reverted",)


def test_once_it_counts_a_run_is_finished() -> None:
    observed = left(killed("Retire"), tiers=BOTH, live=CUT_OFF_LIVE, current=CUT_OFF)

    plan = plan_recovery(observed, LAYOUT)

    end = EndRun((CUT_OFF, OLD), False, ("postgres",))
    assert plan.steps == (end, Retire(OLD, drain=10), Prune((OLDER,), ("old",)), SUCCEEDED)
    assert plan.reasons[0].endswith("and is finished")
    assert plan.release == CUT_OFF


def test_a_hook_that_outlived_its_run_is_ended_though_its_release_stays() -> None:
    observed = left(killed("Retire", more=("AfterHook",)), tiers=BOTH, live=CUT_OFF_LIVE, current=CUT_OFF)

    assert plan_recovery(observed, LAYOUT).steps[0] == EndRun((CUT_OFF, OLD), False, ("postgres",), (CUT_OFF,))


def test_what_nginx_falls_back_on_is_set_back_too() -> None:
    """It was killed between telling Nginx and writing that down, on its way back."""
    observed = left(killed("Pull"), files={LAYOUT.live: live_default(CUT_OFF_LIVE).encode()})

    assert BACK in plan_recovery(observed, LAYOUT).steps


def test_no_nginx_starts_with_a_site_that_was_never_tested() -> None:
    steps = plan_recovery(left(killed("Switch"), tiers=BOTH, live=CUT_OFF_LIVE, edge=[]), LAYOUT).steps

    assert [type(step) for step in steps[1:4]] == [RestoreSite, StartEdge, Switch]
    assert isinstance(steps[1], RestoreSite)
    assert not steps[1].reload


@pytest.mark.parametrize("live", [None, CUT_OFF_LIVE])
def test_a_first_deploy_leaves_nothing_but_its_data(live: Live | None) -> None:
    run = killed("Switch", more=NEVER_BEGUN)
    tiers = {CUT_OFF: BOTH[CUT_OFF]}
    observed = dataclasses.replace(left(run, tiers=tiers, releases=()), current=None, live=live)

    assert plan_recovery(observed, LAYOUT).steps == (
        EndRun((CUT_OFF,), True, ("postgres",)),
        RestoreSite(None, None, reload=True),
        Retire(CUT_OFF, drain=10 if live else 0),
        StopData(with_files=True),
        StopEdge(),
        REMOVE,
        REVERTED,
    )


def test_a_first_deploy_that_serves_does_so_until_the_next_takes_over() -> None:
    run = killed("Verify", more=NEVER_BEGUN)
    observed = dataclasses.replace(
        left(run, tiers={CUT_OFF: BOTH[CUT_OFF]}, live=CUT_OFF_LIVE, releases=()), current=None
    )

    steps = plan_deploy(wanted(), observed, LAYOUT).steps

    assert type(steps[0]) is not EndRun
    assert steps[-3:] == (Retire(CUT_OFF, drain=10), REMOVE, REVERTED)


def test_the_next_deploy_loads_a_site_of_which_nobody_knows_whether_it_was_loaded() -> None:
    want = wanted()
    observed = dataclasses.replace(left(killed("PutSite"), tiers={CUT_OFF: BOTH[CUT_OFF]}), current=None, live=None)

    steps = plan_deploy(want, observed, LAYOUT).steps

    assert PutSite(NEW, "blue", SITE, (None, None)) in steps


def test_a_release_that_is_removed_is_none_to_go_back_to() -> None:
    observed = left(killed("Record"), releases=(release(OLDER), release(OLD), release(CUT_OFF)), tiers=BOTH)

    with pytest.raises(UsageError, match=f"no successful release {CUT_OFF}"):
        choose(observed, CUT_OFF)


def test_a_current_release_that_is_down_does_not_take_the_place_of_one_that_serves() -> None:
    plan = plan_recovery(left(killed("Verify"), tiers=DOWN, live=CUT_OFF_LIVE), LAYOUT)

    assert plan.steps == ()
    assert plan.warnings == (f"release {CUT_OFF} serves, since {OLD} is down; the next deploy ends that",)


def test_where_nothing_was_cut_off_there_is_nothing_to_recover() -> None:
    assert plan_recovery(serving(wanted()), LAYOUT).steps == ()


def test_services_that_were_stopped_for_their_successors_start_again() -> None:
    old = [*tier(OLD, "api"), *tier(OLD, "worker", state="exited")]
    run = killed("StartApp", more=("StopFirst",))

    plan = plan_recovery(left(run, tiers={OLD: old, CUT_OFF: tier(CUT_OFF, "api", slot="green")}), LAYOUT)

    assert StartAgain(OLD, ("worker",)) in plan.steps
    untouched = plan_recovery(left(killed("StartApp"), tiers={OLD: old}), LAYOUT)
    assert not any(isinstance(step, StartAgain) for step in untouched.steps)


API, WORKER, MORE = (f"sevra-atlas-local-{OLD}-{name}" for name in ("api-1", "worker-1", "worker-2"))
BEFORE: dict[str, int] = {}
KEPT = {"verb": "KeepScale", "release": OLD, "scale": {"api": 2}, "before": [BEFORE, {"api": 1, "worker": 1}]}
ANEW = {"verb": "StartMore", "release": OLD, "slot": "green", "previous": "blue", "more": {"api": 2}, "beside": [API]}
BESIDE = {**ANEW, "slot": "blue", "more": {"worker": 1}, "beside": [API, WORKER]}
FEWER = {"verb": "RetireReplicas", "release": OLD, "containers": [WORKER], "drain": 7.0}
NEW_SLOT = tier(OLD, "api", slot="green", name=f"sevra-atlas-local-{OLD}-api-2")
SECOND = tier(OLD, "worker", name=MORE)


def scaling(*steps: dict[str, Any], done: int, action: str = "scale") -> CutOff:
    """A run that was killed within the step after those that were done."""
    verbs = tuple(step["verb"] for step in steps)
    return CutOff("x.jsonl", action, "ann@laptop", "then", steps, verbs[: done + 1], verbs[:done])


def test_a_scale_that_was_killed_behind_its_switch_goes_back_to_the_old_replicas() -> None:
    record = {"verb": "Record", "release": OLD}
    run = scaling(KEPT, ANEW, {"verb": "Switch"}, {"verb": "Verify"}, record, FEWER, done=3)
    green = Live("green", OLD)
    observed = left(run, tiers={OLD: [*tier(OLD, *SERVICES), *NEW_SLOT]}, live=green)

    assert plan_recovery(observed, LAYOUT).steps == (
        EndRun((OLD,), False, ()),
        BACK,
        RetireReplicas(OLD, (f"sevra-atlas-local-{OLD}-api-2",), drain=7),
        RestoreReplicas(OLD, "blue", {}, {"api": 1, "worker": 1}),
        REVERTED,
    )


def test_workers_that_a_killed_scale_started_go_and_a_deploy_knows_the_scale_of_before() -> None:
    run = scaling(KEPT, BESIDE, done=1)
    observed = left(run, tiers={OLD: [*tier(OLD, *SERVICES), *SECOND]})
    observed = dataclasses.replace(observed, scale={"api": 2})

    assert plan_recovery(observed, LAYOUT).steps == (
        EndRun((), False, ()),
        RetireReplicas(OLD, (MORE,), drain=0),
        RestoreReplicas(OLD, "blue", {}, {"api": 1, "worker": 1}),
        REVERTED,
    )
    assert scale_after(observed) == {}
    steps = plan_deploy(wanted(fingerprint="other"), observed, LAYOUT).steps
    assert [step.expected for step in steps if isinstance(step, StartApp)] == [{"api": 1, "worker": 1}]


def test_a_restart_whose_new_workers_run_is_finished() -> None:
    run = scaling(BESIDE, FEWER, done=1, action="restart")
    observed = left(run, tiers={OLD: [*tier(OLD, *SERVICES), *SECOND]})

    plan = plan_recovery(observed, LAYOUT)

    assert plan.steps == (EndRun((), False, ()), RetireReplicas(OLD, (WORKER,), drain=7), SUCCEEDED)
    assert plan.reasons[0].endswith("and is finished")


@pytest.mark.parametrize(
    ("verb", "kept", "outcome"),
    [
        ("CloseSite", None, REVERTED),
        ("CloseSite", Maintenance("ab", ("192.0.2.1/32",)), REVERTED),
        ("CloseSite", Maintenance("ab"), SUCCEEDED),
        ("OpenSite", Maintenance("ab"), REVERTED),
        ("OpenSite", None, SUCCEEDED),
    ],
)
@pytest.mark.parametrize("edge", [True, False])
def test_of_a_killed_maintenance_what_is_written_down_counts(
    verb: str, kept: Maintenance | None, outcome: CloseJournal, edge: bool
) -> None:
    run = scaling({"verb": verb, "allow": []}, done=0, action="maintenance")
    observed = dataclasses.replace(left(run, **({} if edge else {"edge": []})), maintenance=kept)

    assert plan_recovery(observed, LAYOUT).steps == (EndRun((), False, ()), SettleMaintenance(edge), outcome)
