"""What people and programs are told of what runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest
from tests.examples import IMAGES, LAYOUT
from tests.recording import Heard, RecordingEngine, RecordingHost, data_tier, edge_container, server, tier
from tests.unit.planning.situations import OLD, OLDER, SERVICES, STACK, release

from wharfinger import connecting, status
from wharfinger.connecting import Server
from wharfinger.engine import Container
from wharfinger.errors import NotReady, UsageError
from wharfinger.hosts import File
from wharfinger.local_ca import Authority
from wharfinger.project import Place

PLACE = Place(Path("/p"), Path("/p/stacks/sevra-atlas"), STACK, "local")
EVERYTHING = (*tier(OLD, *SERVICES), *tier(OLDER, *SERVICES), *data_tier("postgres", "redis_queue"), edge_container())


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> RecordingHost:
    """A host with two releases; `EVERYTHING` runs on it."""
    return on(monkeypatch, *EVERYTHING)


def on(monkeypatch: pytest.MonkeyPatch, *containers: Container, deployed: bool = True) -> RecordingHost:
    found = {OLDER: release(OLDER, succeeded=None, by="bob@ci"), OLD: release(OLD, revision="0123456789abcdef-dirty")}
    host = RecordingHost(
        {LAYOUT.release(name) / "release.json": record.model_dump_json().encode() for name, record in found.items()}
        if deployed
        else {}
    )
    if deployed:
        host.links[LAYOUT.current] = f"releases/{OLD}"

    @contextmanager
    def connect(place: Place) -> Iterator[Server]:
        assert place is PLACE
        yield server(host, RecordingEngine(*containers))

    @contextmanager
    def connect_all(place: Place) -> Iterator[tuple[Server, ...]]:
        with connect(place) as one:
            yield (one,)

    monkeypatch.setattr(status, "connect", connect)
    monkeypatch.setattr(connecting, "connect_all", connect_all)
    return host


def test_programs_get_the_release_its_address_and_every_container_of_it(host: RecordingHost) -> None:
    heard = Heard()

    status.status(PLACE, heard.console, as_json=True)

    facts = json.loads(heard.data)
    assert {name: facts[name] for name in facts if name != "services"} == {
        "stack": "sevra-atlas",
        "environment": "local",
        "release": OLD,
        "url": "http://localhost:8080",
        "servers": [{"server": "local", "release": OLD, "problem": None}],
        "scale": {},
        "maintenance": None,
        "certificates": [],
        "unfinished": [],
    }
    assert [service["name"] for service in facts["services"]] == ["api", "worker", "postgres", "redis_queue", "nginx"]
    assert facts["services"][0] == {
        "server": "local",
        "name": "api",
        "state": "running",
        "health": "healthy",
        "image": f"api@sha256:{'ab' * 32}",
        "since": "2026-11-20T14:31:00Z",
    }
    assert heard.said == ""


def test_people_get_a_table(host: RecordingHost) -> None:
    heard = Heard()

    status.status(PLACE, heard.console, as_json=False)

    first, headers, *rows = heard.data.splitlines()
    assert first == f"sevra-atlas-local: release {OLD} at http://localhost:8080"
    assert headers.split() == ["service", "state", "health", "image", "since"]
    assert [row.split()[0] for row in rows] == ["api", "worker", "postgres", "redis_queue", "nginx"]


def test_where_nothing_is_deployed_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, deployed=False)
    heard, as_json = Heard(), Heard()

    status.status(PLACE, heard.console, as_json=False)
    status.status(PLACE, as_json.console, as_json=True)

    assert heard.data == "sevra-atlas-local: nothing deployed\n"
    facts = json.loads(as_json.data)
    assert (facts["release"], facts["url"], facts["services"]) == (None, None, [])


def test_what_was_scaled_is_told(host: RecordingHost) -> None:
    host.files[LAYOUT.scale] = File(b'{"api": 3}')
    heard, as_json = Heard(), Heard()

    status.status(PLACE, heard.console, as_json=False)
    status.status(PLACE, as_json.console, as_json=True)

    assert "scaled: api=3" in heard.data.splitlines()
    assert json.loads(as_json.data)["scale"] == {"api": 3}


def test_releases_are_listed_from_the_newest(host: RecordingHost) -> None:
    heard, as_json = Heard(), Heard()

    status.releases(PLACE, heard.console, as_json=False)
    status.releases(PLACE, as_json.console, as_json=True)

    assert [row.split() for row in heard.data.splitlines()[1:]] == [
        [OLD, "serves", "yes", "ann@laptop", "0123456789ab"],
        [OLDER, "no", "bob@ci"],
    ]
    assert json.loads(as_json.data) == [
        {
            "server": "local",
            "release": OLD,
            "current": True,
            "succeeded": True,
            "by": "ann@laptop",
            "revision": "0123456789abcdef-dirty",
            "images": IMAGES,
        },
        {
            "server": "local",
            "release": OLDER,
            "current": False,
            "succeeded": False,
            "by": "bob@ci",
            "revision": "",
            "images": IMAGES,
        },
    ]


@pytest.mark.parametrize(
    ("services", "project"),
    [
        ((), f"sevra-atlas-local-{OLD}"),
        (("worker", "api"), f"sevra-atlas-local-{OLD}"),
        (("postgres",), "sevra-atlas-local"),
    ],
)
def test_logs_are_those_of_the_current_release_or_of_the_data_tier(
    host: RecordingHost, services: tuple[str, ...], project: str
) -> None:
    host.answer("logs", status=3)

    assert status.logs(PLACE, services, lines=5, follow=True) == 3
    (argv,) = [argv for argv in host.commands if "logs" in argv]
    assert argv[argv.index("--project-name") + 1] == project
    assert (argv[argv.index("--tail") + 1], "--follow" in argv) == ("5", True)
    assert argv[len(argv) - len(services) :] == services


def test_logs_of_both_tiers_are_shown_one_after_the_other(host: RecordingHost) -> None:
    status.logs(PLACE, ("api", "postgres"), lines=5, follow=False)

    shown = [(argv[argv.index("--project-name") + 1], argv[-1]) for argv in host.commands if "logs" in argv]
    assert shown == [("sevra-atlas-local", "postgres"), (f"sevra-atlas-local-{OLD}", "api")]


@pytest.mark.parametrize(
    ("services", "problem"),
    [
        (("wrker",), "sevra-atlas has no service wrker"),
        (("api", "postgres"), "services and data services cannot be followed together"),
    ],
)
def test_logs_that_there_cannot_be_are_refused(host: RecordingHost, services: tuple[str, ...], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        status.logs(PLACE, services, lines=5, follow=True)

    assert caught.value.fix
    assert not any("logs" in argv for argv in host.commands)


def test_there_are_no_logs_where_nothing_is_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, deployed=False)

    with pytest.raises(UsageError, match="nothing is deployed in local") as caught:
        status.logs(PLACE, (), lines=5, follow=False)

    assert caught.value.fix == "invoke deploy --env local"


@pytest.mark.parametrize(("age", "told"), [(0, None), (380, "in 16 days"), (400, "browsers refuse the site")])
def test_a_certificate_that_ends_soon_is_told_of(
    host: RecordingHost, tmp_path: Path, age: int, told: str | None
) -> None:
    chain, _ = Authority(tmp_path).issue(("atlas.example.com",), datetime.now(UTC) - timedelta(days=age))
    site = b"    ssl_certificate certs/mine/fullchain.pem;\n"
    host.write({LAYOUT.site: File(site), LAYOUT.chain("mine"): File(chain)})
    shown, heard = Heard(), Heard()

    status.status(PLACE, shown.console, as_json=True)
    status.status(PLACE, heard.console, as_json=False)

    (found,) = json.loads(shown.data)["certificates"]
    assert found["domains"] == ["atlas.example.com"]
    assert (found["warning"] is None) == (told is None)
    assert (told or "") in heard.said


def on_all(monkeypatch: pytest.MonkeyPatch, *hosts: RecordingHost) -> Place:
    """Return a place whose environment is on `web1` and `web2`, which are these."""
    environment = STACK.environments["local"].model_copy(update={"servers": ("web1", "web2")})
    place = dataclasses.replace(PLACE, stack=STACK.model_copy(update={"environments": {"local": environment}}))

    @contextmanager
    def connect_all(_: Place) -> Iterator[tuple[Server, ...]]:
        yield tuple(server(host, RecordingEngine(*EVERYTHING)) for host in hosts)

    monkeypatch.setattr(connecting, "connect_all", connect_all)
    return place


def test_of_several_servers_each_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them has another release, so there is none that all serve."""
    hosts = [on(monkeypatch, *EVERYTHING), on(monkeypatch, *EVERYTHING)]
    hosts[1].links[LAYOUT.current] = f"releases/{OLDER}"
    place = on_all(monkeypatch, *hosts)
    heard, as_json = Heard(), Heard()

    status.status(place, heard.console, as_json=False)
    status.status(place, as_json.console, as_json=True)

    lines = heard.data.splitlines()
    assert [line.partition(" at ")[0] for line in lines[:2]] == [
        f"sevra-atlas-local on web1: release {OLD}",
        f"sevra-atlas-local on web2: release {OLDER}",
    ]
    assert lines[2].split()[:2] == ["server", "service"]
    assert {line.split()[0] for line in lines[3:]} == {"web1", "web2"}
    facts = json.loads(as_json.data)
    assert (facts["release"], facts["url"]) == (None, None)
    assert facts["servers"] == [
        {"server": "web1", "release": OLD, "problem": None},
        {"server": "web2", "release": OLDER, "problem": None},
    ]


