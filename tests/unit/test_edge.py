"""The edge: whatever fails, the Nginx that serves goes on with the files that it had."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from tests.examples import LAYOUT
from tests.recording import EDGE_PROJECT, RecordingEngine, RecordingHost, container, edge_container, server

from wharfinger.commands import edge as commands
from wharfinger.edge import Edge
from wharfinger.engine import Container, Unhealthy
from wharfinger.errors import InvalidInput, NotReady, WharfingerError
from wharfinger.hosts import File
from wharfinger.model.release import Live
from wharfinger.rendering.live import live_default

BLUE, GREEN = Live("blue", "20261120120000"), Live("green", "20261120143000")
OLD_FILES = {LAYOUT.site: b"old site", LAYOUT.live: live_default(BLUE).encode()}
SHARED = {"nginx.conf": b"events {}", ".env": b"EDGE_HTTP_PORT=8080\n"}


def edge_of(host: RecordingHost, *containers: Container) -> Edge:
    made = server(host, RecordingEngine(*containers, calls=host.calls)).edge
    assert isinstance(made, Edge)
    return made


def asked(host: RecordingHost) -> list[str]:
    """Return what was asked of Docker and Nginx, in short."""
    words = {"-t": "test", "reload": "reload", "up": "up", "down": "down", "PUT": "switch"}
    calls = [call[1] if call[0] == "run" else call[1:] for call in host.calls if call[0] in {"run", "ask"}]
    found = [next((word for sign, word in words.items() if sign in call), "?") for call in calls]
    return [word for word in found if word != "?"]


def contents(host: RecordingHost) -> dict[object, bytes]:
    return {path: file.content for path, file in host.files.items()}


# A site


def test_a_new_site_is_tested_before_it_is_loaded_and_knows_where_its_traffic_goes() -> None:
    host = RecordingHost()

    edge_of(host).put_site(b"site", GREEN)

    assert contents(host) == {LAYOUT.site: b"site", LAYOUT.live: live_default(GREEN).encode()}
    assert asked(host) == ["test", "reload"]
    assert [call[0] for call in host.calls] == ["run", "write", "write", "run", "run"]


def test_a_name_that_another_environment_serves_is_refused_and_ones_own_is_not() -> None:
    host = RecordingHost(OLD_FILES)
    other = LAYOUT.site.with_name("shop-production.conf")
    host.answer(
        "grep",
        stdout=f"{LAYOUT.site}:    server_name a.example.com;\n{other}:    server_name b.example.com c.example.com;\n",
    )

    edge_of(host).put_site(b"server_name a.example.com;", GREEN)
    with pytest.raises(InvalidInput) as caught:
        edge_of(host).put_site(b"server_name a.example.com c.example.com;", GREEN)

    assert caught.value.problem == f"recorder: c.example.com is served already, by {other}"
    assert host.read(LAYOUT.site) == b"server_name a.example.com;"


def test_a_changed_site_does_not_move_the_traffic() -> None:
    host = RecordingHost(OLD_FILES)

    edge_of(host).put_site(b"new site", GREEN)

    assert contents(host) == OLD_FILES | {LAYOUT.site: b"new site"}


@pytest.mark.parametrize("before", [{}, OLD_FILES, {LAYOUT.site: b"old site"}])
def test_a_site_that_nginx_refuses_leaves_every_file_as_it_was(before: dict[object, bytes]) -> None:
    host = RecordingHost(before)  # type: ignore[arg-type]
    host.answer("nginx", "-t", status=1, stderr="[emerg] unknown directive\nnginx: test failed\n")

    with pytest.raises(InvalidInput) as caught:
        edge_of(host).put_site(b"nonsense", GREEN)

    assert contents(host) == before
    assert asked(host) == ["test"]
    assert caught.value.details == ("[emerg] unknown directive", "nginx: test failed")
    assert "site.snippet" in caught.value.fix


def test_ctrl_c_in_the_test_puts_the_old_files_back() -> None:
    host = RecordingHost(OLD_FILES)
    host.answer("nginx", "-t", error=KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        edge_of(host).put_site(b"new site", GREEN)

    assert contents(host) == OLD_FILES


def test_a_site_is_restored_byte_for_byte_or_removed() -> None:
    host = RecordingHost({LAYOUT.site: b"new", LAYOUT.live: b"new"})
    edge = edge_of(host)

    edge.restore_site(b"old\r\n\xff", b"live")
    assert contents(host) == {LAYOUT.site: b"old\r\n\xff", LAYOUT.live: b"live"}
    edge.restore_site(None, None)
    assert contents(host) == {}
    assert asked(host) == ["reload", "reload"]


# Foreign routes


def test_routes_are_tested_before_they_are_loaded_and_what_they_were_lies_beside_them_meanwhile() -> None:
    host = RecordingHost({LAYOUT.routes: b"old routes"})

    edge_of(host).put_routes(b"routes")

    assert contents(host) == {LAYOUT.routes: b"routes"}
    assert asked(host) == ["test", "reload"]
    assert [call[:2] for call in host.calls if call[0] == "write"] == [
        ("write", LAYOUT.routes_before),
        ("write", LAYOUT.routes),
    ]


@pytest.mark.parametrize("before", [{}, {LAYOUT.routes: b"old routes"}])
def test_routes_that_nginx_refuses_leave_the_old_ones(before: dict[object, bytes]) -> None:
    host = RecordingHost(before)  # type: ignore[arg-type]
    host.answer("nginx", "-t", status=1, stderr="[emerg] host not found")

    with pytest.raises(InvalidInput) as caught:
        edge_of(host).put_routes(b"nonsense")

    assert contents(host) == before
    assert "edge.routes" in caught.value.fix


@pytest.mark.parametrize("before", [None, b"old routes"])
def test_routes_that_were_cut_off_half_way_are_put_back(before: bytes | None) -> None:
    host = RecordingHost({LAYOUT.routes: b"never tested", LAYOUT.routes_before: before or b""})

    edge_of(host).settle_routes(reload=False)

    assert contents(host) == ({} if before is None else {LAYOUT.routes: before})
    assert asked(host) == []
    edge_of(host).settle_routes(reload=True)
    assert asked(host) == [], "there is nothing to put back"


def test_no_routes_are_none() -> None:
    host = RecordingHost({LAYOUT.routes: b"old routes"})

    edge_of(host).put_routes(None)

    assert contents(host) == {}


def test_the_edge_knows_whether_any_site_is_left() -> None:
    host = RecordingHost(OLD_FILES)
    assert edge_of(host).has_sites()

    edge_of(host).restore_site(None, None)

    assert not edge_of(host).has_sites()


# Where the traffic goes


def test_a_switch_reloads_nothing_and_survives_a_restart() -> None:
    host = RecordingHost(OLD_FILES)

    edge_of(host).switch(GREEN)

    assert asked(host) == ["switch"]
    assert host.asked == [("PUT", "/live/sevra-atlas-local", str(GREEN))]
    assert host.read(LAYOUT.live) == live_default(GREEN).encode()


def test_a_switch_that_nginx_refuses_does_not_survive_a_restart_either() -> None:
    host = RecordingHost(OLD_FILES)
    host.answer("PUT", status=502, stdout="api/health: Nginx answers 502\n")

    with pytest.raises(WharfingerError, match="does not reach green:20261120143000, so traffic stays") as told:
        edge_of(host).switch(GREEN)

    assert told.value.details == ("api/health: Nginx answers 502",)
    assert contents(host) == OLD_FILES


def test_an_nginx_that_does_not_answer_is_told_with_its_mend() -> None:
    host = RecordingHost(OLD_FILES)
    host.answer("PUT", error=NotReady("recorder: nobody answers at /edge/run/nginx/control.sock: Connection refused"))

    with pytest.raises(WharfingerError, match="does not reach green") as told:
        edge_of(host).switch(GREEN)

    assert told.value.details == ("recorder: nobody answers at /edge/run/nginx/control.sock: Connection refused",)
    assert "docker logs wharfinger-edge-nginx-1" in told.value.fix
    assert "the next deploy" in told.value.fix
    assert contents(host) == OLD_FILES


def test_switching_back_survives_an_nginx_that_is_down() -> None:
    host = RecordingHost({LAYOUT.live: live_default(GREEN).encode()})
    host.answer("PUT", error=NotReady("nobody answers"))

    with pytest.raises(WharfingerError, match="not told to send the traffic back to blue"):
        edge_of(host).switch_back(BLUE)

    assert contents(host) == {LAYOUT.live: live_default(BLUE).encode()}, "what it finds when it starts again"


# Nginx itself


def test_an_edge_that_does_not_run_is_started_and_waited_for() -> None:
    host = RecordingHost()

    edge_of(host).start(SHARED)

    assert contents(host) == {LAYOUT.edge / name: content for name, content in SHARED.items()}
    assert host.folders == {
        **{LAYOUT.edge / name: (0o755, None) for name in ("sites", "acme", "certs", "run/nginx")},
        LAYOUT.edge / "run": (0o700, None),
    }
    assert asked(host) == ["up"]
    assert host.calls[-1] == ("wait", EDGE_PROJECT, {"nginx": 1})


def test_an_edge_that_runs_takes_new_files_up_by_a_reload() -> None:
    host = RecordingHost({LAYOUT.edge / "nginx.conf": b"old"} | OLD_FILES)

    edge_of(host, edge_container()).start(SHARED)

    assert asked(host) == ["test", "up", "reload"]
    assert host.read(LAYOUT.site) == b"old site"


def test_shared_files_that_nginx_refuses_are_put_back() -> None:
    old = {LAYOUT.edge / "nginx.conf": b"old"} | OLD_FILES
    host = RecordingHost(old)
    host.answer("nginx", "-t", status=1)

    with pytest.raises(InvalidInput):
        edge_of(host, edge_container()).start(SHARED)

    assert contents(host) == old
    assert asked(host) == ["test"]


@pytest.mark.parametrize(("containers", "after"), [([], ["up", "down"]), ([edge_container()], ["test", "up"])])
def test_an_edge_that_does_not_come_up_is_taken_away_unless_it_served_before(
    containers: list[Container], after: list[str]
) -> None:
    host = RecordingHost()
    engine = RecordingEngine(*containers, calls=host.calls)
    engine.unhealthy[EDGE_PROJECT] = Unhealthy("nginx exited with code 1 while starting")

    with pytest.raises(Unhealthy):
        server(host, engine).edge.start(SHARED)

    assert asked(host) == after


def test_an_edge_whose_port_is_taken_is_told_with_its_mend() -> None:
    host = RecordingHost()
    host.answer("up", status=1, stderr="address already in use")

    with pytest.raises(WharfingerError, match="the edge does not start") as told:
        server(host, RecordingEngine(calls=host.calls)).edge.start(SHARED)

    assert told.value.details == ("address already in use",)
    assert "port" in told.value.fix


def test_an_edge_that_gets_no_network_is_told_with_its_mend() -> None:
    host = RecordingHost()
    host.answer("up", status=1, stderr="all predefined address pools have been fully subscribed")
    engine = RecordingEngine(calls=host.calls)
    engine.named_networks = {"bridge", "none"}

    with pytest.raises(NotReady, match=f"did not make the network {EDGE_PROJECT} beside the 2") as told:
        server(host, engine).edge.start(SHARED)

    assert told.value.details == ("all predefined address pools have been fully subscribed",)
    assert "docker network prune" in told.value.fix
    assert "default-address-pools" in told.value.fix


def test_files_of_the_edge_can_be_read_by_nginx() -> None:
    host = RecordingHost()

    edge_of(host).start(SHARED)
    edge_of(host).put_site(b"site", GREEN)

    assert {file.mode for file in host.files.values()} == {0o644}
    assert all(isinstance(file, File) for file in host.files.values())


# The end of a tier


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000 100 0 0 10 0
   1: 050013AC:A2B4 070013AC:0BB8 01 00000000:00000000 00:00000000 00000000   101        0 2 1 0000 20 4 1 10 -1
   2: 050013AC:A2B6 070013AC:0BB8 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0000
   3: 050013AC:A2B8 080013AC:0BB8 02 00000000:00000000 00:00000000 00000000   101        0 3 1 0000 20 4 1 10 -1
"""


