"""The server's own Nginx: what is asked of it, and what is put back."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from tests.examples import LAYOUT
from tests.recording import RecordingEngine, RecordingHost, container

from wharfinger.commands import host_nginx
from wharfinger.errors import InvalidInput, NotReady, WharfingerError
from wharfinger.host_edge import HostEdge
from wharfinger.model.release import Live
from wharfinger.rendering.live import live_default

BLUE, GREEN = Live("blue", "20261120120000"), Live("green", "20261120143000")
INCLUDED = f"# configuration file {LAYOUT.site}:\n"
OLD = {LAYOUT.site: b"old site", LAYOUT.live: live_default(BLUE).encode()}
NGINX = ("sudo", "-n", "nginx")


def edge_on(host: RecordingHost, *, serves: Live | None = BLUE) -> HostEdge:
    host.answer("-T", stdout=INCLUDED)
    if serves is not None:
        host.answer("curl", stdout=f"{serves}\n")
    return HostEdge(host, RecordingEngine(calls=host.calls), LAYOUT, NGINX, 80, {"api": (3000, 3100)})


def verbs(host: RecordingHost) -> list[str]:
    """Return what was done, each thing once however often it was asked."""
    found = [
        call[0] if call[0] != "run" else next(w for w in ("-T", "reload", "curl") if w in call[1])
        for call in host.calls
    ]
    return [verb for number, verb in enumerate(found) if number == 0 or found[number - 1] != verb]


def test_a_switch_is_tested_reloaded_and_awaited() -> None:
    host = RecordingHost(OLD)
    edge_on(host, serves=GREEN).switch(GREEN)
    assert host.read(LAYOUT.live) == live_default(GREEN).encode()
    assert verbs(host) == ["write", "-T", "reload", "curl"]
    assert all(command[:3] == NGINX for command in host.commands if command[0] != "curl")


def test_a_switch_that_nginx_never_takes_up_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wharfinger.host_edge._RELOADED_WITHIN", 0.1)
    host = RecordingHost(OLD)
    with pytest.raises(WharfingerError, match="does not take up"):
        edge_on(host, serves=BLUE).switch(GREEN)


def test_a_site_that_is_refused_is_put_back_byte_for_byte() -> None:
    host = RecordingHost(OLD)
    edge = edge_on(host)
    host.answer("-T", status=1, stderr="unknown directive")
    with pytest.raises(InvalidInput) as caught:
        edge.put_site(b"bad", BLUE)
    assert "unknown directive" in caught.value.details
    assert host.read(LAYOUT.site) == b"old site"
    assert "reload" not in verbs(host)


def test_a_new_site_that_is_refused_leaves_nothing() -> None:
    host = RecordingHost()
    edge = edge_on(host)
    host.answer("-T", status=1)
    with pytest.raises(InvalidInput):
        edge.put_site(b"bad", BLUE)
    assert host.read(LAYOUT.site) is None
    assert host.read(LAYOUT.live) is None


def test_a_site_that_nothing_includes_is_put_back_and_the_line_is_told() -> None:
    host = RecordingHost(OLD)
    edge = edge_on(host)
    host.answer("-T", stdout="# configuration file /etc/nginx/nginx.conf:\n")
    with pytest.raises(NotReady) as caught:
        edge.put_site(b"new", BLUE)
    assert f"include {LAYOUT.edge}/sites/*.conf;" in caught.value.fix
    assert host.read(LAYOUT.site) == b"old site"


def test_a_changed_site_goes_on_with_what_is_live() -> None:
    host = RecordingHost(OLD)
    edge_on(host, serves=BLUE).put_site(b"new", GREEN)
    assert host.read(LAYOUT.site) == b"new"
    assert host.read(LAYOUT.live) == live_default(BLUE).encode()


def test_what_is_live_is_what_nginx_says_not_the_file() -> None:
    host = RecordingHost(OLD)
    assert edge_on(host, serves=GREEN).live() == GREEN
    host.answer("curl", status=7)
    assert edge_on(host, serves=None).live() is None


def test_a_reload_that_fails_names_the_command() -> None:
    host = RecordingHost(OLD)
    edge = edge_on(host)
    host.answer("reload", status=1, stderr="sudo: a password is required")
    with pytest.raises(NotReady) as caught:
        edge.switch(GREEN)
    assert "sudo -n nginx -s reload" in caught.value.fix


def test_connections_to_ports_of_loopback_are_counted() -> None:
    head = "  sl  local_address rem_address   st\n"
    lines = (
        "   0: 0100007F:C350 0100007F:0BB8 01 x\n"  # 3000, established
        "   1: 0100007F:C351 0100007F:0BB8 06 x\n"  # time-wait
        "   2: 0100007F:C352 0100007F:0C1C 01 x\n"  # 3100
        "   3: 0100007F:0BB8 0100007F:C350 01 x\n"  # the other end
    )
    assert host_nginx.open_to(head + lines, [3000]) == 1
    assert host_nginx.open_to(head + lines, [3000, 3100]) == 2


def test_a_tier_is_quiet_once_nobody_is_connected_to_its_ports() -> None:
    host = RecordingHost({PurePosixPath("/proc/net/tcp"): b"  sl\n   0: 0100007F:C350 0100007F:0BB8 01 x\n"})
    project = LAYOUT.target.app_project(BLUE.release)
    engine = RecordingEngine(container(project, "api", published={3000: 3000}), calls=host.calls)
    edge = HostEdge(host, engine, LAYOUT, NGINX, 80)
    noted: list[str] = []
    edge.await_quiet(project, within=0.3, note=noted.append)
    assert noted == ["1 connection in use"]
    host.files.clear()
    edge.await_quiet(project, within=30, note=noted.append)
    assert len(noted) == 1
