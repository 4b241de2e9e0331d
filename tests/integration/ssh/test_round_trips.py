"""A deploy that changes one service goes to and fro few times: each is a wait as long as the way to the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.integration.deployments import REPOSITORY, Deployment
from tests.integration.ssh.servers import SshServer

ASKED = 40
"""Operations of the host that were waited for."""
ENGINE = 40
"""Requests to the engine."""


def deploy(deployment: Deployment, file: Path) -> dict[str, Any]:
    """Deploy, and return what went over SSH."""
    path = os.pathsep.join((str(REPOSITORY), os.environ.get("PYTHONPATH", "")))
    began = time.monotonic()
    done = subprocess.run(
        (sys.executable, "-m", "tests.integration.ssh.counting", str(file), "deploy", "--env", "staging"),
        cwd=deployment.project,
        env={**os.environ, **deployment.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counted: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return counted | {"seconds": time.monotonic() - began, "said": done.stderr}


def test_a_deploy_of_one_changed_service_goes_to_and_fro_few_times(
    staged: Deployment, vps: SshServer, tmp_path: Path
) -> None:
    staged.deploy()
    staged.edit("app.py", 'VERSION = "one"', 'VERSION = "two"')

    counted = deploy(staged, tmp_path / "counted.json")

    assert counted["sessions"] == 1
    assert len(counted["asked"]) <= ASKED, counted["asked"]
    assert len(counted["docker"]) <= ENGINE, counted["docker"]
