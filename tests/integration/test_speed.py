"""Speed that a user would miss, as ratios within one run where there is something to compare with."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.integration.deployments import PEBBLE, REPOSITORY, Deployment, cold

ROUNDS = 7


def processor_seconds(folder: Path) -> float:
    """Return how long `invoke --list` keeps the processor in a folder: other tests that run at once do not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = (sys.executable, "-m", "invoke", "--list")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_listing_the_tasks_costs_hardly_more_than_invoke_itself(tmp_path: Path) -> None:
    """At most 1.5 times Invoke with a tasks.py of one empty task; the best of each, taken in turn."""
    (tmp_path / "tasks.py").write_text("from invoke import task\n\n\n@task\ndef nothing(c):\n    pass\n")
    pairs = [(processor_seconds(REPOSITORY), processor_seconds(tmp_path)) for _ in range(ROUNDS)]
    ours, bare = (min(column) for column in zip(*pairs, strict=True))
    assert ours <= 1.5 * bare, f"{ours:.3f} s against {bare:.3f} s"


def test_what_a_command_has_compiled_the_next_one_finds(tmp_path: Path) -> None:
    """Invoke by itself would have every command compile all of Wharfinger anew."""
    command = (sys.executable, "-m", "wharfinger", "schema")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    kept = {"PYTHONPYCACHEPREFIX": str(tmp_path)}
    subprocess.run(command, cwd=REPOSITORY, env=environ | kept, capture_output=True, check=True, timeout=60)
    assert list(tmp_path.rglob("wharfinger/stackfile.*.pyc"))


def test_a_deploy_that_changes_nothing_is_over_at_once(make_deployment: Callable[[Path], Deployment]) -> None:
    """At most 1.5 s, in one of a few tries: a slower one may be the machine's doing."""
    pebble = replace(make_deployment(PEBBLE), run=cold)
    pebble.deploy()
    times: list[float] = []
    while not times or min(times) > 1.5:
        assert len(times) < ROUNDS, times
        began = time.monotonic()
        assert "already up to date" in pebble.deploy().stderr
        times.append(time.monotonic() - began)


def test_a_rollback_imports_nothing_that_only_a_deploy_or_a_server_far_away_needs() -> None:
    words = (sys.executable, "-c", "import sys, wharfinger.rolling_back; print(*sys.modules)")
    imported = set(subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout.split())

    assert "wharfinger.planning.rollback" in imported
    of_deploys = ("planning.deploy", "planning.certificates", "steps.data", "supplying", "builds", "databases")
    of_others = (*of_deploys, "hosts.ssh", "host_edge")
    assert not {f"wharfinger.{name}" for name in of_others} & imported
    assert not {"docker", "jinja2", "requests"} & imported
