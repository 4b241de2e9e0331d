"""What tests of kill points share: runs that are hit, visitors meanwhile, and what must not be left of it."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.integration import forked
from tests.integration.deployments import REPOSITORY, Deployment, docker

PAUSE = 0.02
NUMBERS = itertools.count(1)
_WITHIN = 120


def points(verbs: tuple[str, ...], few: tuple[str, ...], *, middle: tuple[str, ...] = ()) -> list[Any]:
    """Return every point of some steps, and those in the middle; the few that stand for all are not marked as long."""
    every = [*(f"{event} {verb}" for verb in verbs for event in ("started", "done")), *(f"started {m}" for m in middle)]
    return [pytest.param(point, marks=() if point in few else pytest.mark.long) for point in every]


def patient(deployment: Deployment) -> Deployment:
    """Give its app time to begin: many run at once here, and it is not the app that is put to the test."""
    deployment.edit("stack.yaml", "start_period: 3s", "start_period: 60s")
    deployment.edit("stack.yaml", "healthy_within: 15s", "healthy_within: 60s")
    return deployment


def change(deployment: Deployment) -> str:
    """Change app and site; return the new version."""
    version = f"v{next(NUMBERS)}"
    for file, pattern, text in (
        ("app.py", r'VERSION = "[^"]*"', f'VERSION = "{version}"'),
        ("stack.yaml", r"upload_limit: \d+m", f"upload_limit: {int(version[1:]) + 1}m"),
    ):
        path = deployment.folder / file
        path.write_text(re.sub(pattern, text, path.read_text(encoding="utf-8")), encoding="utf-8")
    return version


def current(deployment: Deployment) -> str:
    return (deployment.server / "current").resolve().name


def serves(deployment: Deployment) -> str:
    version: str = deployment.request("/").json()["version"]
    return version


def recovered(deployment: Deployment, how: str, *, containers: Collection[str] = ("web-1",)) -> None:
    """Assert that recovery ends as it says, that nothing is left, and that there is nothing more to do."""
    ran = deployment.wharfinger("recover", "--env", "local")
    assert "was cut off" in ran.stderr
    assert f"and is {how}" in ran.stderr
    left = remains(deployment, release=current(deployment), containers=containers)
    assert left == [], left
    assert processes(deployment) == []
    assert "nothing to recover" in deployment.wharfinger("recover", "--env", "local").stderr


def hit(deployment: Deployment, points: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that signals hit; return how it ended."""
    environ = {"WHARFINGER_ROOT": str(deployment.project / "server"), "NO_COLOR": "1"}
    argv = ("tests.faults.dying", points, *words)
    return forked.run(argv, cwd=deployment.project, env={**os.environ, **environ}, timeout=_WITHIN)


