"""What each verb does to a server, and that its undo brings back what was before, however far it got."""

from __future__ import annotations

import dataclasses
import json
from pathlib import PurePosixPath

import pytest
from tests.examples import IMAGES, LAYOUT, sevra
from tests.recording import RecordingHost, RecordingRuntime, run_step, world
from tests.unit.planning.situations import NEW, OLD, OLD_IS_LIVE, release

from wharfinger.errors import InvalidInput, StepFailed, WharfingerError
from wharfinger.health import Address
from wharfinger.hosts import File
from wharfinger.model.release import Live
from wharfinger.rendering.live import live_default
from wharfinger.steps import Step, recorded
from wharfinger.steps.app import Pull, Retire, StartApp, StopFirst
from wharfinger.steps.data import BackUp, Migrate, StartData
from wharfinger.steps.edge import PutSite, StartEdge, Switch
from wharfinger.steps.hooks import AfterHook, BeforeHook, FailureHook
from wharfinger.steps.releases import Prune, Record, UploadRelease
from wharfinger.steps.verify import CheckMigrations, Measure, Verify

STACK = sevra()
FILES = {"compose.yaml": File(b"services: {}"), ".env": File(b"KEY=s3cret", 0o600)}
SITE_BEFORE = (b"old site", live_default(OLD_IS_LIVE).encode())
ADDRESS = Address("http://localhost:8080", "localhost", "127.0.0.1", 8080)
EVERY_STEP: tuple[Step, ...] = (
    UploadRelease(NEW, FILES),
    Pull(("x@sha256:1",)),
    StartEdge({"nginx.conf": b"s3cret"}),
    StartData(("postgres",), FILES, dict.fromkeys(FILES)),
    BackUp(("postgres",), stamp=NEW),
    Migrate(NEW, timeout=1),
    StopFirst(OLD, ("api",), drain=1, timeout=1),
    StartApp(NEW, "green", {"api": 1}, timeout=1),
    PutSite(NEW, "green", b"s3cret", (b"s3cret", None)),
    Switch(NEW, "green", OLD_IS_LIVE, ()),
    BeforeHook(NEW, "http://localhost:8080", ("./tell",), None, timeout=1),
    AfterHook(NEW, "http://localhost:8080", ("./tell",), "api", timeout=1),
    FailureHook(NEW, "http://localhost:8080", ("./tell",), None, timeout=1),
    CheckMigrations(NEW, ("x",), timeout=1),
    Measure(NEW, ADDRESS, {"/": 3}),
    Verify(NEW, ADDRESS, (), {}),
    Record(NEW, OLD, release(NEW)),
    Retire(OLD, drain=1),
    Prune((OLD,), ()),
)


def serving() -> RecordingHost:
    """A host on which OLD serves."""
    host = RecordingHost(
        {
            LAYOUT.site: SITE_BEFORE[0],
            LAYOUT.live: SITE_BEFORE[1],
            LAYOUT.release(OLD) / "compose.yaml": b"old",
            LAYOUT.data / "data.yaml": b"old data",
        }
    )
    host.links[LAYOUT.current] = f"releases/{OLD}"
    return host


def state(host: RecordingHost) -> tuple[dict[PurePosixPath, bytes], dict[PurePosixPath, str]]:
    return {path: file.content for path, file in host.files.items()}, dict(host.links)


# What holds for every verb


@pytest.mark.parametrize("step", EVERY_STEP, ids=lambda step: type(step).__name__)
def test_a_step_is_frozen_has_a_title_and_keeps_contents_to_itself(step: Step) -> None:
    assert step.title
    assert "s3cret" not in repr(step)
    assert "s3cret" not in json.dumps(recorded(step), default=str)
    name = next(iter(recorded(step).keys() - {"verb"}), "files")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(step, name, "x")


@pytest.mark.parametrize("step", EVERY_STEP, ids=lambda step: type(step).__name__)
def test_a_step_that_was_never_begun_may_be_undone_and_twice(step: Step) -> None:
    """As after a kill between the journal's line and the act: what serves goes on serving."""
    host = serving()
    before = state(host)
    if isinstance(step, PutSite):
        step = PutSite(NEW, "green", b"new site", SITE_BEFORE)

    step.undo(world(STACK, host))
    step.undo(world(STACK, host))

    assert state(host) == before


