"""Which release is live, and that no switch, restart or reload loses it or a request."""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.integration.edge.rig import (
    BLUE,
    GREEN,
    IN_CONTAINER,
    NAME,
    SIGNED_IN,
    Edge,
    edge_in,
    run,
    wait_until,
    write_site,
)

from wharfinger.commands import edge as commands
from wharfinger.errors import NotReady
from wharfinger.rendering.live import live_default


def test_an_edge_starts_before_any_release_exists_and_says_so(tmp_path: Path) -> None:
    with edge_in(tmp_path / "edge") as edge:
        assert edge.get("/").status == 502
        assert edge.control(f"/live/{NAME}") == f"{BLUE}\n"

        write_site(edge.folder, NAME, "atlas.test", None)
        edge.compose("restart", "--timeout", "2")
        edge.up()
        assert edge.get("/").status == 503
        assert edge.control(f"/live/{NAME}") == "\n"

        edge.serve("green")
        reached = wait_until(lambda: edge.control(f"/probe/{NAME}/green/api/health") != "", within=5)
        edge.switch(GREEN)
        assert edge.get("/").body.startswith("green ")
        assert reached < 3


def test_a_probe_reaches_the_slot_that_is_not_live(edge: Edge) -> None:
    assert edge.control(f"/probe/{NAME}/green/api/any%20path?q=1").startswith("green ")
    assert edge.control(f"/probe/{NAME}/blue/api/").startswith("blue ")
    assert edge.control(f"/probe/{NAME}/blue/nope/") == ""
    assert edge.get("/", headers=SIGNED_IN).body.startswith("blue ")


def test_a_switch_waits_until_nginx_reaches_the_services_probed(edge: Edge) -> None:
    assert probing(edge, "nope/health", within=0.3) == ""
    assert edge.control(f"/live/{NAME}") == f"{BLUE}\n", "who asked has gone, and nothing was switched"

    assert probing(edge, "api/health") == f"{GREEN}\n"
    assert edge.control(f"/live/{NAME}") == f"{GREEN}\n"
    answers = [edge.get("/", headers=SIGNED_IN) for _ in range(20)]
    assert {answer.status for answer in answers} == {200}, "a probe left nothing behind in a connection that is kept"


def test_a_switch_that_waits_is_ended_by_the_next_one(edge: Edge) -> None:
    """A deploy was killed while the edge waited for its tier; recovery must not be undone by that."""
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(probing, edge, "nope/health")
        while not waiting.done():
            edge.switch(BLUE)

        assert waiting.result() == "somebody else switched meanwhile\n"
    assert edge.control(f"/live/{NAME}") == f"{BLUE}\n"


def answers_for(edge: Edge, duration: float) -> set[tuple[int, str]]:
    """Ask again and again, and return each status and slot that answered."""
    answers, until = set(), time.monotonic() + duration
    while time.monotonic() < until:
        answer = edge.get("/", headers=SIGNED_IN)
        answers.add((answer.status, answer.body.partition(" ")[0]))
    return answers


def test_a_switch_does_not_wait_for_what_nginx_looks_up_every_other_second(tmp_path: Path) -> None:
    """Requests go by the release's name at first, and then by the group, and nobody notices."""
    with edge_in(tmp_path / "edge") as edge:
        before = edge.serve("blue")
        for live in (GREEN, replace(BLUE, release="20261120160000")):
            container = edge.serve(live.slot, release=live.release)
            began = time.monotonic()
            edge.as_deployed.switch(live, [("api", "/health")])
            took = time.monotonic() - began
            answers = answers_for(edge, 0.3)
            edge.retire(before)
            before = container

            assert answers == {(200, live.slot)}
            assert took < 0.7

        assert answers_for(edge, 4) == {(200, "blue")}