@pytest.mark.parametrize(
    ("addresses", "count"),
    [(("172.19.0.7",), 1), (("172.19.0.7", "172.19.0.8"), 2), (("172.19.0.9",), 0), (("172.19.0.5",), 0)],
)
def test_only_connections_that_are_open_hold_a_tier(addresses: tuple[str, ...], count: int) -> None:
    assert len(re.findall(commands.open_to(addresses), TABLE, re.MULTILINE)) == count


class Emptying(RecordingHost):
    """A host whose Nginx has fewer requests under way each time that it is asked."""

    def __init__(self, *left: int) -> None:
        super().__init__()
        self.left = [*left]

    def ask(
        self, socket: PurePosixPath, method: str, path: str, body: bytes = b"", *, timeout: float
    ) -> tuple[int, str]:
        super().ask(socket, method, path, body, timeout=timeout)
        return 200, f"{self.left.pop(0)}\n"


def test_a_tier_is_awaited_without_a_process_and_it_is_told_how_many_requests_are_left() -> None:
    host, notes = Emptying(2, 1, 0), list[str]()

    edge_of(host).await_quiet("sevra-atlas-local-20261120143000", within=10, note=notes.append)

    assert notes == ["2 requests under way", "1 request under way"]
    assert host.calls == [("ask", "GET", "/flights/sevra-atlas-local/20261120143000?within=200", "")] * 3


