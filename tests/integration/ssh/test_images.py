"""Images on a server without a registry, and with one that asks who comes: what is missing travels, nothing stays."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from tests.examples import LAYOUT
from tests.integration.deployments import docker
from tests.integration.ssh import servers
from tests.integration.ssh.servers import SshServer
from tests.ports import free_ports
from tests.recording import Heard

from wharfinger.engine import Engine
from wharfinger.errors import BuildFailed, NotReady
from wharfinger.hosts.local import LocalHost
from wharfinger.hosts.ssh import SshHost, way_to
from wharfinger.registry import Registry
from wharfinger.runtimes.compose import ComposeRuntime
from wharfinger.supplying import supply

MB = 1 << 20
PASSWORD = "pebble"  # the next line is its bcrypt hash
HTPASSWD = "ann:$2b$05$T8R0GHBkqBcnDhB1VO4xXubu2ZpNUP/gXgDRd0oUDQDey2iUcoOY."


@pytest.fixture(scope="module")
def far(sshd_image: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A server with an engine of its own, which holds no image."""
    token = secrets.token_hex(4)
    folder = tmp_path_factory.mktemp(f"far-{token}")
    made = servers.start(folder, f"wharfinger-test-far-{token}", folder / "server", own_engine=True)
    yield made
    made.remove()


@pytest.fixture
def host(far: SshServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshHost]:
    for name, value in far.environ.items():
        monkeypatch.setenv(name, value)
    made = SshHost(way_to("vps1", environment="staging"))
    yield made
    made.close()


def pull(host: SshHost, *images: str) -> None:
    """Fetch images as the step of a deploy does."""
    engine = Engine(host.docker_url, host=host.name, there=host)
    try:
        with Heard().console.steps(["pull"]) as steps, steps.step("pull") as shown:
            ComposeRuntime(host, engine, LAYOUT).pull(images, shown=shown)
    finally:
        engine.close()


def pushed(registry: str, folder: Path, name: str) -> str:
    """Build what a folder holds, push it, and return it by digest; this machine keeps nothing of it."""
    repository = f"{registry}/{name}"
    docker("build", "--quiet", "--tag", f"{repository}:1", str(folder))
    try:
        digest = Registry(registry).push(repository, "1", moved=lambda *_: None)
    finally:
        docker("image", "rm", f"{repository}:1")
    return f"{repository}@{digest}"


def source(folder: Path, large: int) -> Path:
    """Make the source of an image with a large layer that stays and a small one that changes."""
    folder.mkdir()
    (folder / "large").write_bytes(os.urandom(large))
    (folder / "small").write_bytes(os.urandom(MB))
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY large /\nCOPY small /\n", encoding="utf-8")
    return folder


def reaches(host: SshHost, port: int) -> bool:
    """Whether anything answers on a port of the server's loopback."""
    code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
    return host.run(("python3", "-c", code), timeout=30, check=False).status == 0


def test_only_a_changed_layer_travels_and_the_port_is_lent_no_longer_than_that(
    far: SshServer, host: SshHost, registry: str, tmp_path: Path
) -> None:
    name, folder = f"far-{secrets.token_hex(4)}", source(tmp_path / "app", 40 * MB)
    first = pushed(registry, folder, name)
    before = far.relay.moved
    pull(host, first)
    assert far.relay.moved - before > 40 * MB
    (folder / "small").write_bytes(os.urandom(MB))
    second = pushed(registry, folder, name)
    before = far.relay.moved

    pull(host, second)

    assert MB < far.relay.moved - before <= 2 * MB
    assert second in docker("exec", far.container, "docker", "image", "inspect", second)
    assert not reaches(host, int(registry.rpartition(":")[2]))


def test_a_port_that_is_taken_there_is_named(host: SshHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wharfinger.hosts.ssh._LEND_WITHIN", 0.0)

    with pytest.raises(NotReady, match="vps1: port 22 of its loopback is taken"), host.lend(22):
        pass


def test_two_runs_of_this_machine_may_borrow_the_same_port(host: SshHost, registry: str) -> None:
    port = int(registry.rpartition(":")[2])

    with host.lend(port):
        with host.lend(port):
            assert reaches(host, port)
        assert reaches(host, port)

    assert not reaches(host, port)


@pytest.mark.long
def test_stock_images_are_handed_over_where_no_hub_gives_them(
    far: SshServer, host: SshHost, registry: str, tmp_path: Path
) -> None:
    """As stand-ins are, which no hub has."""
    name = f"far{secrets.token_hex(4)}:17"
    label = "org.wharfinger.stand-in=built-here"
    docker("build", "--quiet", "--label", label, "--tag", name, str(source(tmp_path / "stock", MB)))
    engine = Engine(host.docker_url, host=host.name, there=host)
    try:
        port = int(registry.rpartition(":")[2])
        supplied = supply((name,), LocalHost(), host, engine, port=port, note=lambda _: None)
        again = supply((name,), LocalHost(), host, engine, port=port, note=lambda _: None)
    finally:
        engine.close()
        docker("image", "rm", "--force", name)

    assert (supplied, again) == ((name,), ())
    assert name in docker("exec", far.container, "docker", "image", "inspect", name)


@pytest.fixture
def guarded(registry: str, tmp_path: Path) -> Iterator[str]:
    """The address of a registry that lets only ann in."""
    (port,) = free_ports(1)
    name = f"wharfinger-test-guarded-{secrets.token_hex(4)}"
    (tmp_path / "htpasswd").write_text(f"{HTPASSWD}\n", encoding="utf-8")
    settings = {"REGISTRY_AUTH": "htpasswd", "REGISTRY_AUTH_HTPASSWD_REALM": "test"}
    settings |= {"REGISTRY_AUTH_HTPASSWD_PATH": "/htpasswd"}
    given = [word for key, value in settings.items() for word in ("--env", f"{key}={value}")]
    docker(
        *("run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:5000"),
        *("--volume", f"{tmp_path / 'htpasswd'}:/htpasswd:ro", *given, "registry:2"),
    )
    address = f"127.0.0.1:{port}"
    Registry(address)._await_answer()
    yield address
    docker("rm", "--force", "--volumes", name)


def test_a_registry_that_asks_who_comes_is_told_of_the_operator_and_nothing_stays_there(
    far: SshServer, host: SshHost, guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "docker"
    config.mkdir()
    known = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    (config / "config.json").write_text(json.dumps({"auths": {guarded: {"auth": known}}}), encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    image = pushed(guarded, source(tmp_path / "app", MB), f"guarded-{secrets.token_hex(4)}")
    port = int(guarded.rpartition(":")[2])
    with host.lend(port), pytest.raises(subprocess.CalledProcessError):
        docker("exec", "--user", "deploy", far.container, "docker", "pull", image)

    pull(host, image)

    assert image in docker("exec", far.container, "docker", "image", "inspect", image)
    assert host.names_in(PurePosixPath("/home/deploy/.docker")) == ()
    looked = ("grep", "-rlF", known, "/home", "/root", "/tmp", "/etc")
    assert host.run(looked, timeout=30, check=False).stdout == ""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    docker("exec", far.container, "docker", "image", "rm", image)
    with pytest.raises(BuildFailed, match="was not pulled"):
        pull(host, image)
