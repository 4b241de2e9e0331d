"""A deploy that changes one service goes to and fro few times: each is a wait as long as the way to the server."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration import forked
from tests.integration.deployments import Deployment
from tests.integration.ssh.servers import SshServer

SESSIONS = 1
"""Commands that a shell of the server ran."""
WAITS = 16
"""Questions that could only be asked once the one before was answered, to the host and to its engine together."""


def waits(counted: dict[str, Any]) -> list[str]:
    """Return the questions that waited for each other: of those that were under way together, the first to end."""
    asked = [*counted["asked"], *(each for each in counted["docker"] if not each[3].startswith("build"))]
    chain, free = [], 0.0
    for what, begun, ended, _ in sorted(asked, key=lambda each: float(each[2])):
        if begun >= free:
            chain.append(str(what))
            free = float(ended)
    return chain


def deploy(deployment: Deployment, file: Path) -> dict[str, Any]:
    """Deploy, and return what went over SSH."""
    argv = ("tests.integration.ssh.counting", str(file), "deploy", "--env", "staging")
    env = {**os.environ, **deployment.environ, "NO_COLOR": "1"}
    began = time.monotonic()
    done = forked.run(argv, cwd=deployment.project, env=env, timeout=240)
    assert done.returncode == 0, done.stderr
    counted: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return counted | {"seconds": time.monotonic() - began, "said": done.stderr}


def test_a_deploy_of_one_changed_service_goes_to_and_fro_few_times(
    staged: Deployment, vps: SshServer, tmp_path: Path
) -> None:
    staged.deploy()
    staged.edit("app.py", 'VERSION = "one"', 'VERSION = "two"')
    vps.relay.delay = 0.015  # what is asked at once is under way at once then, however busy this machine is

    counted = deploy(staged, tmp_path / "counted.json")
    vps.relay.delay = 0.0

    assert counted["sessions"] == SESSIONS
    assert len(waits(counted)) <= WAITS, "\n".join(waits(counted))


@pytest.mark.long
def test_a_way_of_30_ms_adds_less_than_a_second(staged: Deployment, vps: SshServer, tmp_path: Path) -> None:
    """Each of them prunes an old release too, once three are there; the fastest of five counts."""
    taken: dict[float, list[float]] = {0.0: [], 0.015: []}
    staged.deploy()
    for number in range(-2, 10):
        vps.relay.delay = (0.0, 0.015)[number % 2]
        version = f'VERSION = "{tmp_path.name}-{number}"'
        path = staged.folder / "app.py"
        path.write_text(re.sub(r'VERSION = ".*"', version, path.read_text(encoding="utf-8")), encoding="utf-8")
        seconds = deploy(staged, tmp_path / "counted.json")["seconds"]
        if number >= 0:
            taken[vps.relay.delay].append(seconds)
    vps.relay.delay = 0.0

    assert min(taken[0.015]) - min(taken[0.0]) < 1.0, taken
