"""What is seen of a server: this environment's own, and what a killed run left."""

from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath

import pytest
from tests.examples import LAYOUT
from tests.recording import RecordingEngine, RecordingHost, container, data_tier, edge_container, server, tier
from tests.unit.planning.situations import OLD, OLDER, SERVICES, release

from wharfinger.errors import NotReady
from wharfinger.facts import Observed, observe
from wharfinger.model.release import Live
from wharfinger.rendering.live import live_default

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 2
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1
"""


def seen(host: RecordingHost, *containers: object, one_offs: tuple[str, ...] = ()) -> Observed:
    engine = RecordingEngine(*containers, one_offs=one_offs)  # type: ignore[arg-type]
    on = server(host, engine)
    return observe(host, engine, on.edge, LAYOUT, (LAYOUT.site, LAYOUT.live))


def deployed() -> RecordingHost:
    """A host with two releases, the newer of which is current."""
    records = {LAYOUT.release(name) / "release.json": release(name).model_dump_json().encode() for name in (OLD, OLDER)}
    host = RecordingHost({**records, LAYOUT.live: live_default(Live("blue", OLD)).encode()})
    host.links[LAYOUT.current] = f"releases/{OLD}"
    return host


def test_a_bare_server_holds_nothing() -> None:
    found = seen(RecordingHost(free=123))

    assert (found.releases, found.current, found.live, found.tiers, found.data, found.edge) == (
        (),
        None,
        None,
        {},
        (),
        (),
    )
    assert found.files == {LAYOUT.site: None, LAYOUT.live: None}
    assert (found.edge_is_ready, found.free_bytes, found.ports_taken) == (False, 123, frozenset())


def test_releases_are_seen_from_the_oldest_and_the_current_one_by_its_link() -> None:
    found = seen(deployed())

    assert [each.id for each in found.releases] == [OLDER, OLD]
    assert found.current == OLD
    assert found.release(OLD) == release(OLD)
    assert found.release("20200101000000") is None
    assert found.release(None) is None


def test_a_record_that_cannot_be_read_is_no_release() -> None:
    """One cut off in its upload, or of another version of Wharfinger."""
    host = deployed()
    host.write({LAYOUT.release("20261101000000") / "compose.yaml": host.files[LAYOUT.live]})
    host.write({LAYOUT.release("20261102000000") / "release.json": host.files[LAYOUT.live]})

    assert [each.id for each in seen(host).releases] == [OLDER, OLD]


def test_only_this_environments_containers_count() -> None:
    other = dataclasses.replace(LAYOUT, target=dataclasses.replace(LAYOUT.target, environment="staging"))
    mine = (*tier(OLD, *SERVICES), *data_tier("postgres"), edge_container())
    found = seen(
        deployed(),
        *mine,
        *tier(OLD, *SERVICES, layout=other),
        *data_tier("postgres", layout=other),
        container("somebody-elses", "api"),
    )

    assert found.tiers == {OLD: tuple(tier(OLD, *SERVICES))}
    assert found.data == tuple(data_tier("postgres"))
    assert found.edge == (edge_container(),)


def test_a_migration_that_outlived_its_run_is_a_tier_that_was_left() -> None:
    """It would run beside the next deploy's, and nothing else would ever end it."""
    running = container(LAYOUT.target.app_project(OLDER), "migrate", name="left")

    assert seen(deployed(), running, one_offs=("left",)).tiers == {OLDER: (running,)}


def test_what_a_person_runs_once_in_the_current_release_is_no_part_of_it() -> None:
    shell = container(LAYOUT.target.app_project(OLD), "api", name="shell")

    assert seen(deployed(), *tier(OLD, *SERVICES), shell, one_offs=("shell",)).tiers == {
        OLD: tuple(tier(OLD, *SERVICES))
    }


def test_nginx_itself_says_where_the_traffic_goes() -> None:
    host = deployed()
    host.answer("GET", "/live/sevra-atlas-local", stdout=f"green:{OLDER}\n")

    assert seen(host, edge_container()).live == Live("green", OLDER)


@pytest.mark.parametrize(
    "answer",
    [{"status": 404}, {"stdout": ""}, {"stdout": "502 Bad Gateway"}, {"error": NotReady("recorder: nobody answers")}],
)
def test_where_nginx_does_not_say_its_default_counts(answer: dict[str, object]) -> None:
    host = deployed()
    host.answer("GET", **answer)  # type: ignore[arg-type]

    assert seen(host, edge_container(state="exited")).live == Live("blue", OLD)
    assert seen(host).live == Live("blue", OLD)


@pytest.mark.parametrize(
    ("edge", "ready"),
    [([], False), ([edge_container()], True), ([edge_container(health="starting")], False)],
)
def test_the_edge_is_ready_when_it_runs_and_is_healthy(edge: list[object], ready: bool) -> None:
    assert seen(RecordingHost(), *edge).edge_is_ready is ready


def test_the_ports_on_which_something_listens_are_those_of_the_kernel() -> None:
    host = RecordingHost({PurePosixPath("/proc/net/tcp"): TCP.encode(), PurePosixPath("/proc/net/tcp6"): TCP6.encode()})

    assert seen(host).ports_taken == {8080, 443}


def test_looking_changes_nothing() -> None:
    host = deployed()

    seen(host, edge_container(), *tier(OLD, *SERVICES))

    assert host.calls == [("ask", "GET", "/live/sevra-atlas-local", "")]
