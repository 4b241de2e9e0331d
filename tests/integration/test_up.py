"""A developer's own stack: seeded once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.deployments import PEBBLE, Deployment


@pytest.fixture(scope="module")
def pebble(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A pebble with a seed, brought up."""
    made = make_deployment(PEBBLE)
    made.edit("stack.yaml", "data:\n  postgres:\n    engine: postgres\n    mem_limit: 256m\n", "")
    made.edit("stack.yaml", "    services: [postgres]\n", "")
    made.edit("stack.yaml", "site:\n", "seed:\n  image: app\n  command: [python, app.py, seed]\nsite:\n")
    ran = made.wharfinger("up", "--env", "local")
    assert ran.stdout == f"http://{made.domain}:{made.http_port}\n"
    assert "seed" in ran.stderr
    return made


@pytest.mark.long
def test_a_database_is_seeded_once(pebble: Deployment) -> None:
    assert (pebble.server / "shared" / "seeded.json").exists()
    assert "already up to date" in pebble.wharfinger("up", "--env", "local").stderr
    with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "again"'):
        assert "sowing" not in pebble.wharfinger("up", "--env", "local").stderr
    pebble.wharfinger("up", "--env", "local")
