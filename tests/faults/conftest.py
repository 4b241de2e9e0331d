"""What tests of faults share: a pebble with a worker, held against its own state before each fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.harness import WORKER, Kept, Traffic
from tests.integration.deployments import PEBBLE, Deployment, docker


@pytest.fixture(scope="session", autouse=True)
def _with_stock_images(stock: None) -> None:
    """Let the engine hold the stock images before any test asks for one."""


@pytest.fixture(scope="module")
def deployed(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A deployed pebble of two services whose database holds a row."""
    made = make_deployment(PEBBLE)
    made.edit("stack.yaml", "migrate:\n", WORKER)
    made.deploy()
    create = "create table pebbles as select 'granite' as kind"
    docker("exec", f"{made.name}-local-postgres", "psql", "-U", "postgres", "-Atc", create)
    return made


@pytest.fixture
def taken_back(deployed: Deployment) -> Iterator[Deployment]:
    """The deployed pebble, from which a fault takes nothing, and to which it adds nothing."""
    before = Kept.of(deployed)
    yield deployed
    assert Kept.of(deployed) == before
    assert not (deployed.server / "lock").exists()
    assert deployed.request("/").json()["version"] == "one"


@pytest.fixture
def pebble(taken_back: Deployment) -> Iterator[Deployment]:
    """The deployed pebble, of whose visitors no fault makes one wait or fail."""
    with Traffic(taken_back).flowing() as traffic:
        yield taken_back
    assert traffic.asked > 0
    assert traffic.failures == []
    assert traffic.versions == {"one"}