@pytest.mark.parametrize("again", [False, True], ids=["another-release", "the-same-release"])
def test_a_release_is_not_looked_for_where_another_one_ran_a_moment_ago(tmp_path: Path, again: bool) -> None:
    """Nginx may remember the addresses of before, which are somebody else's by now."""
    with edge_in(tmp_path / "edge") as edge:
        edge.serve("blue")
        old = edge.serve("green", says="old")
        edge.as_deployed.switch(GREEN, [("api", "/health")])
        assert answers_for(edge, 0.3) == {(200, "old")}
        edge.switch(BLUE)
        edge.retire(old)
        edge.serve("other", release="20261120000000")  # takes the address that the old one had
        new = GREEN if again else replace(GREEN, release="20261120160000")
        edge.serve("green", says="new", release=new.release)
        edge.as_deployed.switch(new, [("api", "/health")])

        assert answers_for(edge, 4) == {(200, "new")}


@pytest.mark.long
@pytest.mark.parametrize("what", ["site", "release"])
def test_what_was_made_before_releases_had_names_is_switched_once_its_group_knows_the_addresses(
    tmp_path: Path, what: str
) -> None:
    with edge_in(tmp_path / "edge") as edge:
        if what == "site":
            site = edge.folder / "sites" / f"{NAME}.conf"
            text, removed = re.subn(r"    location ~ \"\^/by-name/.*?\n    }\n", "", site.read_text(), flags=re.DOTALL)
            assert removed
            site.write_text(text.replace("$wharfinger_tier", "$wharfinger_slot").replace("$wharfinger_at;", ";"))
            edge.reload()
        edge.serve("green", release=GREEN.release if what == "site" else "20261120120000")
        edge.as_deployed.switch(GREEN, [("api", "/health")])

        assert answers_for(edge, 4) == {(200, "green")}


@pytest.mark.long
def test_a_switch_to_what_nginx_does_not_reach_is_refused(edge: Edge) -> None:
    assert probing(edge, "api/health", "nope/health") == "nope/health: Nginx answers 502\n"
    assert edge.control(f"/live/{NAME}") == f"{BLUE}\n"


def probing(edge: Edge, *probes: str, within: float = 20) -> str:
    """Switch to green once these are reached, and return the answer; none where that takes too long."""
    asked = "&".join(f"probe={probe}" for probe in probes)
    try:
        return edge.ask("PUT", f"/live/{NAME}?{asked}", str(GREEN).encode(), timeout=within)[1]
    except NotReady:
        return ""


def test_the_control_server_tells_what_is_live(edge: Edge) -> None:
    assert edge.control(f"/live/{NAME}") == f"{BLUE}\n"
    edge.switch(GREEN)
    assert edge.control(f"/live/{NAME}") == f"{GREEN}\n"
    assert f"{NAME} {GREEN}" in edge.control("/live").splitlines()
    assert edge.ask("GET", "/live/unknown")[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        "",
        "green",
        "red:20261120143000",
        "green:2026112014300",
        "green:20261120143000;",
        "blue:1\ngreen:2",
    ],
)
def test_what_is_no_live_value_is_refused_and_changes_nothing(edge: Edge, body: str) -> None:
    assert edge.ask("PUT", f"/live/{NAME}", body.encode())[0] == 400
    assert edge.control(f"/live/{NAME}") == f"{BLUE}\n"


def test_the_control_server_is_not_there_for_the_public(edge: Edge) -> None:
    for path in (f"/live/{NAME}", f"/probe/{NAME}/green/api/", f"/current/{NAME}"):
        assert edge.get(path, method="PUT", body=str(GREEN).encode()).body == f"blue {len(str(GREEN))}"
    assert edge.control(f"/live/{NAME}") == f"{BLUE}\n"


