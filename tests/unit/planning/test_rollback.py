"""Which release a rollback goes to, and how."""

from __future__ import annotations

import dataclasses

import pytest
from tests.examples import IMAGES, LAYOUT
from tests.recording import tier
from tests.unit.planning.situations import (
    NEW,
    OLD,
    OLD_IS_LIVE,
    OLDER,
    OLDEST,
    SERVICES,
    SITE,
    STACK,
    release,
    serving,
    wanted,
)

from wharfinger.errors import UsageError
from wharfinger.health import Address
from wharfinger.model.checks import Check, Latency, LatencyCheck, LogCheck, Logs
from wharfinger.model.release import Live, Release
from wharfinger.planning import Plan
from wharfinger.planning.rollback import choose, plan_rollback
from wharfinger.planning.wanted import Wanted
from wharfinger.steps.app import Pull, Retire, StartApp, StopFirst
from wharfinger.steps.edge import PutSite, StartEdge, Switch
from wharfinger.steps.releases import Record
from wharfinger.steps.verify import Verify

GOOD = (release(OLDEST), release(OLDER), release(OLD))
LEFT = (release(OLDEST), release(OLDER, left=True), release(OLD))
FAILED_LAST = (release(OLDEST), release(OLDER, succeeded=None), release(OLD))


@pytest.mark.parametrize(
    ("releases", "current", "to", "chosen"),
    [
        (GOOD, OLD, None, OLDER),
        (FAILED_LAST, OLD, None, OLDEST),  # what never succeeded is nothing to go back to
        (GOOD, OLDER, None, OLDEST),  # a second rollback goes further back, not forth again
        (LEFT, OLD, None, OLDEST),  # what was rolled back from is nothing to go back to by itself
        (LEFT, OLD, OLDER, OLDER),
        (GOOD, OLD, OLDEST, OLDEST),
        (GOOD, OLDEST, OLD, OLD),  # forth again, by name
    ],
)
def test_a_rollback_goes_to_the_last_successful_release_before_the_current_one(
    releases: tuple[Release, ...], current: str, to: str | None, chosen: str
) -> None:
    assert choose(serving(wanted(), releases=releases, current=current), to).id == chosen


