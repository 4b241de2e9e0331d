"""`down` stops everything of one environment, and no data goes unless its owner said so."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.examples import LAYOUT
from tests.recording import Heard, RecordingEngine, RecordingHost, data_tier, edge_container, server, tier
from tests.unit.planning.situations import OLD, OLDER, SERVICES, STACK, release

from wharfinger import taking_down
from wharfinger.connecting import Server
from wharfinger.console import Console
from wharfinger.errors import LockHeld, NotConfirmed
from wharfinger.hosts import File
from wharfinger.project import Place

PLACE = Place(Path("/p"), Path("/p/stacks/sevra-atlas"), STACK, "local")
KEPT = {LAYOUT.backups / "postgres-1.dump": b"backup", LAYOUT.journal / "one.jsonl": b"{}"}
DATA = {
    LAYOUT.shared / "uploads/photo.jpg": b"photo",
    LAYOUT.data / "data.yaml": b"services: {}",
    LAYOUT.release(OLD) / "release.json": release(OLD).model_dump_json().encode(),
}
SITE = {LAYOUT.site: b"site", LAYOUT.live: b"live"}
VOLUMES = ("sevra-atlas-local_postgres", "sevra-atlas-local_redis_queue")


class Terminal(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> RecordingHost:
    """A host on which OLD serves and a killed run left OLDER."""
    host = RecordingHost(KEPT | DATA | SITE)
    host.links[LAYOUT.current] = f"releases/{OLD}"
    running = (*tier(OLD, *SERVICES), *tier(OLDER, "api"), *data_tier("postgres"), edge_container())
    engine = RecordingEngine(*running, calls=host.calls)
    engine.named_volumes[LAYOUT.target.name] = VOLUMES

    @contextmanager
    def connect_all(_: Place) -> Iterator[tuple[Server, ...]]:
        yield (server(host, engine),)

    monkeypatch.setattr(taking_down, "connect_all", connect_all)
    return host


def take_down(console: Console, *, volumes: bool = False, assume_yes: bool = False, dry: bool = False) -> None:
    taking_down.take_down(PLACE, console, volumes=volumes, assume_yes=assume_yes, dry=dry)


def stopped(host: RecordingHost) -> list[str]:
    """Return the Compose projects that were taken down, in order."""
    return [argv[argv.index("--project-name") + 1] for argv in host.commands if "down" in argv]


def contents(host: RecordingHost) -> dict[object, bytes]:
    return {path: file.content for path, file in host.files.items()}


def test_traffic_stops_before_the_services_and_these_before_their_data(host: RecordingHost) -> None:
    take_down(Heard().console)

    reload = next(index for index, argv in enumerate(host.commands) if "reload" in argv)
    assert reload < next(index for index, argv in enumerate(host.commands) if "down" in argv)
    assert stopped(host) == [
        f"sevra-atlas-local-{OLDER}",
        f"sevra-atlas-local-{OLD}",
        "sevra-atlas-local",
        "wharfinger-edge",  # which has no site left
    ]
    assert contents(host) == KEPT | DATA
    of_stack = [argv for argv in host.commands if "wharfinger-edge" not in argv]
    assert not any("--volumes" in argv or "volume" in argv for argv in of_stack)


def test_the_services_of_the_release_may_finish_what_they_began(host: RecordingHost) -> None:
    take_down(Heard().console)

    (argv,) = [argv for argv in host.commands if f"sevra-atlas-local-{OLD}" in argv]
    assert argv[argv.index("--timeout") + 1] == "10"


def test_an_edge_that_serves_others_goes_on(host: RecordingHost) -> None:
    host.files[LAYOUT.edge / "sites/shop-production.conf"] = File(b"other")

    take_down(Heard().console)

    assert "wharfinger-edge" not in stopped(host)
    assert LAYOUT.site not in host.files


@pytest.mark.parametrize(("typed", "assume_yes"), [("yes\n", False), ("", True)])
def test_the_data_goes_when_it_was_named_and_agreed_to(host: RecordingHost, typed: str, assume_yes: bool) -> None:
    err = Terminal()

    take_down(Console(io.StringIO(), err, stdin=Terminal(typed), ticking=False), volumes=True, assume_yes=assume_yes)

    assert f"this removes for good: {', '.join(VOLUMES)}, {LAYOUT.shared}/uploads" in err.getvalue()
    removed = [argv[-1] for argv in host.commands if argv[:3] == ("docker", "volume", "rm")]
    assert tuple(removed) == VOLUMES
    assert contents(host) == KEPT  # backups and journals stay in any case
    assert host.links == {}


@pytest.mark.parametrize("typed", ["", "\n", "n\n", "sure\n"])
def test_data_that_nobody_agreed_to_lose_stays_and_everything_runs_on(host: RecordingHost, typed: str) -> None:
    console = Console(io.StringIO(), Terminal(), stdin=Terminal(typed), ticking=False)

    with pytest.raises(NotConfirmed, match="nothing was changed"):
        take_down(console, volumes=True)

    assert host.commands == []
    assert contents(host) == KEPT | DATA | SITE


def test_where_nobody_can_be_asked_the_answer_is_no(host: RecordingHost) -> None:
    with pytest.raises(NotConfirmed) as caught:
        take_down(Heard().console, volumes=True)

    assert caught.value.fix == "--yes agrees beforehand"
    assert caught.value.exit_code == 8


def test_a_dry_run_names_the_data_and_changes_nothing(host: RecordingHost) -> None:
    heard = Heard()

    take_down(heard.console, volumes=True, assume_yes=True, dry=True)

    assert VOLUMES[0] in heard.said
    assert host.commands == []
    assert contents(host) == KEPT | DATA | SITE


def test_nothing_is_taken_down_while_somebody_deploys(host: RecordingHost) -> None:
    host.files[LAYOUT.lock] = File(b"somebody")

    with pytest.raises(LockHeld):
        take_down(Heard().console)

    assert stopped(host) == []
    assert host.read(LAYOUT.lock) == b"somebody"