@dataclass
class Load:
    """What keep-alive clients that never try again met with."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    stale: int = 0


def test_switches_under_load_lose_no_request_and_no_connection(edge: Edge) -> None:
    """Open loop: 300 requests a second over 20 connections, whatever becomes of those before, and 10 switches."""
    load = asyncio.run(_load_and_switch(edge, seconds=3, rate=300, connections=20, switches=10))

    assert load.failed == []
    assert load.answered == 900
    assert load.stale == 0


async def _load_and_switch(edge: Edge, *, seconds: int, rate: int, connections: int, switches: int) -> Load:
    load, port, count = Load(), edge.port, seconds * rate
    due: asyncio.Queue[float] = asyncio.Queue()
    live = ["blue", "blue"]  # what was live before the switch under way, and what it makes live

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while await due.get():
            before = set(live)
            try:
                writer.write(b"GET /n HTTP/1.1\r\nHost: atlas.test\r\nCookie: session=1\r\n\r\n")
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = (await reader.readexactly(length)).decode()
                assert head.startswith(b"HTTP/1.1 200"), head
                load.answered += 1
                load.stale += body.split()[0] not in before | set(live)
            except (OSError, EOFError, AssertionError, TimeoutError) as error:
                load.failed.append(repr(error))
                return
        writer.close()

    async def switch() -> None:
        for number in range(switches):
            await asyncio.sleep(seconds / (switches + 1))
            target = (GREEN, BLUE)[number % 2]
            live[:] = [live[1], target.slot]
            await asyncio.to_thread(edge.switch, target)
            live[:] = [target.slot, target.slot]

    clients = [asyncio.create_task(client()) for _ in range(connections)]
    switching = asyncio.create_task(switch())
    began = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        due.put_nowait(1.0)
    await switching
    for _ in clients:
        due.put_nowait(0.0)
    await asyncio.wait_for(asyncio.gather(*clients), 20)
    return load


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_restart_serves_what_the_default_says_whatever_was_left_behind(edge: Edge, how: str) -> None:
    """A killed Nginx leaves its control socket; and the file says green, for the deploy wrote it."""
    (edge.folder / "sites" / f"{NAME}.live").write_text(live_default(GREEN))
    try:
        if how == "kill":
            run("docker", "kill", "-s", "KILL", edge.container)
            assert Path(edge.socket).is_socket(), "it is in the way of the next Nginx"
            assert edge.as_deployed.live() is None
        edge.compose("restart", "--timeout", "5")
        edge.up()

        assert edge.control(f"/live/{NAME}") == f"{GREEN}\n"
        wait_until(lambda: edge.get("/", headers=SIGNED_IN).body.startswith("green "), within=5)
    finally:
        (edge.folder / "sites" / f"{NAME}.live").write_text(live_default(BLUE))


def test_a_reload_keeps_what_was_set(edge: Edge) -> None:
    edge.switch(GREEN)
    edge.reload()

    for _ in range(20):
        assert edge.get("/", headers=SIGNED_IN).body.startswith("green ")
    assert edge.control(f"/live/{NAME}") == f"{GREEN}\n"


def test_a_candidate_that_nginx_refuses_touches_nothing_that_runs(edge: Edge) -> None:
    """Not even the control socket, which `nginx -t` binds for a moment where nobody else has."""
    path = edge.folder / "sites" / f"{NAME}.conf"
    good = path.read_bytes()
    try:
        path.write_bytes(good.replace(b"client_max_body_size", b"client_max_bodysize"))
        tested = edge.exec("nginx", "-t", "-q", "-c", f"{IN_CONTAINER}/nginx.conf", check=False)
    finally:
        path.write_bytes(good)

    assert tested.returncode != 0
    assert "client_max_bodysize" in tested.stderr
    assert f"sites/{NAME}.conf:" in tested.stderr
    edge.exec("nginx", "-t", "-q", "-c", f"{IN_CONTAINER}/nginx.conf")
    edge.switch(GREEN)
    assert edge.get("/", headers=SIGNED_IN).body.startswith("green ")


def taking_requests(edge: Edge) -> set[str]:
    """Return the workers of Nginx that are not shutting down."""
    return set(edge.exec("sh", "-c", "grep -lsz '^nginx: worker process$' /proc/[0-9]*/cmdline").stdout.split())


def test_once_a_reload_is_done_only_new_workers_take_requests(edge: Edge) -> None:
    """For a while both would, and a switch could be tried on those whose addresses nobody uses any more."""
    before = taking_requests(edge)
    run(*commands.reload(edge.container))
    after = taking_requests(edge)
    assert after
    assert not before & after