def test_only_what_follows_the_record_tidies() -> None:
    assert [type(step).__name__ for step in EVERY_STEP if step.tidies] == [
        "AfterHook",
        "FailureHook",
        "Retire",
        "Prune",
    ]


# Data


def test_only_a_dump_that_was_never_recorded_goes_when_a_backup_is_undone() -> None:
    """Its record may turn out not to be written once the step is done."""
    names = (f"postgres-{NEW}.dump", f"postgres-{OLD}.dump", f"postgres-{OLD}.json")
    host = RecordingHost({LAYOUT.backups / name: b"" for name in names})

    for stamp in (NEW, OLD):
        BackUp(("postgres",), stamp=stamp).undo(world(STACK, host))

    assert host.names_in(LAYOUT.backups) == names[1:]


# Releases


def test_upload_writes_the_directory_and_makes_the_folders_that_releases_share() -> None:
    host = serving()
    before = state(host)
    step = UploadRelease(NEW, FILES)

    run_step(step, world(STACK, host))

    assert {name: host.files[LAYOUT.release(NEW) / name] for name in FILES} == FILES
    assert host.folders == {LAYOUT.shared / "uploads": (0o750, 10001)}
    host.files[LAYOUT.shared / "uploads/photo"] = File(b"photo")
    step.undo(world(STACK, host))
    del host.files[LAYOUT.shared / "uploads/photo"]  # it was kept
    assert state(host) == before


@pytest.mark.parametrize("previous", [OLD, None])
def test_record_marks_success_before_it_points_current_there(previous: str | None) -> None:
    host = serving()
    if previous is None:
        host.links.clear()
    links = dict(host.links)
    step = Record(NEW, previous, release(NEW, slot="green"))

    run_step(step, world(STACK, host))

    assert [call[0] for call in host.calls] == ["write", "link"]
    assert host.links == {LAYOUT.current: f"releases/{NEW}"}
    written = json.loads(host.read(LAYOUT.current / "release.json") or b"")
    assert (written["slot"], written["succeeded"] is not None) == ("green", True)
    step.undo(world(STACK, host))
    assert host.links == links


def test_what_a_rollback_leaves_is_marked_once_it_no_longer_serves() -> None:
    host = serving()

    run_step(Record(NEW, OLD, release(NEW), release(OLD, left=True)), world(STACK, host))

    assert [call[0] for call in host.calls] == ["write", "link", "write"]
    assert json.loads(host.read(LAYOUT.release(OLD) / "release.json") or b"")["left"] is True


def test_prune_removes_what_failed_deploys_left_and_nothing_that_any_environment_names() -> None:
    host, runtime = serving(), RecordingRuntime()
    repository, theirs = IMAGES["app"].partition("@")[0], f"{IMAGES['app'].partition('@')[0]}@sha256:7"
    record = release(OLD, images={"app": theirs}).model_dump_json().encode()
    host.files[LAYOUT.home.parent / f"other/releases/{OLD}/release.json"] = File(record)
    host.files[LAYOUT.release(NEW) / "release.json"] = File(release(NEW).model_dump_json().encode())
    runtime.images = (IMAGES["app"], theirs, f"{repository}@sha256:8", "elsewhere/app@sha256:9")

    run_step(Prune((OLD,), ()), world(STACK, host, runtime=runtime))

    assert runtime.calls == [("remove_images", (f"{repository}@sha256:8",))]


def test_prune_removes_directories_before_images() -> None:
    host = serving()
    host.files[LAYOUT.backups / "postgres-1.dump"] = File(b"kept")

    run_step(Prune((OLD,), ("x@sha256:1",)), world(STACK, host))

    assert host.calls == [("remove", LAYOUT.release(OLD)), ("remove_images", ("x@sha256:1",))]
    assert LAYOUT.release(OLD) / "compose.yaml" not in host.files
    assert LAYOUT.backups / "postgres-1.dump" in host.files


# The app tier


def test_verbs_of_the_app_tier_are_carried_out_by_the_runtime() -> None:
    host = serving()
    on = world(STACK, host)
    start = StartApp(NEW, "green", {"api": 1}, timeout=1)

    for step in (Pull(("x@sha256:1",)), Migrate(NEW, timeout=1), start, Retire(OLD, drain=10)):
        run_step(step, on)
    start.undo(on)

    assert host.calls == [
        ("pull", ("x@sha256:1",)),
        ("migrate", NEW),
        ("start_app", NEW, "green"),
        ("ask", "GET", f"/flights/sevra-atlas-local/{OLD}?within=200", ""),
        ("stop_app", OLD, 10),
        ("stop_app", NEW, 0),
    ]


