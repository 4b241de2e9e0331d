"""One edge for all of these tests, with a service in both slots."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.edge.rig import BLUE, NAME, Edge, edge_in, wait_until


@pytest.fixture(scope="package")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge with one site, started when neither slot existed, and now a service in both."""
    with edge_in(tmp_path_factory.mktemp("edge") / "edge") as edge:
        edge.serve("blue")
        edge.serve("green")
        wait_until(lambda: edge.get("/health").status == 200)
        wait_until(lambda: edge.control(f"/probe/{NAME}/green/api/") != "")
        yield edge


@pytest.fixture(autouse=True)
def _blue_is_live(request: pytest.FixtureRequest) -> None:
    if "edge" in request.fixturenames:
        request.getfixturevalue("edge").switch(BLUE)
