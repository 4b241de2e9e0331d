"""How many replicas run, and starting them anew: the steps, and that nothing is stopped which the edge leads to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from tests.examples import LAYOUT
from tests.recording import tier
from tests.unit.planning.situations import OLD, STACK, serving, wanted

from wharfinger.engine import Container
from wharfinger.errors import UsageError, WharfingerError
from wharfinger.facts import Observed
from wharfinger.model.release import Live
from wharfinger.planning import Plan
from wharfinger.planning.deploy import plan_deploy
from wharfinger.planning.recovery import recovery_steps, slot_in_use
from wharfinger.planning.replicas import plan_restart, plan_scale, refuse_unserved
from wharfinger.steps import Step
from wharfinger.steps.app import StartApp
from wharfinger.steps.edge import Switch
from wharfinger.steps.replicas import KeepScale, RetireReplicas, StartMore

API, WORKER = (f"sevra-atlas-local-{OLD}-{name}-1" for name in ("api", "worker"))


def seen(*, scale: Mapping[str, int] | None = None, **changes: Any) -> Observed:
    return dataclasses.replace(serving(wanted(OLD), **changes), scale=scale or {})


def scaled(counts: Mapping[str, int], observed: Observed) -> Plan:
    return plan_scale(wanted(OLD), observed, LAYOUT, counts)


def verbs(steps: tuple[Step, ...]) -> list[str]:
    return [type(step).__name__ for step in steps]


def replica(service: str, number: int, slot: str = "blue") -> Container:
    name = f"sevra-atlas-local-{OLD}-{service}-{number}"
    return tier(OLD, service, slot="green" if slot == "green" else "blue", id=name, name=name)[0]


def test_services_with_traffic_start_anew_in_the_other_slot_before_the_old_ones_stop() -> None:
    plan = scaled({"api": 3}, seen())

    assert verbs(plan.steps) == ["KeepScale", "StartMore", "Switch", "Verify", "Record", "RetireReplicas"]
    keep, start, switch, _, _, retire = plan.steps
    expected = {"api": 3, "worker": 1}
    assert keep == KeepScale(OLD, {"api": 3}, expected, ({}, {"api": 1, "worker": 1}))
    assert start == StartMore(OLD, "green", "blue", expected, (API, WORKER), timeout=120)
    assert isinstance(switch, Switch)
    assert (switch.slot, switch.release, switch.previous) == ("green", OLD, Live("blue", OLD))
    assert retire == RetireReplicas(OLD, (API, WORKER), drain=10)
    assert plan.reasons == ("api: 1 → 3",)


def test_services_without_traffic_come_and_go_one_by_one() -> None:
    more = scaled({"worker": 3}, seen())
    running = [replica("api", 1), *(replica("worker", number) for number in (1, 2, 3))]
    fewer = scaled({"worker": 1}, seen(tiers={OLD: tuple(running)}, scale={"worker": 3}))

    assert verbs(more.steps) == ["KeepScale", "StartMore"]
    assert more.steps[1] == StartMore(OLD, "blue", "blue", {"worker": 2}, (API, WORKER), timeout=120)
    assert verbs(fewer.steps) == ["KeepScale", "RetireReplicas"]
    assert fewer.steps[1] == RetireReplicas(OLD, (running[2].name, running[3].name), drain=30)


def test_what_runs_and_is_kept_already_needs_nothing() -> None:
    assert scaled({"api": 1}, seen(scale={"api": 1})).steps == ()
    assert verbs(scaled({"api": 1}, seen()).steps) == ["KeepScale"]


def test_a_restart_replaces_all_or_only_those_without_traffic() -> None:
    everything, worker = (plan_restart(wanted(OLD), seen(), LAYOUT, services) for services in ((), ("worker",)))

    assert verbs(everything.steps) == ["StartMore", "Switch", "Verify", "Record", "RetireReplicas"]
    assert verbs(plan_restart(wanted(OLD), seen(), LAYOUT, ("api",)).steps) == verbs(everything.steps)
    assert worker.steps == (
        StartMore(OLD, "blue", "blue", {"worker": 1}, (API, WORKER), timeout=120),
        RetireReplicas(OLD, (WORKER,), drain=30),
    )


@pytest.mark.parametrize(
    "plan", [lambda: scaled({"wrker": 2}, seen()), lambda: plan_restart(wanted(OLD), seen(), LAYOUT, ["wrker"])]
)
def test_a_service_that_there_is_not_is_refused(plan: Any) -> None:
    with pytest.raises(UsageError, match="no service wrker"):
        plan()


def test_the_next_deploy_starts_what_scale_asked_for() -> None:
    plan = plan_deploy(wanted(fingerprint="other"), seen(scale={"api": 3}), LAYOUT)

    (start,) = [step for step in plan.steps if isinstance(step, StartApp)]
    assert start.expected == {"api": 3, "worker": 1}


@pytest.mark.parametrize(("live", "stale"), [("blue", "green"), ("green", "blue")])
def test_what_a_cut_off_scale_left_is_removed_and_what_serves_is_not(live: Any, stale: str) -> None:
    both = (replica("api", 1, "blue"), replica("api", 2, "green"))
    observed = seen(tiers={OLD: both}, live=Live(live, OLD))

    left = next(each.name for each in both if each.slot == stale)
    assert slot_in_use(observed) == live
    assert tuple(recovery_steps(observed, LAYOUT)) == (RetireReplicas(OLD, (left,), drain=0),)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"current": None, "tiers": {}}, "nothing is deployed in local"),
        ({"tiers": {}}, f"release {OLD} does not run"),
        ({"edge": ()}, "the edge does not run, or is not healthy yet"),
    ],
)
def test_there_must_be_something_that_serves(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(WharfingerError, match=problem) as caught:
        refuse_unserved(seen(**changes), with_site=True, environment="local")
    assert caught.value.fix == "invoke deploy --env local"
    assert refuse_unserved(seen(), with_site=STACK.site is not None, environment="local") == OLD
