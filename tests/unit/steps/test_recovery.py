"""What each step of a recovery does, and that it bears being repeated."""

from __future__ import annotations

import json

import pytest
from tests.examples import LAYOUT
from tests.recording import RecordingHost, RecordingRuntime, run_step, world
from tests.unit.planning.situations import OLD, STACK

from wharfinger.errors import StepFailed
from wharfinger.model.maintenance import Maintenance
from wharfinger.model.release import Slot
from wharfinger.model.run import cut_off
from wharfinger.steps.recovery import (
    CloseJournal,
    EndRun,
    RemoveRelease,
    RestoreReplicas,
    RestoreSite,
    SettleMaintenance,
    StopData,
    StopEdge,
)

CUT_OFF = "20261120130000"
JOURNAL = LAYOUT.journal / "x.jsonl"


def test_what_the_run_still_does_is_ended_by_name_and_nothing_else() -> None:
    host = RecordingHost()

    run_step(EndRun((CUT_OFF, OLD), True, ("postgres",)), world(STACK, host))

    (ended,) = [words for verb, words in host.calls if verb == "end"]
    name = "sevra-atlas-local"
    assert [words[-1] for words in ended[:3]] == [name, f"{name}-{CUT_OFF}", f"{name}-{OLD}"]
    assert all(words[:3] == ("--progress", "plain", "--project-name") for words in ended[:3])
    assert ended[3:] == ((f"{name}-postgres", "timeout"), (f"{name}-postgres", "pg_restore"))
    (asked,) = host.commands
    assert asked[:3] == ("docker", "exec", f"{name}-postgres")
    assert "pg_terminate_backend" in asked[-1]


def test_hooks_that_the_run_left_in_containers_are_ended() -> None:
    runtime = RecordingRuntime()

    run_step(EndRun((CUT_OFF,), False, (), (CUT_OFF,)), world(STACK, RecordingHost(), runtime=runtime))

    assert runtime.calls == [("end_once", CUT_OFF)]


def test_what_does_not_end_stops_the_recovery() -> None:
    class Stubborn(RecordingHost):
        def left_running(self, *_: object, **__: object) -> tuple[str, ...]:
            return ("docker compose up",)

    with pytest.raises(StepFailed, match="still running: docker compose up"):
        run_step(EndRun((CUT_OFF,), False, ()), world(STACK, Stubborn()))


@pytest.mark.parametrize("reload", [True, False])
def test_the_site_goes_back_byte_for_byte(reload: bool) -> None:
    host = RecordingHost({LAYOUT.site: b"new", LAYOUT.live: b"green"})

    run_step(RestoreSite(b"old\r\n\xff", b"blue", reload=reload), world(STACK, host))

    assert (host.read(LAYOUT.site), host.read(LAYOUT.live)) == (b"old\r\n\xff", b"blue")
    assert any("reload" in argv for argv in host.commands) is reload


@pytest.mark.parametrize("with_files", [True, False])
def test_a_data_tier_goes_with_its_files_where_there_were_none_before(with_files: bool) -> None:
    host = RecordingHost({LAYOUT.data / "data.yaml": b"services: {}", LAYOUT.shared / "uploads/photo": b"photo"})

    run_step(StopData(with_files=with_files), world(STACK, host))

    assert ("stop_data",) in host.calls
    assert (host.read(LAYOUT.data / "data.yaml") is None) is with_files
    assert host.read(LAYOUT.shared / "uploads/photo") == b"photo"


@pytest.mark.parametrize(("others", "stopped"), [({}, True), ({LAYOUT.site.with_name("other.conf"): b"x"}, False)])
def test_an_edge_that_serves_others_is_left_alone(others: dict[object, bytes], stopped: bool) -> None:
    host = RecordingHost(others)  # type: ignore[arg-type]

    run_step(StopEdge(), world(STACK, host))

    assert any("down" in argv for argv in host.commands) is stopped


