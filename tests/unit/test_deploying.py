"""The release to be, and what a server must have before it is touched."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from tests.examples import IMAGES, LAYOUT, sevra
from tests.recording import RecordingEngine, RecordingHost, edge_container, server
from tests.unit.planning.situations import NEW, empty, serving, wanted

from wharfinger import dotenv
from wharfinger.deploying import begin, refuse_overtaken, refuse_unready, want
from wharfinger.errors import NotReady, WharfingerError
from wharfinger.facts import Observed
from wharfinger.hosts import File
from wharfinger.model.stack import Stack
from wharfinger.planning.wanted import Wanted
from wharfinger.project import Place
from wharfinger.settings import resolve

VALUES = {
    "DATABASE_URL": "postgresql://ann:s3cret@postgres/db",
    "POSTGRES_USER": "ann",
    "POSTGRES_PASSWORD": "pass-$word",
    "POSTGRES_DB": "db",
    "QUEUE_URL": "redis://redis_queue:6380/0",
}


def place_of(folder: Path, stack: Stack | None = None) -> Place:
    return Place(folder, folder / "stacks/sevra-atlas", stack or sevra(), "local")


def made(place: Place, host: RecordingHost | None = None, *, values: dict[str, str] | None = None) -> Wanted:
    settings = resolve(place.stack.env, "local", VALUES | (values or {}), source=".env.local")
    on = [server(host)]
    return want(place, settings, IMAGES, (26, 1), on, begin(on)[1])


def test_a_release_directory_holds_all_that_a_rollback_needs(tmp_path: Path) -> None:
    found = made(place_of(tmp_path))

    assert set(found.files) == {"compose.yaml", "site.conf", "release.json", "stack.json", ".env"}
    assert json.loads(found.files["release.json"].content)["images"] == IMAGES
    assert Stack.model_validate_json(found.files["stack.json"].content) == sevra()


def test_values_are_for_the_owner_only_and_each_tier_gets_its_own(tmp_path: Path) -> None:
    found = made(place_of(tmp_path))

    app, data = (dotenv.parse(files[".env"].content.decode()) for files in (found.files, found.data_files))
    assert {file.mode for name, file in (*found.files.items(), *found.data_files.items()) if name == ".env"} == {0o600}
    assert set(app) == {"DATABASE_URL", "POSTGRES_PASSWORD", "QUEUE_URL"}  # the password is the migration's
    assert set(data) == {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"}
    assert data["POSTGRES_PASSWORD"] == "pass-$word"


def test_no_value_lies_anywhere_but_in_env_files(tmp_path: Path) -> None:
    found = made(place_of(tmp_path))

    public = b"".join(
        file.content for files in (found.files, found.data_files) for name, file in files.items() if name != ".env"
    )
    assert b"s3cret" not in public
    assert b"pass-$word" not in public
    assert b"s3cret" not in b"".join(found.edge_files.values())


def test_equal_things_have_equal_fingerprints_whatever_their_ids(tmp_path: Path) -> None:
    host = RecordingHost()
    first = made(place_of(tmp_path), host)
    host.write({LAYOUT.release(first.release.id) / "compose.yaml": File(b"")})
    second = made(place_of(tmp_path), host)

    assert first.release.id < second.release.id
    assert first.release.fingerprint == second.release.fingerprint


@pytest.mark.parametrize("value", ["POSTGRES_USER", "QUEUE_URL"])
def test_a_changed_value_of_either_tier_makes_another_release(tmp_path: Path, value: str) -> None:
    before, after = made(place_of(tmp_path)), made(place_of(tmp_path), values={value: "redis://other"})

    assert before.release.env_checksum != after.release.env_checksum
    assert before.release.fingerprint != after.release.fingerprint


def test_a_changed_stack_makes_another_release(tmp_path: Path) -> None:
    changed = sevra(site={"routes": [{"path": "/", "service": "api"}], "upload_limit": "20m"})

    assert made(place_of(tmp_path)).release.fingerprint != made(place_of(tmp_path, changed)).release.fingerprint


def test_ids_follow_each_other_even_if_the_clock_went_back(tmp_path: Path) -> None:
    host = RecordingHost({LAYOUT.release("29991231235959") / "release.json": b"{}"})

    assert made(place_of(tmp_path), host).release.id == "30000101000000"


@pytest.mark.parametrize("name", ["lost+found", "notes", "zzz", "2026", ".trash"])
def test_what_somebody_else_put_among_the_releases_is_in_nobodys_way(tmp_path: Path, name: str) -> None:
    host = RecordingHost({LAYOUT.releases / name / "x": b""})

    assert re.fullmatch(r"\d{14}", made(place_of(tmp_path), host).release.id)


# What a server must have


def observed(**changes: object) -> Observed:
    return dataclasses.replace(empty(wanted()), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "problem", "fix"),
    [
        ({"free_bytes": 100 << 20}, "local: 100 MiB free, a deploy needs 512 MiB", "docker system df"),
        ({"ports_taken": frozenset({8080})}, "local: port 8080 is taken", "sport = :8080"),
        ({"ports_taken": frozenset({22, 8443})}, "local: port 8443 is taken", "environments.local.edge"),
    ],
)
def test_what_a_server_lacks_is_told_before_it_is_touched(found: dict[str, object], problem: str, fix: str) -> None:
    with pytest.raises(NotReady) as caught:
        refuse_unready(wanted(), observed(**found), place_of(Path("/p")))

    assert caught.value.problem.startswith(problem)
    assert fix in caught.value.fix
    assert caught.value.exit_code == 4


def test_ports_that_the_edge_itself_holds_are_not_taken() -> None:
    refuse_unready(wanted(NEW), serving(wanted(NEW)), place_of(Path("/p")))
    refuse_unready(wanted(), observed(edge=(edge_container(),), ports_taken=frozenset({8080})), place_of(Path("/p")))


def test_a_stack_without_a_site_needs_no_port() -> None:
    refuse_unready(wanted(site=None), observed(ports_taken=frozenset({8080, 8443})), place_of(Path("/p")))


@pytest.mark.parametrize("version", [(20, 10), (24, 9)])
def test_an_engine_that_is_too_old_is_told_before_anything_is_built(
    version: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = server()
    monkeypatch.setattr(RecordingEngine, "version", lambda _: version)

    with pytest.raises(NotReady, match=rf"recorder: Docker Engine {version[0]}\.{version[1]} is older than 25\.0"):
        begin([there])


# Several servers


def test_a_release_is_newer_than_any_on_any_server(tmp_path: Path) -> None:
    ahead = "20991231235959"
    hosts = [RecordingHost(), RecordingHost({LAYOUT.release(ahead) / "release.json": b""})]
    settings = resolve(sevra().env, "local", VALUES, source=".env.local")

    servers = [server(host) for host in hosts]
    found = want(place_of(tmp_path), settings, IMAGES, (26, 1), servers, begin(servers)[1])

    assert found.release.id == "21000101000000"


def test_a_release_that_another_run_made_meanwhile_is_not_followed_by_an_earlier_one() -> None:
    """Its id is chosen before the lock is held: two runs may choose the same."""
    want = wanted()
    release, there = want.release, dataclasses.replace(serving(want), releases=(want.release,))

    refuse_overtaken(release.model_copy(update={"id": "20991231235959"}), there)
    with pytest.raises(WharfingerError, match=f"release {release.id} was made there meanwhile"):
        refuse_overtaken(release, there)


def test_the_oldest_engine_is_the_one_to_render_for(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = iter([(28, 5), (26, 1)])
    monkeypatch.setattr(RecordingEngine, "version", lambda _: next(versions))

    assert begin([server(), server()])[0] == (26, 1)
