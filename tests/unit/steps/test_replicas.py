"""The verbs on replicas do what they say, and undo it."""

from __future__ import annotations

from tests.examples import LAYOUT
from tests.recording import RecordingEngine, RecordingHost, RecordingRuntime, run_step, tier, world
from tests.unit.planning.situations import OLD, STACK

from wharfinger.hosts import File
from wharfinger.runtimes.compose import ComposeRuntime
from wharfinger.steps.replicas import KeepScale, RetireReplicas, StartMore

PROJECT = f"sevra-atlas-local-{OLD}"
ENV = LAYOUT.release(OLD) / ".env"


def test_a_scale_is_written_down_and_the_former_one_put_back() -> None:
    host = RecordingHost()
    runtime = RecordingRuntime(host.calls)
    step = KeepScale(OLD, {"api": 3}, {"api": 3, "worker": 1}, ({}, {"api": 1, "worker": 1}))
    on = world(STACK, host, runtime=runtime)

    run_step(step, on)

    assert host.read(LAYOUT.scale) == b'{"api": 3}\n'
    assert host.calls[-1] == ("choose", OLD, None, {"api": 3, "worker": 1})
    step.undo(on)
    assert host.read(LAYOUT.scale) is None
    assert host.calls[-1] == ("choose", OLD, None, {"api": 1, "worker": 1})


def test_undoing_a_start_removes_the_new_replicas_and_no_others() -> None:
    runtime = RecordingRuntime(tiers={OLD: ("old-1", "old-2", "new-1")})
    step = StartMore(OLD, "green", "blue", {"api": 2}, ("old-1", "old-2"), timeout=5)
    on = world(STACK, RecordingHost(), runtime=runtime)

    run_step(step, on)
    step.undo(on)

    assert runtime.calls == [
        ("start_more", OLD, "green", {"api": 2}),
        ("choose", OLD, "green", None),
        ("stop_replicas", OLD, ("new-1",), 0),
        ("choose", OLD, "blue", None),
    ]


def test_compose_starts_more_beside_what_runs_and_recreates_nothing() -> None:
    host = RecordingHost()
    engine = RecordingEngine(*tier(OLD, "api", "worker"), calls=host.calls)

    ComposeRuntime(host, engine, LAYOUT).start_more(OLD, "green", {"api": 2}, timeout=5, note=lambda _: None)

    (argv,) = host.commands
    assert argv[-4:] == ("--no-recreate", "--scale", "api=3", "api")
    assert host.environments == [{"WHARFINGER_SLOT": "green"}]
    assert host.calls[-1] == ("wait", PROJECT, {"api": 2})


def test_slot_and_scale_go_before_the_values_and_replace_those_of_before() -> None:
    host = RecordingHost({ENV: b"WHARFINGER_SLOT=blue\nWHARFINGER_SCALE_API=1\nKEY='multi\nline'\n"})

    ComposeRuntime(host, RecordingEngine(), LAYOUT).choose(OLD, slot="green", scale={"api": 3})

    written = b"WHARFINGER_SCALE_API=3\nWHARFINGER_SLOT=green\nKEY='multi\nline'\n"
    assert host.files[ENV] == File(written, 0o600)


def test_replicas_that_are_gone_already_are_no_matter() -> None:
    host = RecordingHost()
    there, gone = f"{PROJECT}-api-1", f"{PROJECT}-api-2"
    runtime = ComposeRuntime(host, RecordingEngine(*tier(OLD, "api", "worker")), LAYOUT)

    runtime.stop_replicas(OLD, (there, gone), drain=7)
    runtime.stop_replicas(OLD, (gone,), drain=7)

    assert host.commands == [
        ("docker", "stop", "--time", "7", there),
        ("docker", "rm", "--force", "--volumes", there),
    ]
    assert RetireReplicas(OLD, (there, gone), 7).title == "retire 2 replicas"
