"""What a deploy that was cut off leaves behind, and the steps of the next one that put it right."""

from __future__ import annotations

import pytest
from tests.examples import LAYOUT
from tests.recording import tier
from tests.unit.planning.situations import EDGE_FILES, NEW, OLD, OLDER, SERVICES, SITE, serving, wanted

from wharfinger.engine import Container
from wharfinger.model.release import Live
from wharfinger.planning.deploy import plan_deploy
from wharfinger.planning.recovery import live_after, recovery_steps, slot_in_use, tiers_after
from wharfinger.rendering.site import live_default
from wharfinger.steps import Step
from wharfinger.steps.app import Retire, StartApp
from wharfinger.steps.edge import PutSite, StartEdge, Switch

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
