"""What `health` finds well and what not, for people, programs and exit codes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.examples import LAYOUT
from tests.recording import Heard, RecordingEngine, RecordingHost, data_tier, edge_container, server, tier
from tests.unit.planning.situations import OLD, SERVICES, STACK, release

from wharfinger import examining, health
from wharfinger.connecting import Server
from wharfinger.engine import Container
from wharfinger.errors import NotReady
from wharfinger.hosts import File
from wharfinger.local_ca import Authority
from wharfinger.project import Place

PLACE = Place(Path("/p"), Path("/p/stacks/sevra-atlas"), STACK, "local")
WELL = (*tier(OLD, *SERVICES), *data_tier("postgres", "redis_queue"), edge_container())


def on(monkeypatch: pytest.MonkeyPatch, *containers: Container, problem: str | None = None) -> RecordingHost:
    host = RecordingHost(
        {
            LAYOUT.release(OLD) / "release.json": release(OLD).model_dump_json().encode(),
            LAYOUT.release(OLD) / "stack.json": STACK.model_dump_json(by_alias=True, exclude_unset=True).encode(),
        }
    )
    host.links[LAYOUT.current] = f"releases/{OLD}"

    @contextmanager
    def reach(_: Place, name: str) -> Iterator[Server]:
        if name == "away":
            raise NotReady("away: Connection refused")
        yield server(host, RecordingEngine(*containers))

    monkeypatch.setattr(examining, "reach", reach)
    monkeypatch.setattr(health, "failure", lambda *_: problem)
    return host


def findings(heard: Heard) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(heard.data)
    return found


def test_where_all_is_well_that_is_said_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, *WELL)
    heard, table = Heard(), Heard()

    assert examining.examine(PLACE, heard.console, as_json=True)
    assert examining.examine(PLACE, table.console, as_json=False)

    facts = findings(heard)
    assert (facts["healthy"], facts["maintenance"]) == (True, False)
    assert [(each["kind"], each["name"]) for each in facts["findings"]] == [
        ("service", "api"),
        ("service", "worker"),
        ("data", "postgres"),
        ("data", "redis_queue"),
        ("edge", "nginx"),
        ("check", "GET http://localhost:8080/health"),
    ]
    assert len(table.data.splitlines()) == 7
    assert "NOT WELL" not in table.data


@pytest.mark.parametrize(
    ("containers", "name", "seen"),
    [
        (WELL[1:], "api", "0 of 1 healthy"),
        ((*tier(OLD, "api", health="unhealthy"), *WELL[1:]), "api", "is unhealthy"),
        ((*WELL[:2], *WELL[3:]), "postgres", "0 of 1 healthy"),
        ((*WELL[:4], edge_container(state="exited")), "nginx", "is exited"),
    ],
)
def test_one_thing_that_is_not_well_is_named(
    monkeypatch: pytest.MonkeyPatch, containers: tuple[Container, ...], name: str, seen: str
) -> None:
    on(monkeypatch, *containers)
    heard = Heard()

    assert not examining.examine(PLACE, heard.console, as_json=True)

    (ill,) = [each for each in findings(heard)["findings"] if not each["healthy"]]
    assert ill["name"] == name
    assert seen in ill["seen"]


def test_fewer_replicas_than_were_scaled_to_are_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, *WELL).files[LAYOUT.scale] = File(b'{"api": 2}')
    heard = Heard()

    assert not examining.examine(PLACE, heard.console, as_json=False)
    assert "1 of 2 healthy" in heard.data


def test_what_the_public_address_answers_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, *WELL, problem="status 502, expected 200")
    heard = Heard()

    assert not examining.examine(PLACE, heard.console, as_json=False)
    assert "status 502, expected 200" in heard.data


def test_where_nothing_is_deployed_nothing_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch).links.clear()
    heard = Heard()

    assert not examining.examine(PLACE, heard.console, as_json=True)
    assert findings(heard)["findings"][0]["seen"] == "nothing is deployed"


@pytest.mark.parametrize(("age", "well"), [(0, True), (380, True), (400, False)])
def test_a_certificate_is_well_until_it_ends_and_warned_of_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, age: int, well: bool
) -> None:
    host, heard = on(monkeypatch, *WELL), Heard()
    chain, _ = Authority(tmp_path).issue(("atlas.example.com",), datetime.now(UTC) - timedelta(days=age))
    host.write({LAYOUT.site: File(b"ssl_certificate certs/mine/fullchain.pem;"), LAYOUT.chain("mine"): File(chain)})

    assert examining.examine(PLACE, heard.console, as_json=True) == well

    (found,) = (each for each in findings(heard)["findings"] if each["kind"] == "certificate")
    assert found["healthy"] == well
    assert ("ends on" in found["seen"]) == (age == 380)


def test_of_several_servers_one_that_is_away_is_not_well_and_the_others_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on(monkeypatch, *WELL)
    environment = STACK.environments["local"].model_copy(update={"servers": ("web1", "away")})
    place = dataclasses.replace(PLACE, stack=STACK.model_copy(update={"environments": {"local": environment}}))
    heard = Heard()

    assert not examining.examine(place, heard.console, as_json=True)

    found = findings(heard)["findings"]
    assert {each["server"] for each in found if each["healthy"]} == {"web1"}
    assert [(each["server"], each["kind"], each["seen"]) for each in found if not each["healthy"]] == [
        ("away", "server", "away: Connection refused")
    ]
