"""Hosts on the same Nginx that lead to what Wharfinger does not run."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.integration.acme import wait_until
from tests.integration.deployments import PEBBLE, Deployment, docker


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An application on the server itself, which listens where containers reach it; return its port."""
    folder = tmp_path_factory.mktemp("legacy")
    (folder / "index.html").write_text("legacy")
    bridge = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    server = ThreadingHTTPServer((bridge, 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def pebble(make_deployment: Callable[[Path], Deployment], legacy: int) -> Deployment:
    """A deployment that declares two routes, one of which nobody answers."""
    made = make_deployment(PEBBLE)
    odoo = f"{{domain: odoo.localhost, to: '127.0.0.1:{legacy}'}}"
    routes = f"[{odoo}, {{domain: wiki.localhost, to: 'no-such-host.invalid:80'}}]"
    made.edit("stack.yaml", f"{{project: {made.edge}, ", f"{{project: {made.edge}, routes: {routes}, ")
    made.deploy()
    return made


def answer(deployment: Deployment, host: str) -> tuple[int, bytes]:
    """Ask the edge for a host; 0 where it closes the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", deployment.http_port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.RemoteDisconnected:
        return 0, b""
    finally:
        connection.close()


def test_a_route_leads_to_the_server_itself_and_one_that_nobody_answers_disturbs_nothing(pebble: Deployment) -> None:
    assert answer(pebble, "odoo.localhost") == (200, b"legacy")
    assert answer(pebble, "wiki.localhost")[0] == 502
    assert pebble.request("/").status == 200
    assert "already up to date" in pebble.deploy().stderr


def test_changed_routes_are_shown_and_change_without_a_release(pebble: Deployment) -> None:
    release = pebble.status()["release"]
    with pebble.edited("stack.yaml", "wiki.localhost", "notes.localhost"):
        shown = pebble.deploy("--plan")
        assert "foreign routes changed" in shown.stderr
        assert "+    server_name notes.localhost;" in shown.stdout
        assert answer(pebble, "notes.localhost")[0] == 0
        pebble.deploy()
        wait_until(lambda: answer(pebble, "notes.localhost")[0] == 502)  # Nginx tells nobody when a reload is done
        wait_until(lambda: answer(pebble, "wiki.localhost")[0] == 0)
    assert pebble.status()["release"] == release


@pytest.mark.long
def test_a_route_serves_on_through_a_deploy_that_fails_and_after_the_site_is_gone(pebble: Deployment) -> None:
    with pebble.edited("app.py", 'MODE = "good"', 'MODE = "wrong"'):
        pebble.deploy(status=7)
    assert answer(pebble, "odoo.localhost") == (200, b"legacy")
    pebble.wharfinger("down", "--env", "local")
    assert answer(pebble, "odoo.localhost") == (200, b"legacy")
    assert answer(pebble, pebble.domain)[0] == 0