def test_a_tier_is_awaited_no_longer_than_may_be() -> None:
    host, notes = Emptying(1), list[str]()

    edge_of(host).await_quiet("sevra-atlas-local-20261120143000", within=0, note=notes.append)

    assert notes == []
    assert [path.rpartition("?")[2] for _, path, _ in host.asked] == ["within=0"]


def test_nobody_waits_for_an_nginx_that_does_not_run() -> None:
    host = RecordingHost()
    host.answer("GET", error=NotReady("nobody answers"))

    edge_of(host).await_quiet("sevra-atlas-local-20261120143000", within=60, note=print)

    assert len(host.asked) == 1


def test_of_some_replicas_only_their_own_connections_count() -> None:
    host = RecordingHost()
    project = "sevra-atlas-local-20261120143000"
    busy = container(project, "api", name="busy", addresses=("172.19.0.7",))
    idle = container(project, "api", name="idle", addresses=("172.19.0.9",))

    server(host, RecordingEngine(busy, idle)).edge.await_quiet(project, within=9, note=print, only=("idle",))

    ((*argv, turns, pattern),) = host.commands
    assert argv[:5] == ["docker", "exec", "wharfinger-edge-nginx-1", "sh", "-c"]
    assert (turns, pattern) == ("45", commands.open_to(("172.19.0.9",)))


def test_replicas_that_are_gone_are_not_awaited() -> None:
    host = RecordingHost()

    edge_of(host).await_quiet("sevra-atlas-local-20261120143000", within=60, note=print, only=("gone",))

    assert host.commands == []
