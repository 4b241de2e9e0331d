"""Runs that get in each other's way, or whose clock does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.harness import Gate, deploy_on_a_terminal, wait_until
from tests.integration.deployments import Deployment


@pytest.mark.parametrize("count", [4, pytest.param(20, marks=pytest.mark.long)])
def test_of_many_deploys_at_once_one_wins(deployed: Deployment, tmp_path: Path, count: int) -> None:
    """The winner is held in its migration until all others have given up."""
    gate = Gate(tmp_path, '*" run "*migrate*')
    environ = {
        **os.environ,
        **gate.environ,
        "WHARFINGER_ROOT": str(deployed.project / "server"),
        "NO_COLOR": "1",
    }
    argv = (sys.executable, "-m", "wharfinger", "deploy", "--env", "local")
    with deployed.edited("app.py", 'VERSION = "one"', f'VERSION = "one of {count}"'):
        runs = [
            subprocess.Popen(argv, cwd=deployed.project, env=environ, stderr=subprocess.PIPE, text=True)
            for _ in range(count)
        ]
        try:
            wait_until(lambda: sum(run.poll() is not None for run in runs) >= count - 1, "the losers", within=280)
            lock = (deployed.server / "lock").read_text(encoding="utf-8")
            (winner,) = (run for run in runs if run.poll() is None)
            assert json.loads(lock)["pid"] == winner.pid, "no loser has released it"
            assert deployed.request("/").json()["version"] != f"one of {count}"
        finally:
            gate.open()
            told = {run.pid: run.communicate(timeout=280)[1] for run in runs}
    assert winner.returncode == 0, told[winner.pid]
    for run in runs:
        if run is not winner:
            assert run.returncode == 6, told[run.pid]
            assert f"(process {winner.pid}) has been deploying since" in told[run.pid]
    assert deployed.request("/").json()["version"] == f"one of {count}"
    assert not (deployed.server / "lock").exists()


@pytest.mark.long
def test_a_plan_that_has_gone_stale_is_refused(deployed: Deployment) -> None:
    """Somebody deploys between the question and the answer."""
    deployed.deploy()
    with deployed.edited("stack.yaml", "    server: local", "    server: local\n    confirm: true"):
        with (
            deployed.edited("app.py", 'VERSION = "one"', 'VERSION = "stale"'),
            deploy_on_a_terminal(deployed) as answer,
        ):
            deployed.edit("app.py", 'VERSION = "stale"', 'VERSION = "meanwhile"')
            deployed.deploy("--yes")
            before = sorted((deployed.server / "releases").iterdir())
            status, said = answer("y")
        assert status == 1
        assert "was made there meanwhile; nothing was done" in said
        assert "fix: invoke deploy" in said
        assert deployed.request("/").json()["version"] == "meanwhile"
        assert sorted((deployed.server / "releases").iterdir()) == before
        assert not (deployed.server / "lock").exists()


@pytest.mark.long
def test_releases_stay_in_order_when_the_clock_goes_back(deployed: Deployment) -> None:
    """A release of 2099 was made while the clock ran ahead; beside it lies what a file system of its own brings."""
    deployed.deploy()
    releases = deployed.server / "releases"
    (releases / "20990101000000").mkdir()
    (releases / "lost+found").mkdir()
    before = (deployed.server / "current").resolve().name
    try:
        with deployed.edited("app.py", 'VERSION = "one"', 'VERSION = "later"'):
            deployed.deploy()
        assert (deployed.server / "current").resolve().name == "20990101000001"
        deployed.wharfinger("rollback", "--env", "local")
        assert (deployed.server / "current").resolve().name == before
        assert deployed.request("/").json()["version"] == "one"
    finally:
        shutil.rmtree(releases / "20990101000000")
        shutil.rmtree(releases / "lost+found")
