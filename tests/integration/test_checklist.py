"""The checklist of a release, through the real command line: what fails is named, and the old release serves on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.deployments import PEBBLE, Deployment, docker

CHECKS = """\
  - {path: /, timeout: 2s}
  - {path: /echo, method: POST, headers: {X-Smoke: "1"}, body: granite, status: 201, contains: granite}
  - logs: {}
  - latency: {path: /, samples: 3, factor: 2, floor: 250ms}
"""


@pytest.fixture(scope="module")
def deployed(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A deployed pebble with every kind of check."""
    made = make_deployment(PEBBLE)
    made.edit("stack.yaml", "healthy_within: 15s", "healthy_within: 1m")
    made.edit("stack.yaml", "  - {path: /, timeout: 2s}\n", CHECKS)
    migrate = "  command: [python, app.py, migrate]\n"
    made.edit("stack.yaml", migrate, f"{migrate}  check: [python, app.py, at-head]\n")
    made.deploy()
    return made


def last_checks(deployment: Deployment) -> dict[str, bool]:
    """Return which lines of the last run's checklist passed, as its journal has them."""
    path = max((deployment.server / "journal").iterdir())
    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {check["name"]: check["passed"] for line in lines for check in line.get("checks", ())}


def test_every_line_passes_by_name(deployed: Deployment) -> None:
    names = (
        "migrations at head",
        "GET /health",
        "GET /",
        "POST /echo",
        "median of GET /",
        "logs of all services",
        "containers",
    )
    assert last_checks(deployed) == dict.fromkeys(names, True)
    with deployed.edited("app.py", 'VERSION = "one"', 'VERSION = "again"'):
        ran = deployed.deploy()
    for name in names:
        assert f"\n            {name} ✓" in ran.stderr, "below its step"
        assert f"\n  check      {name} ✓" in ran.stderr, "and in the summary"
    assert ", before " in ran.stderr
    back = deployed.wharfinger("rollback", "--env", "local")
    assert "POST /echo ✓" in back.stderr
    assert "median" not in back.stderr, "a rollback is not held against the release that it replaces"


@pytest.fixture
def pebble(deployed: Deployment) -> Iterator[Deployment]:
    """The deployed pebble, which must serve as before once the test is over."""
    release = deployed.status()["release"]
    yield deployed
    assert deployed.request("/").json()["version"] == "one", "the old release serves"
    assert deployed.status()["release"] == release
    running = docker("ps", "--all", "--quiet", "--filter", f"label=org.wharfinger.stack={deployed.name}").split()
    assert len(running) == 2, "its container and the database's, and no other"


@pytest.mark.long
@pytest.mark.parametrize(
    ("mode", "failing", "told"),
    [
        ("noisy", "logs of all services", "ERROR no such pebble"),
        ("tired", "median of GET /", "before "),
        ("brief", "containers", "web"),
        ("behind", "migrations at head", "0001_pebbles is not applied"),
    ],
)
def test_a_line_that_fails_takes_the_release_back(pebble: Deployment, mode: str, failing: str, told: str) -> None:
    with pebble.edited("app.py", 'MODE = "good"', f'MODE = "{mode}"'):
        ran = pebble.deploy(status=7)
    assert f"{failing} ✗" in ran.stderr
    error = ran.stderr.partition("error:")[2]
    assert told in error
    assert "still serves" in error
    checks = last_checks(pebble)
    assert checks[failing] is False
    assert mode == "brief" or [name for name, passed in checks.items() if not passed] == [failing]


@pytest.mark.long
def test_all_that_fails_is_told_together(pebble: Deployment) -> None:
    with (
        pebble.edited("app.py", 'MODE = "good"', 'MODE = "noisy"'),
        pebble.edited("stack.yaml", "contains: granite", "contains: marble"),
    ):
        ran = pebble.deploy(status=7)
    error = ran.stderr.partition("error:")[2]
    assert "POST /echo: the answer does not contain 'marble'" in error
    assert "logs of all services: " in error
