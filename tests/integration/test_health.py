"""Checks against a real HTTP server: what passes, what does not, and never longer than allowed."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from wharfinger import health
from wharfinger.health import Address, failure
from wharfinger.local_ca import Authority
from wharfinger.model.checks import Check

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]
HEALTHY = {"status": "healthy", "database": {"connected": True}, "count": 3}


class Site(http.server.ThreadingHTTPServer):
    """A site whose answer a test decides; it remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Answer = lambda request: answer(request, 200, b"")
        self.asked: list[tuple[str, str, str]] = []

    @property
    def address(self) -> Address:
        """Where it is, under a name that no DNS knows."""
        port = self.server_address[1]
        return Address(f"http://shop.invalid:{port}", "shop.invalid", "127.0.0.1", port)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Hands every request to the site's answer."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Site)
        self.server.asked.append((self.command, self.path, self.headers["Host"]))
        self.server.answer(self)

    do_HEAD = do_GET  # noqa: N815 - as above

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Be quiet."""


def answer(request: http.server.BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def check(**facts: Any) -> Check:
    return Check.model_validate({"path": "/health", "timeout": "300ms"} | facts)


@pytest.mark.parametrize(
    ("facts", "status", "body", "problem"),
    [
        ({}, 200, b"", None),
        ({}, 503, b"", "status 503, expected 200"),
        ({"status": 401}, 401, b"", None),
        ({"method": "HEAD"}, 200, b"ignored", None),
        ({"contains": "Welcome"}, 200, "… Welcome, Åsa".encode(), None),
        ({"contains": "Åsa"}, 200, "… Welcome, Åsa".encode(), None),
        ({"contains": "Welcome"}, 200, b"welcome", "the answer does not contain 'Welcome'"),
        ({"json": {"status": "healthy"}}, 200, json.dumps(HEALTHY).encode(), None),
        ({"json": {"database": {"connected": True}, "count": 3}}, 200, json.dumps(HEALTHY).encode(), None),
        (
            {"json": {"status": "ok", "version": "2"}},
            200,
            json.dumps(HEALTHY).encode(),
            "status is 'healthy', expected 'ok'; version is None, expected '2'",
        ),
        ({"json": {"status": "healthy"}}, 200, b"<html>", "the answer is not JSON"),
        ({"json": {"status": "healthy"}}, 200, b"\xff", "the answer is not JSON"),
        ({"json": {"status": "healthy"}}, 200, b"[]", "the answer is not a JSON object"),
        ({"json": {"status": "healthy"}}, 500, json.dumps(HEALTHY).encode(), "status 500, expected 200"),
    ],
)
def test_an_answer_is_held_against_the_check(
    site: Site, facts: dict[str, Any], status: int, body: bytes, problem: str | None
) -> None:
    site.answer = lambda request: answer(request, status, body)

    assert failure(site.address, check(**facts)) == problem


def test_the_server_is_asked_by_its_public_name_without_dns(site: Site) -> None:
    assert failure(site.address, check(path="/a?b=c")) is None

    assert site.asked == [("GET", "/a?b=c", f"shop.invalid:{site.address.port}")]


def test_a_site_that_comes_up_late_passes(site: Site) -> None:
    site.answer = lambda request: answer(request, 502 if len(site.asked) < 4 else 200, b"")

    assert failure(site.address, check(timeout="10s")) is None
    assert len(site.asked) == 4


def test_the_last_reason_is_told_when_the_time_is_up(site: Site) -> None:
    site.answer = lambda request: answer(request, 502, b"")
    began = time.monotonic()

    assert failure(site.address, check(timeout="500ms")) == "status 502, expected 200"
    assert 0.3 < time.monotonic() - began < 5
    assert len(site.asked) > 2


def silent(request: http.server.BaseHTTPRequestHandler) -> None:
    time.sleep(3)


def trickling(request: http.server.BaseHTTPRequestHandler) -> None:
    """Answer as a stream of events does: a bit now and then, without an end."""
    request.send_response(200)
    request.end_headers()
    for _ in range(60):
        request.wfile.write(b": still here\n")
        request.wfile.flush()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("behaviour", "problem"), [(silent, "timed out"), (trickling, "the answer did not end in time")]
)
def test_a_site_that_does_not_finish_cannot_hold_a_deploy_up(site: Site, behaviour: Answer, problem: str) -> None:
    site.answer = behaviour
    began = time.monotonic()

    assert failure(site.address, check(timeout="400ms")) == problem
    assert time.monotonic() - began < 2


def test_an_endless_answer_is_read_only_so_far(site: Site) -> None:
    site.answer = lambda request: answer(request, 200, b"begin" + b"x" * (20 << 20) + b"end")

    assert failure(site.address, check(contains="begin", timeout="10s")) is None
    assert failure(site.address, check(contains="end", timeout="1s")) is not None


def nonsense(request: http.server.BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"this is no HTTP\r\n\r\n")


def test_what_is_no_http_is_told(site: Site) -> None:
    site.answer = nonsense

    assert failure(site.address, check()) == "this is no HTTP\r\n"


def test_a_port_on_which_nobody_listens_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = Address("http://x", "x", "127.0.0.1", unused.getsockname()[1])

        assert "Connection refused" in str(failure(address, check()))


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/ü"])
def test_a_path_that_no_request_can_hold_is_told(site: Site, path: str) -> None:
    told = failure(site.address, check(path=path))

    assert told
    assert site.asked == []


@pytest.mark.parametrize(
    ("domain", "trusted", "age", "told"),
    [
        ("shop.invalid", True, 0, None),
        ("shop.invalid", False, 0, "its certificate is refused: unable to get local issuer certificate"),
        ("other.invalid", True, 0, "its certificate is refused: Hostname mismatch"),
        ("shop.invalid", True, 400, "its certificate is refused: certificate has expired"),
    ],
)
def test_a_certificate_counts_only_where_a_trusted_ca_gave_it_to_that_name(
    site: Site, tmp_path: Path, domain: str, trusted: bool, age: int, told: str | None
) -> None:
    clock = datetime.now(UTC) - timedelta(days=age)
    ca = Authority(tmp_path / "ca")
    chain, key = ca.issue((domain,), clock)
    (tmp_path / "cert").write_bytes(chain)
    (tmp_path / "key").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    site.socket = context.wrap_socket(site.socket, server_side=True)
    trust = ca.certificate() if trusted else None

    address = health.Address("https://x", "shop.invalid", "127.0.0.1", site.address.port, tls=True, trust=trust)
    found = failure(address, check())

    assert found is None if told is None else str(found).startswith(told)


def test_an_attempt_that_the_time_out_cuts_off_does_not_hide_what_was_wrong(site: Site) -> None:
    def slow_after_the_first(request: http.server.BaseHTTPRequestHandler) -> None:
        assert isinstance(request.server, Site)
        if len(request.server.asked) > 1:
            time.sleep(3)  # longer than the check may take
        answer(request, 500, b"")

    site.answer = slow_after_the_first
    assert failure(site.address, Check(path="/", timeout="1s")) == "status 500, expected 200"
