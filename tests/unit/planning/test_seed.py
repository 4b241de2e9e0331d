"""A database is seeded once, when a developer asks for it, and never by a deploy."""

from __future__ import annotations

import dataclasses

import pytest
from tests.examples import LAYOUT
from tests.recording import RecordingHost, run_step, world
from tests.unit.planning.situations import NEW, OLD, STACK, empty, serving, wanted

from wharfinger.errors import StepFailed
from wharfinger.planning import Plan
from wharfinger.planning.deploy import plan_deploy
from wharfinger.steps.data import Seed

SOWN = STACK.model_validate({**STACK.model_dump(by_alias=True), "seed": {"image": "app", "command": ["seed"]}})


def verbs(plan: Plan) -> list[str]:
    return [type(step).__name__ for step in plan.steps]


def test_the_first_up_seeds_after_the_migration_and_a_deploy_does_not() -> None:
    up = wanted(stack=SOWN)
    steps = verbs(plan_deploy(dataclasses.replace(up, seeded=True), empty(up), LAYOUT))

    assert steps.index("Seed") == steps.index("Migrate") + 1
    assert "Seed" not in verbs(plan_deploy(up, empty(up), LAYOUT))


def test_what_was_deployed_before_is_seeded_once_and_not_again() -> None:
    up = dataclasses.replace(wanted(OLD, stack=SOWN), seeded=True)
    never = plan_deploy(up, serving(up), LAYOUT)
    once = plan_deploy(up, serving(up, files={LAYOUT.seeded: b"{}"}), LAYOUT)

    assert never.reasons == ("the databases were never seeded",)
    assert "Seed" in verbs(never)
    assert once.steps == ()


def test_a_seed_that_succeeds_is_marked_and_one_that_fails_is_not() -> None:
    host, failing = RecordingHost(), RecordingHost()
    failed = world(SOWN, failing)
    failed.runtime.failures["seed"] = StepFailed("the seed exited 1")  # type: ignore[attr-defined]

    run_step(Seed(NEW, timeout=5), world(SOWN, host))
    with pytest.raises(StepFailed):
        run_step(Seed(NEW, timeout=5), failed)

    assert host.read(LAYOUT.seeded) == f'{{"release": "{NEW}"}}\n'.encode()
    assert failing.read(LAYOUT.seeded) is None