def test_only_backups_of_that_release_that_were_never_read_back_go() -> None:
    backups = LAYOUT.backups
    whole = {backups / f"postgres-{OLD}.dump": b"d", backups / f"postgres-{OLD}.json": b"{}", backups / "my.dump": b"m"}
    half = {backups / f"postgres-{CUT_OFF}.dump": b"", backups / f".postgres-{CUT_OFF}.dump.part": b""}
    host = RecordingHost({**whole, **half, LAYOUT.release(CUT_OFF) / "compose.yaml": b""})

    for _ in range(2):
        run_step(RemoveRelease(CUT_OFF, ("postgres",)), world(STACK, host))

    assert set(host.files) == set(whole)


def test_a_backup_that_was_read_back_stays() -> None:
    files = {LAYOUT.backups / f"postgres-{CUT_OFF}.{suffix}": b"{}" for suffix in ("dump", "json")}
    host = RecordingHost(files)

    run_step(RemoveRelease(CUT_OFF, ("postgres",)), world(STACK, host))

    assert set(host.files) == set(files)


def test_containers_that_the_engine_made_late_go_too() -> None:
    host = RecordingHost()
    runtime = RecordingRuntime(host.calls, tiers={CUT_OFF: ("web",)})

    run_step(RemoveRelease(CUT_OFF, ()), world(STACK, host, runtime=runtime))

    assert ("stop_app", CUT_OFF, 0) in host.calls


@pytest.mark.parametrize("torn", [b"", b'{"event": "star'])
def test_a_journal_is_closed_even_within_a_torn_line(torn: bytes) -> None:
    host = RecordingHost({JOURNAL: b'{"event": "planned"}\n' + torn})

    run_step(CloseJournal("x.jsonl", "reverted"), world(STACK, host))

    content = host.read(JOURNAL) or b""
    assert cut_off("x.jsonl", content) is None
    assert json.loads(content.splitlines()[-1])["outcome"] == "reverted"


def test_half_written_files_go_and_nobody_elses() -> None:
    half = [
        LAYOUT.home / ".current.99",
        LAYOUT.home / ".lock.99",
        LAYOUT.data / ".data.yaml.abc_1",
        LAYOUT.data / "..env.abc_1",
        LAYOUT.backups / ".postgres-1.json.x",
        LAYOUT.site.with_name(f".{LAYOUT.site.name}.abc"),
    ]
    kept = [
        LAYOUT.home / ".lock.1",  # another process tries for the lock
        LAYOUT.data / ".env",
        LAYOUT.site.with_name(".other-local.conf.abc"),
        LAYOUT.site,
        JOURNAL,
    ]
    proc = LAYOUT.root.parent.parent / "proc/1/stat"
    host = RecordingHost(dict.fromkeys((*half, *kept, proc), b"\n"))

    run_step(CloseJournal("x.jsonl", "reverted"), world(STACK, host))

    assert set(host.files) == {*kept, proc}


@pytest.mark.parametrize(
    ("scale", "slot", "chosen"),
    [
        ({"api": 2}, None, [("choose", OLD, None, {"api": 2})]),
        ({}, "blue", [("choose", OLD, None, {"api": 2}), ("choose", OLD, "blue", None)]),
        (None, "blue", [("choose", OLD, "blue", None)]),
    ],
)
def test_scale_and_slot_are_written_down_again(
    scale: dict[str, int] | None, slot: Slot | None, chosen: list[object]
) -> None:
    host = RecordingHost({LAYOUT.scale: b'{"api": 7}'})
    runtime = RecordingRuntime()

    run_step(RestoreReplicas(OLD, slot, scale, {"api": 2}), world(STACK, host, runtime=runtime))

    assert runtime.calls == chosen
    assert host.read(LAYOUT.scale) == (b'{"api": 2}\n' if scale else b'{"api": 7}' if scale is None else None)


@pytest.mark.parametrize("kept", [None, Maintenance("ab" * 16)])
@pytest.mark.parametrize("ready", [True, False])
def test_the_edge_does_what_is_written_down(kept: Maintenance | None, ready: bool) -> None:
    files = {LAYOUT.maintenance_page: b"<p>soon</p>"} | ({LAYOUT.maintenance: kept.default.encode()} if kept else {})
    host = RecordingHost(files)

    run_step(SettleMaintenance(ready), world(STACK, host))

    told = ("PUT", "/maintenance/sevra-atlas-local", "off" if kept is None else kept.value)
    assert host.asked == [told] * ready
    assert (host.read(LAYOUT.maintenance_page) is None) == (kept is None)
