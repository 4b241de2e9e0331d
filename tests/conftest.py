"""What tests with a real engine share: one registry for the whole session, and deployments that clean up after them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_docker.plugin import Services
from tests.integration import deployments
from tests.integration.deployments import Deployment
from tests.ports import free_ports

from wharfinger import assets, stock_images
from wharfinger.hosts.local import LocalHost
from wharfinger.registry import Registry

_TOKEN = f"wharfinger-test-{secrets.token_hex(3)}"


@pytest.fixture(scope="session")
def stock() -> None:
    """Make the engine hold the stock images, once."""
    stock_images.ensure(LocalHost(), stock_images.STOCK, say=print, progress=lambda *_: None)


@pytest.fixture(scope="session")
def docker_compose_file() -> Path:
    """Return what pytest-docker is to start: the registry, as users have it."""
    return assets.folder("compose") / "registry.yaml"


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    """Return a project name that no other run has."""
    return f"{_TOKEN}-registry"


@pytest.fixture(scope="session")
def registry_port() -> Iterator[int]:
    """Return where the session's registry listens."""
    (port,) = free_ports(1)
    os.environ["WHARFINGER_REGISTRY_PORT"] = str(port)
    yield port
    del os.environ["WHARFINGER_REGISTRY_PORT"]


@pytest.fixture(scope="session")
def registry(registry_port: int, stock: None, docker_services: Services) -> str:
    """Return the address of the session's registry."""
    address = f"127.0.0.1:{registry_port}"
    docker_services.wait_until_responsive(timeout=30, pause=0.1, check=Registry(address).is_up)
    return address


@pytest.fixture(scope="module")
def make_deployment(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], Deployment]]:
    """Return a function that makes a deployment of a stack's folder; all are removed at the end."""
    with ExitStack() as removals:  # one that fails keeps no other from being removed

        def make(source: Path) -> Deployment:
            name = f"t{secrets.token_hex(4)}"
            made = deployments.make(tmp_path_factory.mktemp(name), source, name, registry)
            removals.callback(made.remove)
            return made

        yield make
