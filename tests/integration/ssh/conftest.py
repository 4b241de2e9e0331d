"""What tests of servers over SSH share: one server, and deployments on it."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.deployments import PEBBLE, Deployment
from tests.integration.ssh import servers
from tests.integration.ssh.servers import SshServer

STAGING = """\
  staging:
    server: vps1
    domain: localhost
    root: {root}
    edge: {{project: {edge}, http_port: {port}, https_port: {tls}, bind: 127.0.0.1}}
"""


@pytest.fixture(scope="session")
def sshd_image() -> None:
    """Build the server's image, once."""
    servers.build_image()


@pytest.fixture(scope="module")
def vps(sshd_image: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A server that `vps1` leads to, with a root of its own."""
    token = secrets.token_hex(4)
    folder = tmp_path_factory.mktemp(f"ssh-{token}")
    made = servers.start(folder, f"wharfinger-test-ssh-{token}", folder / "server")
    yield made
    made.remove()


@pytest.fixture(scope="module")
def staged(vps: SshServer, make_deployment: Callable[[Path], Deployment]) -> Iterator[Deployment]:
    """A pebble whose environment `staging` is on the server; nothing of it is deployed yet."""
    made = stage(make_deployment(PEBBLE), vps)
    yield made
    made.remove()


def stage(made: Deployment, vps: SshServer) -> Deployment:
    """Give a deployment an environment on the server."""
    path = made.folder / "stack.yaml"
    text = path.read_text(encoding="utf-8")
    environment = STAGING.format(root=vps.root, edge=made.edge, port=made.http_port, tls=made.https_port)
    path.write_text(f"{text.rstrip()}\n{environment}", encoding="utf-8")
    link = made.project / "server"
    if not link.exists():
        link.symlink_to(vps.root)
    staged = dataclasses.replace(made, environment="staging", domain="localhost", environ=vps.environ)
    staged.wharfinger("env.generate", "--env", "staging")
    return staged