@pytest.mark.parametrize(
    ("releases", "current", "to", "problem"),
    [
        (GOOD, OLDEST, None, "there is no successful release before the current one"),
        ((release(OLDER, succeeded=None), release(OLD)), OLD, None, "no successful release before the current one"),
        ((), None, None, "there is no successful release before the current one"),
        (GOOD, OLD, "20200101000000", f"20200101000000 on the server; there is: {OLDEST}, {OLDER}, {OLD}"),
        (FAILED_LAST, OLD, OLDER, f"no successful release {OLDER} on the server; there is: {OLDEST}, {OLD}"),
        ((), None, OLD, "there is: none"),
    ],
)
def test_a_rollback_to_nowhere_says_what_there_is(
    releases: tuple[Release, ...], current: str | None, to: str | None, problem: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose(serving(wanted(), releases=releases, current=current), to)

    assert problem in caught.value.problem
    assert "invoke releases" in caught.value.fix


def earlier(**changes: object) -> Wanted:
    """OLDER as its directory on the server describes it."""
    past = Wanted(
        stack=STACK,
        environment=STACK.environments["local"],
        release=release(OLDER),
        files={},
        data_files={},
        edge_files={},
        site=SITE,
    )
    return dataclasses.replace(past, **changes)  # type: ignore[arg-type]


def test_a_rollback_starts_the_old_release_beside_the_current_one_and_leaves_the_data_alone() -> None:
    want = earlier()
    observed = serving(wanted(NEW), releases=GOOD)

    assert plan_rollback(want, observed, LAYOUT) == Plan(
        action="rollback",
        release=OLDER,
        steps=(
            Pull((IMAGES["app"],)),
            StartApp(OLDER, "green", {"api": 1, "worker": 1}, timeout=120),
            Switch(OLDER, "green", OLD_IS_LIVE, (("api", "/health"),)),
            Verify(
                OLDER,
                Address("http://localhost:8080", "localhost", "127.0.0.1", 8080),
                STACK.checks,
                {"api": 1, "worker": 1},
            ),
            Record(OLDER, OLD, release(OLDER, slot="green"), release(OLD, left=True)),
            Retire(OLD, drain=10),
        ),
        reasons=(f"release {OLD} is to be replaced by {OLDER}",),
        serving=f"release {OLD} still serves",
        stack=want.stack,
    )


@pytest.mark.parametrize(("current", "to"), [(OLDER, OLD), (OLD, OLD)])
def test_forth_again_no_release_is_left_and_the_mark_of_the_one_that_serves_goes(current: str, to: str) -> None:
    releases = (release(OLDEST), release(OLDER), release(OLD, left=True))
    observed = dataclasses.replace(serving(wanted(NEW), releases=releases, current=current), tiers={})

    steps = plan_rollback(earlier(release=release(OLD, left=True)), observed, LAYOUT).steps

    (record,) = [step for step in steps if isinstance(step, Record)]
    assert (record.record.left, record.left) == (False, None)


def test_a_rollback_too_stops_first_what_must_not_overlap() -> None:
    services = STACK.services | {"worker": STACK.services["worker"].model_copy(update={"strategy": "recreate"})}
    want = earlier(stack=STACK.model_copy(update={"services": services}))

    steps = plan_rollback(want, serving(wanted(NEW), releases=GOOD), LAYOUT).steps

    assert steps[1:4] == (
        StartApp(OLDER, "green", {"api": 1}, timeout=120),
        StopFirst(OLD, ("worker",), drain=10, timeout=120),
        StartApp(OLDER, "green", {"worker": 1}, timeout=120),
    )


@pytest.mark.parametrize(("to", "kinds"), [(OLDER, [Check, LogCheck]), (OLD, [Check])])
def test_a_rollback_compares_no_latency_and_reads_new_logs_only(to: str, kinds: list[type]) -> None:
    """A release that is brought back up may have logged anything since it was deployed."""
    checks = (Check(path="/"), LogCheck(logs=Logs()), LatencyCheck(latency=Latency()))
    want = earlier(stack=STACK.model_copy(update={"checks": checks}), release=release(to))
    half = {OLD: tier(OLD, "api")}

    steps = plan_rollback(want, serving(wanted(NEW), releases=GOOD, tiers=half), LAYOUT).steps

    (verify,) = [step for step in steps if isinstance(step, Verify)]
    assert [type(check) for check in verify.checks] == kinds
    assert "Measure" not in [type(step).__name__ for step in steps]


def test_the_site_goes_back_with_the_release() -> None:
    observed = serving(wanted(NEW), releases=GOOD, files={LAYOUT.site: b"newer site\n"})

    steps = plan_rollback(earlier(), observed, LAYOUT).steps

    assert [type(step) for step in steps[2:4]] == [PutSite, Switch]


def test_a_rollback_to_the_release_that_serves_does_nothing() -> None:
    observed = serving(wanted(NEW), releases=GOOD)

    assert plan_rollback(earlier(release=release(OLD)), observed, LAYOUT).steps == ()


def test_a_rollback_starts_an_edge_that_is_down_before_it_asks_anything_of_it() -> None:
    observed = serving(wanted(NEW), releases=GOOD, edge=())

    steps = plan_rollback(earlier(), observed, LAYOUT).steps

    assert steps[:3] == (
        Pull((IMAGES["app"],)),
        StartEdge({}),
        StartApp(OLDER, "green", {"api": 1, "worker": 1}, timeout=120),
    )


def test_an_edge_that_is_down_is_started_before_it_is_switched_back() -> None:
    tiers = {OLD: tier(OLD, *SERVICES), NEW: tier(NEW, *SERVICES, slot="green")}
    observed = serving(wanted(NEW), releases=GOOD, tiers=tiers, live=Live("green", NEW), edge=())

    steps = plan_rollback(earlier(), observed, LAYOUT).steps

    assert steps[:2] == (StartEdge({}), Switch(OLD, "blue", None, ()))
    assert sum(isinstance(step, StartEdge) for step in steps) == 1


def test_a_rollback_of_a_stack_without_a_site_starts_no_edge() -> None:
    stack = STACK.model_copy(update={"site": None})
    observed = serving(wanted(NEW), releases=GOOD, edge=())

    steps = plan_rollback(earlier(stack=stack, site=None), observed, LAYOUT).steps

    assert not any(isinstance(step, StartEdge) for step in steps)


def test_a_rollback_removes_what_a_killed_run_left() -> None:
    tiers = {OLD: tier(OLD, *SERVICES), NEW: tier(NEW, *SERVICES, slot="green")}
    observed = serving(wanted(NEW), releases=GOOD, tiers=tiers, live=Live("green", NEW))

    steps = plan_rollback(earlier(), observed, LAYOUT).steps

    assert steps[:2] == (Switch(OLD, "blue", None, ()), Retire(NEW, drain=0))
    assert steps[-1] == Retire(OLD, drain=10)