def in_a_terminal_closed_at(deployment: Deployment, verb: str, *words: str) -> None:
    """Run a command in a terminal whose window is closed once a step has begun, and wait for its end."""
    ours, theirs = pty.openpty()
    environ = {"WHARFINGER_ROOT": str(deployment.project / "server"), "TERM": "xterm"}
    journals = deployment.server / "journal"
    old = {path.name for path in journals.iterdir()}
    process = subprocess.Popen(
        (sys.executable, "-m", "tests.faults.in_terminal", *words),
        cwd=deployment.project,
        env={**os.environ, **environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    deadline = time.monotonic() + _WITHIN
    begun = f'"event": "started", "verb": "{verb}"'
    while not any(begun in path.read_text() for path in journals.iterdir() if path.name not in old):
        assert time.monotonic() < deadline, f"{verb} was not begun"
        if select.select([ours], [], [], PAUSE)[0]:
            os.read(ours, 1 << 16)
    os.close(ours)
    process.wait(_WITHIN)


@dataclass
class Visitors:
    """Constant light traffic, each request on a connection of its own."""

    deployment: Deployment
    failures: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)

    def visit(self, stop: threading.Event) -> None:
        """Ask until told to stop."""
        while not stop.wait(PAUSE):
            began = time.monotonic()
            try:
                answer = self.deployment.request("/")
            except OSError as error:
                self.failures.append(repr(error))
                continue
            if answer.status != 200:
                self.failures.append(f"{answer.status} after {time.monotonic() - began:.2f} s")
            else:
                self.versions.append(answer.json()["version"])


@contextmanager
def visitors(deployment: Deployment) -> Iterator[Visitors]:
    """Send visitors as long as the block runs."""
    found, stop = Visitors(deployment), threading.Event()
    thread = threading.Thread(target=found.visit, args=(stop,))
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
        if found.failures:
            lines = docker("logs", "--tail", "5000", f"{deployment.edge}-nginx-1").splitlines()
            found.failures += [line for line in lines if '"status":50' in line]


def journal(deployment: Deployment, *, last: int = 0) -> list[dict[str, Any]]:
    """Return the lines of a run's journal; `last` counts back from the latest."""
    path = sorted((deployment.server / "journal").iterdir())[-1 - last]
    return [json.loads(line) for line in path.read_text().splitlines()]


def unfinished(deployment: Deployment) -> list[str]:
    """Return the journals without an end."""
    paths = sorted((deployment.server / "journal").glob("*.jsonl"))
    return [path.name for path in paths if '"event": "finished"' not in path.read_text()]


def remains(deployment: Deployment, *, release: str | None, containers: Collection[str] = ("web-1",)) -> list[str]:
    """Return what there is beyond one deployment that serves `release` (None: beyond nothing at all).

    `containers` are those of the release, without what their names begin with.
    """
    name = f"{deployment.name}-local"
    expected = (f"{deployment.edge}-nginx-1", f"{name}-postgres", *(f"{name}-{release}-{each}" for each in containers))
    tiers = set(expected) if release else set()
    there = docker("ps", "--all", "--filter", f"name={deployment.name}", "--format", "{{.Names}}").split()
    networks = docker("network", "ls", "--filter", f"name={deployment.name}", "--format", "{{.Name}}").split()
    found = [each for each in there if each not in tiers]
    found += [f"missing: {each}" for each in tiers if each not in there]
    found += [each for each in networks if not release or (each.startswith(f"{name}-2") and release not in each)]
    found += [f"unfinished: {each}" for each in unfinished(deployment)]
    files = (path for path in deployment.server.rglob("*") if path.is_file())
    found += [str(each) for each in files if each.name.startswith(".") and each.name != ".env"]
    found += [str(each) for each in deployment.server.glob("lock*")]
    found += [str(each) for each in deployment.server.glob("backups/*.dump") if not each.with_suffix(".json").exists()]
    sites = list((deployment.edge_folder / "sites").glob(f"*{name}*"))
    if not release:
        found += [str(each) for each in (*sites, deployment.server / "current") if each.is_symlink() or each.exists()]
        found += [str(each) for each in (deployment.server / "releases").glob("*")]
    else:
        found += [
            f"not recorded: {each.name}" for each in (deployment.server / "releases").iterdir() if not _good(each)
        ]
        if [each.name for each in sites if each.suffix == ".conf"] and _site(deployment) != _own_site(deployment):
            found.append("the site is not that of the current release")
    return found


def _good(folder: Any) -> bool:
    return json.loads((folder / "release.json").read_text())["succeeded"] is not None


def _site(deployment: Deployment) -> bytes:
    return (deployment.edge_folder / "sites" / f"{deployment.name}-local.conf").read_bytes()


def _own_site(deployment: Deployment) -> bytes:
    return (deployment.server / "current" / "site.conf").read_bytes()


def wait_for_edge(deployment: Deployment) -> None:
    """Return once Nginx is healthy, as Docker sees it."""
    container, deadline = f"{deployment.edge}-nginx-1", time.monotonic() + _WITHIN
    while docker("inspect", "--format", "{{.State.Health.Status}}", container) != "healthy":
        assert time.monotonic() < deadline, "the edge is not healthy"
        time.sleep(PAUSE)


def processes(deployment: Deployment) -> list[str]:
    """Return the commands to this deployment's containers that still run."""
    listed = subprocess.run(("ps", "-eo", "args"), capture_output=True, text=True, timeout=10, check=True).stdout
    return [line for line in listed.splitlines() if f"{deployment.name}-local" in line and line.startswith("docker")]