def test_what_had_to_stop_first_is_started_again() -> None:
    host = serving()
    on, step = world(STACK, host), StopFirst(OLD, ("worker",), drain=10, timeout=1)

    run_step(step, on)
    step.undo(on)

    assert host.calls == [("stop_services", OLD, ("worker",), 10), ("start_services", OLD, ("worker",))]


def test_a_migration_that_was_cut_off_is_ended() -> None:
    host = serving()
    runtime = RecordingRuntime(host.calls, failures={"migrate": StepFailed("the migration exited 1")})
    on, step = world(STACK, host, runtime=runtime), Migrate(NEW, timeout=1)

    with pytest.raises(StepFailed):
        run_step(step, on)
    step.undo(on)

    assert host.calls == [("migrate", NEW), ("stop_app", NEW, 0)]


# The data tier


def test_the_data_tiers_files_go_back_and_its_services_run_on() -> None:
    host = serving()
    before = state(host)
    new = {"data.yaml": File(b"new data"), ".env": File(b"KEY=new", 0o600)}
    step = StartData(("postgres",), new, {"data.yaml": b"old data", ".env": None})
    on = world(STACK, host)

    run_step(step, on)
    host.write({LAYOUT.data / name: file for name, file in new.items()})  # as the runtime does
    step.undo(on)

    assert ("start_data", ("postgres",)) in host.calls
    assert not [call for call in host.calls if call[0] == "stop_app"]
    del host.files[LAYOUT.data / ".env"]  # a first one stays: the services that run were started with it
    assert state(host) == before


# The edge


def test_a_site_goes_back_byte_for_byte() -> None:
    host = serving()
    before = state(host)
    step, on = PutSite(NEW, "green", b"new site", SITE_BEFORE), world(STACK, host)

    run_step(step, on)
    assert host.read(LAYOUT.site) == b"new site"
    step.undo(on)

    assert state(host) == before
    assert sum("reload" in argv for argv in host.commands) == 2


def test_a_site_that_was_new_goes_away_again() -> None:
    host = RecordingHost()
    step, on = PutSite(NEW, "green", b"new site", (None, None)), world(STACK, host)

    run_step(step, on)
    step.undo(on)

    assert host.files == {}


def test_a_site_that_nginx_refused_needs_no_second_reload() -> None:
    host = serving()
    host.answer("nginx", "-t", status=1)
    step, on = PutSite(NEW, "green", b"nonsense", SITE_BEFORE), world(STACK, host)

    with pytest.raises(InvalidInput):
        run_step(step, on)
    step.undo(on)

    assert not any("reload" in argv for argv in host.commands)


def test_a_switch_proves_the_new_tier_first_and_goes_back_to_the_old_one() -> None:
    host = serving()
    before = state(host)
    step = Switch(NEW, "green", OLD_IS_LIVE, (("api", "/health"), ("worker", "/up")))
    on = world(STACK, host)

    run_step(step, on)

    assert host.asked == [("PUT", "/live/sevra-atlas-local?probe=api/health&probe=worker/up", f"green:{NEW}")]
    assert host.read(LAYOUT.live) == live_default(Live("green", NEW)).encode()
    step.undo(on)
    assert host.asked[1] == ("PUT", "/live/sevra-atlas-local", str(OLD_IS_LIVE))
    assert host.asked[2][1].startswith(f"/flights/sevra-atlas-local/{NEW}?"), "what it was asked meanwhile may finish"
    assert host.commands == []
    assert state(host) == before


def test_a_tier_that_nginx_does_not_reach_never_gets_traffic() -> None:
    host = serving()
    before = state(host)
    host.answer("PUT", status=502, stdout="api/health: Nginx answers 502\n")

    with pytest.raises(WharfingerError, match="does not reach green") as caught:
        run_step(Switch(NEW, "green", OLD_IS_LIVE, (("api", "/health"),)), world(STACK, host))

    assert caught.value.details == ("api/health: Nginx answers 502",)
    assert state(host) == before


def test_a_first_switch_has_nowhere_to_go_back_to() -> None:
    host = RecordingHost()

    Switch(NEW, "blue", None, ()).undo(world(STACK, host))

    assert host.calls == []
