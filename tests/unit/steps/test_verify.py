"""The checklist: every line passes or fails by name, and all that fails is told together."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from tests.examples import LAYOUT, sevra
from tests.recording import Heard, RecordingHost, RecordingRuntime, container, world
from tests.unit.planning.situations import NEW, STACK, empty, wanted

from wharfinger import health
from wharfinger.console import Finding
from wharfinger.engine import Container
from wharfinger.errors import StepFailed
from wharfinger.health import Address
from wharfinger.hosts import Completed
from wharfinger.model.checks import AnyCheck, Check, Latency, LatencyCheck, LogCheck, Logs
from wharfinger.planning.checklist import verification
from wharfinger.steps import Step, World
from wharfinger.steps import verify as module
from wharfinger.steps.verify import BASELINE, CheckMigrations, Measure, Verify

ADDRESS = Address("http://localhost:8080", "localhost", "127.0.0.1", 8080)
WEB = container(LAYOUT.target.app_project(NEW), "web")
WORKER = container(LAYOUT.target.app_project(NEW), "worker")


def verify(*checks: AnyCheck, **expected: int) -> Verify:
    return Verify(NEW, ADDRESS, checks, expected)


def on(**facts: Any) -> World:
    host = RecordingHost()
    return world(sevra(), host, runtime=RecordingRuntime(host.calls, **facts))


def checklist(step: Step, where: World) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Run a step; return what it found, and the details of its failure."""
    with Heard().console.steps([step.title]) as steps, steps.step(step.title) as shown:
        try:
            step.run(where, shown)
        except StepFailed as error:
            return shown.findings, error.details
    return shown.findings, ()


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for an engine that is none."""
    monkeypatch.setattr(module, "_NOTICED", (0, 0))


def test_where_a_check_fails_a_busy_engine_gets_time_to_notice_what_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "failure", lambda *_: "status 502, expected 200")
    ended = dataclasses.replace(WEB, state="exited", exit_code=3)

    found, details = checklist(verify(Check(path="/"), web=1), on(seen=[(WEB,), (ended,)]))

    assert found[-1].passed is False
    assert details[-1].startswith("containers: web was healthy and is exited with code 3")


@pytest.fixture
def medians(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """What each measurement finds, in order."""
    found: list[float | None] = []
    monkeypatch.setattr(health, "median_latency", lambda *_, **__: found.pop(0))
    return found


def test_every_request_is_a_line_and_all_that_fail_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = {"/health": "status 502, expected 200", "/": None, "/api": "the answer is not JSON"}
    monkeypatch.setattr(health, "failure", lambda _, check: reasons[check.path])

    found, details = checklist(verify(*(Check(path=path) for path in reasons)), on())

    assert [(line.name, line.passed) for line in found] == [
        ("GET /health", False),
        ("GET /", True),
        ("GET /api", False),
        ("containers", True),
    ]
    assert found[1].seen.endswith(" ms")
    assert details == ("GET /health: status 502, expected 200", "GET /api: the answer is not JSON")


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        ("2026-11-20 ERROR no such table: pebbles", False),
        ("Traceback (most recent call last):", False),
        ('{"time": "…", "level": "error", "message": "lost"}', False),
        ('{"level":"fatal","msg":"lost"}', False),
        ("panic: runtime error: index out of range", False),
        ("[error] 0 of 3 ERRORS_TOTAL", True),
        ('{"level": "info", "message": "an error page was shown"}', True),
        ("listening on 3000", True),
    ],
)
def test_lines_that_tell_of_errors_are_known_without_a_pattern(line: str, passes: bool) -> None:
    found, details = checklist(verify(LogCheck(logs=Logs())), on(logged={"web": ("started", line)}))

    assert found[0].passed is passes
    assert any(line in detail for detail in details) is not passes
    assert line not in found[0].seen, "a journal holds no log lines"


def test_a_pattern_and_services_of_ones_own_decide_which_lines_count() -> None:
    logged = {"web": ("oops 1", "oops 2"), "worker": ("oops 3",)}

    found, details = checklist(verify(LogCheck(logs=Logs(deny="^oops", services=("web",)))), on(logged=logged))

    assert found[0] == Finding("logs of web", passed=False, seen="2 lines of web that `deny` matches")
    assert details == ("logs of web: 2 lines of web that `deny` matches", "  web: oops 1", "  web: oops 2")


def test_logs_are_read_once_requests_have_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: dict[str, tuple[str, ...]] = {}

    def answer(*_: object) -> None:
        logged["web"] = ("ERROR while answering",)

    monkeypatch.setattr(health, "failure", answer)

    found, _ = checklist(verify(LogCheck(logs=Logs()), Check(path="/")), on(logged=logged))

    assert [line.passed for line in found] == [True, False, True]


@pytest.mark.parametrize(
    ("before", "measured", "passes"),
    [
        (0.020, [0.039], True),
        (0.020, [0.050, 0.030], True),  # measured again: a busy moment is no slow release
        (0.020, [0.050, 0.041], False),
        (0.001, [0.004], True),  # under the floor, whatever the factor
        (0.001, [0.006, 0.006], False),
        (0.020, [None], False),
        (None, [], True),  # a first deploy, or an old release that did not answer
    ],
)
def test_a_median_is_held_against_the_one_before(
    medians: list[float | None], before: float | None, measured: list[float | None], passes: bool
) -> None:
    where = on()
    medians += [before, *measured]
    checklist(Measure(NEW, ADDRESS, {"/": 5}), where)

    found, _ = checklist(verify(LatencyCheck(latency=Latency(path="/", samples=5, factor=2, floor="5ms"))), where)

    assert (found[0].name, found[0].passed) == ("median of GET /", passes)
    assert medians == [], "no more was measured than needed"


def test_the_baseline_lies_beside_the_release(medians: list[float | None]) -> None:
    where = on()
    medians += [0.0125, None]

    checklist(Measure(NEW, ADDRESS, {"/": 5, "/down": 5}), where)

    assert json.loads(where.host.read(LAYOUT.release(NEW) / BASELINE) or b"") == {"/": 0.0125}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ((WEB, WORKER), None),
        (
            (dataclasses.replace(WEB, state="exited", exit_code=3), WORKER),
            "containers: web was healthy and is exited with code 3",
        ),
        ((WEB, dataclasses.replace(WORKER, health="unhealthy")), "containers: worker was healthy and is unhealthy"),
        ((dataclasses.replace(WEB, restarts=1), WORKER), "containers: web ended and was started again"),
        ((WEB,), "containers: worker: 0 of 1 containers are there"),
    ],
)
def test_a_container_that_dies_meanwhile_is_noticed(now: tuple[Container, ...], told: str | None) -> None:
    found, details = checklist(verify(web=1, worker=1), on(seen=[now]))

    assert found == (Finding("containers", passed=told is None, seen=found[0].seen),)
    assert [detail.startswith(told) for detail in details] == [True] if told else not details


@pytest.mark.parametrize(("restarts", "passes"), [(2, True), (3, False)])
def test_only_what_ends_after_the_plan_was_made_counts(restarts: int, passes: bool) -> None:
    """A replica that runs since long may have been started again long ago."""
    old = dataclasses.replace(WEB, restarts=2)
    observed = dataclasses.replace(empty(wanted()), tiers={NEW: (old,)})
    step = verification(STACK, STACK.environments["local"], NEW, {"web": 1}, observed, without=(Check,))

    found, _ = checklist(step, on(seen=[(dataclasses.replace(old, restarts=restarts),)]))

    assert found == (Finding("containers", passed=passes, seen=found[0].seen),)


@pytest.mark.parametrize("status", [0, 3])
def test_migrations_are_at_head_where_the_command_says_so(status: int) -> None:
    where = on(once=Completed((), status, "head: 0004\n", "current: 0003\n"))

    found, details = checklist(CheckMigrations(NEW, ("app", "at-head"), timeout=1), where)

    assert found[0].name == "migrations at head"
    assert found[0].passed is (status == 0)
    assert details == (("head: 0004", "current: 0003") if status else ())
    assert isinstance(where.host, RecordingHost)
    assert where.host.calls == [("run_once", NEW, "migrate", ("app", "at-head"))]