class Away(RecordingHost):
    """A host that cannot be reached."""

    def link_target(self, path: PurePosixPath) -> str | None:  # noqa: ARG002 - as every host
        """Say so."""
        raise NotReady("web2: Connection refused", fix="see whether it is up")


def test_of_several_servers_one_that_is_away_is_named_and_the_others_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [on(monkeypatch, *EVERYTHING), Away()]
    place = on_all(monkeypatch, *hosts)
    heard, as_json = Heard(), Heard()

    for told, json_wanted in ((heard, False), (as_json, True)):
        with pytest.raises(NotReady, match="web2: Connection refused"):
            status.status(place, told.console, as_json=json_wanted)

    assert "sevra-atlas-local on web2: does not answer" in heard.data.splitlines()
    assert {line.split()[0] for line in heard.data.splitlines()[3:]} == {"web1"}
    facts = json.loads(as_json.data)
    assert facts["release"] is None
    assert facts["servers"] == [
        {"server": "web1", "release": OLD, "problem": None},
        {"server": "web2", "release": None, "problem": "web2: Connection refused"},
    ]


def test_releases_of_those_that_answer_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    place = on_all(monkeypatch, Away(), on(monkeypatch, *EVERYTHING))
    heard = Heard()

    with pytest.raises(NotReady, match="web2: Connection refused"):
        status.releases(place, heard.console, as_json=True)

    assert {(each["server"], each["release"]) for each in json.loads(heard.data)} == {("web2", OLD), ("web2", OLDER)}


def test_where_nobody_answers_there_is_no_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    place = on_all(monkeypatch, Away(), Away())
    heard = Heard()

    for show in (status.status, status.releases):
        with pytest.raises(NotReady, match="Connection refused"):
            show(place, heard.console, as_json=True)

    assert heard.data == ""
