"""A service that must not overlap with its predecessor, and what becomes of the old one where the new one fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.deployments import PEBBLE, Deployment, docker

SCHEDULER = """\
  scheduler:
    image: app
    command: [python, app.py, schedule]
    strategy: recreate
    mem_limit: 64m
    healthcheck: {test: [python, -c, ""], interval: 5s, start_interval: 1s}
    mounts:
      - {source: turns, target: /turns}
"""


@pytest.fixture(scope="module")
def pebble(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A deployed pebble with a scheduler."""
    made = make_deployment(PEBBLE)
    made.edit("stack.yaml", "migrate:\n", f"{SCHEDULER}migrate:\n")
    made.edit("stack.yaml", "site:\n", "volumes: {turns: {}}\nsite:\n")
    made.edit("stack.yaml", "healthy_within: 15s", "healthy_within: 1m")
    made.deploy()
    return made


def turns(deployment: Deployment) -> list[str]:
    """Return who began and ended, in order."""
    return (deployment.server / "shared" / "turns" / "turns").read_text(encoding="utf-8").split()


def schedulers(deployment: Deployment) -> list[str]:
    """Return the schedulers that run, by the id of their container."""
    label = f"label=org.wharfinger.stack={deployment.name}"
    return docker("ps", "--quiet", "--filter", label, "--filter", "label=org.wharfinger.service=scheduler").split()


def test_no_two_run_at_once(pebble: Deployment) -> None:
    first = pebble.status()["release"]
    with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "two"'):
        ran = pebble.deploy()
    assert f"stop scheduler of {first} first" in ran.stderr
    assert turns(pebble) == ["begin-one", "end-one", "begin-two"]
    assert len(schedulers(pebble)) == 1

    pebble.wharfinger("rollback", "--env", "local")
    assert turns(pebble)[3:] == ["end-two", "begin-one"]


@pytest.mark.long
@pytest.mark.parametrize("mode", ["unscheduled", "wrong"])
def test_where_the_new_release_fails_the_old_one_is_started_again(pebble: Deployment, mode: str) -> None:
    """Be it the scheduler that does not start, or the site that does not verify."""
    before, release = schedulers(pebble), pebble.status()["release"]
    with pebble.edited("app.py", 'MODE = "good"', f'MODE = "{mode}"'):
        ran = pebble.deploy(status=7)
    assert "could not undo" not in ran.stderr
    assert schedulers(pebble) == before, "the very container that ran before"
    assert turns(pebble)[-1] == "begin-one"
    assert pebble.status()["release"] == release
    assert pebble.request("/").json()["version"] == "one"
