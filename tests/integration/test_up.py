"""A developer's own stack: seeded once, and rebuilt as its source changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.deployments import PEBBLE, Deployment

WITHIN = 90


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


def test_a_database_is_seeded_once(pebble: Deployment) -> None:
    assert (pebble.server / "shared" / "seeded.json").exists()
    assert "already up to date" in pebble.wharfinger("up", "--env", "local").stderr
    with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "again"'):
        assert "sowing" not in pebble.wharfinger("up", "--env", "local").stderr
    pebble.wharfinger("up", "--env", "local")


def test_what_changes_is_served_while_it_is_watched_and_deployed_in_the_end(pebble: Deployment) -> None:
    before = pebble.status()["release"]
    environ = {**os.environ, "WHARFINGER_ROOT": str(pebble.project / "server"), "NO_COLOR": "1"}
    argv = (sys.executable, "-m", "wharfinger", "up", "--env", "local", "--watch")
    log = pebble.project / "watch.log"
    with log.open("wb") as output:
        watching = subprocess.Popen(
            argv, cwd=pebble.project, env=environ, stdout=output, stderr=output, process_group=0
        )
    try:
        pebble.edit("app.py", 'VERSION = "one"', 'VERSION = "watched"')
        deadline = time.monotonic() + WITHIN
        while version(pebble) != "watched":
            assert time.monotonic() < deadline, log.read_text()
            assert watching.poll() is None, log.read_text()
            time.sleep(1)
            (pebble.folder / "app.py").touch()  # Compose may not have watched yet
        os.killpg(watching.pid, signal.SIGINT)
        assert watching.wait(WITHIN) == 0, log.read_text()
    finally:
        if watching.poll() is None:
            os.killpg(watching.pid, signal.SIGKILL)
            watching.wait()
    assert pebble.status()["release"] != before
    assert pebble.request("/").json()["version"] == "watched"


def version(deployment: Deployment) -> str:
    """Return the version that answers; nothing while a service is being replaced."""
    answer = deployment.request("/")
    return str(answer.json()["version"]) if answer.status == 200 else ""
