"""What becomes of requests when containers come and go."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.integration.edge.rig import BLUE, NAME, SIGNED_IN, Edge, fresh, run, wait_until

from wharfinger.commands import edge as commands


def test_a_container_that_comes_back_with_another_address_is_found_within_two_seconds(edge: Edge) -> None:
    old = edge.services[0]
    address = ("docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    before = run(*address, old).stdout
    edge.retire(old)
    edge.serve("squatter")  # takes the address that has become free
    new = edge.serve("blue")
    assert run(*address, new).stdout != before

    wait_until(lambda: edge.get("/", headers=SIGNED_IN).status == 200, within=2)


_LOOK_UP = """
import socket, sys
name = sys.argv[1].encode()
asked = b"\\1\\2\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + bytes([len(name)]) + name + b"\\0\\0\\1\\0\\1"  # RFC 1035, 4.1
resolver = socket.socket(type=socket.SOCK_DGRAM)
resolver.settimeout(20)
resolver.sendto(asked, ("127.0.0.11", 53))
answer = resolver.recv(512)
print(answer[3] & 15, int.from_bytes(answer[6:8], "big"))
"""
"""Prints the response code and how many addresses there are."""


@pytest.mark.parametrize(("service", "told"), [("api", "0 1"), ("nobody", "0 0")])
def test_who_knows_a_slot_is_docker_alone(edge: Edge, service: str, told: str) -> None:
    """Name servers outside would say NXDOMAIN of one in which nothing runs, or fail, or send traffic anywhere."""
    beside = ("docker", "run", "--rm", "--network", f"container:{edge.container}", "--entrypoint", "python")
    answer = run(*beside, "python:3.13-slim", "-c", _LOOK_UP, f"{NAME}-green-{service}")

    assert answer.stdout.strip() == told


def test_of_two_replicas_a_dying_one_is_skipped(edge: Edge) -> None:
    """Not even a request fails that was on its way to an address just when that vanished."""
    second = edge.serve("blue", says="second")
    try:
        wait_until(lambda: edge.get("/", headers=SIGNED_IN).body.startswith("second "), within=5)
        run("docker", "kill", "-s", "KILL", second)
        for number in range(40):
            began = time.monotonic()
            method, body = ("GET", None) if number % 2 else ("POST", b"x")
            assert edge.get("/", method=method, body=body, headers=SIGNED_IN).body.startswith("blue ")
            assert time.monotonic() - began < 2.5
    finally:
        edge.retire(second)


def test_what_may_not_be_sent_twice_is_sent_once(edge: Edge) -> None:
    """Whichever replica takes this POST dies of it; the other one never hears of it."""
    second = edge.serve("blue", says="second")
    try:
        wait_until(lambda: edge.get("/", headers=SIGNED_IN).body.startswith("second "), within=5)
        assert edge.get("/die", method="POST", body=b"x").status == 502
        assert "".join(run("docker", "logs", name).stdout for name in edge.services) == "POST /die\n"
    finally:
        edge.retire(second)


def test_connections_of_an_address_are_awaited_until_they_end_and_no_longer_than_may_be(edge: Edge) -> None:
    address = ("docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}")
    gateway = run(*address, edge.container)
    visitors = (gateway.stdout.strip(),)

    with socket.create_connection(("127.0.0.1", edge.port)):
        held = run(*commands.await_quiet(edge.container, visitors, within=0.4), check=False)
    began = time.monotonic()
    run(*commands.await_quiet(edge.container, visitors, within=30), check=False)

    assert held.stderr == "1\n1\n"
    assert time.monotonic() - began < 10


def in_flight(edge: Edge) -> str:
    """Return how many requests are under way that the release in blue was chosen for."""
    return edge.control(f"/flights/{NAME}/{BLUE.release}").strip()


def test_a_release_is_not_done_while_an_upload_comes_in_that_it_was_chosen_for(edge: Edge) -> None:
    """Nginx has no connection for it yet; it would make one just when the container is stopped."""
    notes: list[str] = []
    head = b"POST /upload HTTP/1.1\r\nHost: atlas.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"

    with socket.create_connection(("127.0.0.1", edge.port)) as client:
        client.sendall(head + b"ab")
        wait_until(lambda: in_flight(edge) == "1")
        began = time.monotonic()
        edge.as_deployed.await_done(BLUE.release, within=0.5, note=notes.append)
        assert 0.5 <= time.monotonic() - began < 5
        client.sendall(b"cd")
        assert b" 200 " in client.makefile("rb").readline()
    began = time.monotonic()
    edge.as_deployed.await_done(BLUE.release, within=30, note=lambda _: None)

    assert notes == ["1 request under way"] * 2
    assert time.monotonic() - began < 10


def test_nginx_itself_waits_for_the_last_request_and_only_for_a_moment(edge: Edge) -> None:
    asked = f"/flights/{NAME}/{BLUE.release}?within=99999"
    with socket.create_connection(("127.0.0.1", edge.port)) as client, ThreadPoolExecutor() as pool:
        client.sendall(b"POST /upload HTTP/1.1\r\nHost: atlas.test\r\nContent-Length: 2\r\n\r\n")
        wait_until(lambda: in_flight(edge) == "1")
        began = time.monotonic()
        assert edge.control(asked) == "1\n"
        assert time.monotonic() - began >= 0.2
        waiting = pool.submit(edge.control, asked)
        client.sendall(b"cd")
        assert b" 200 " in client.makefile("rb").readline()
        assert int(waiting.result()) in {0, 1}
        wait_until(lambda: in_flight(edge) == "0")


def test_every_request_that_ends_is_counted_out(edge: Edge) -> None:
    for path in (fresh(), fresh(), "/health", "/die", "/streamed/upload"):
        edge.get(path)
    edge.get("/", method="BREW")
    edge.get("/upload", method="POST", body=bytes(13 << 20))
    with socket.create_connection(("127.0.0.1", edge.port)) as client:
        client.sendall(b"POST /upload HTTP/1.1\r\nHost: atlas.test\r\nContent-Length: 4\r\n\r\nab")
        wait_until(lambda: in_flight(edge) == "1")
    wait_until(lambda: in_flight(edge) == "0")
