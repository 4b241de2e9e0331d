"""A developer's own stack: seeded once, and rebuilt as its source changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.deployments import PEBBLE, Deployment

WITHIN = 120.0


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


@contextmanager
def watched(deployment: Deployment) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run `up --watch` until the block ends; yield it, once Compose watches, and the file of what it says."""
    environ = {**os.environ, "WHARFINGER_ROOT": str(deployment.project / "server"), "NO_COLOR": "1"}
    argv = (sys.executable, "-m", "wharfinger", "up", "--env", "local", "--watch")
    said = deployment.project / "watch.log"
    with (
        said.open("wb") as output,
        subprocess.Popen(
            (sys.executable, "-c", INTERRUPTIBLE, *argv),
            cwd=deployment.project,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,  # so that Ctrl-C reaches Compose too, as it does at a terminal
        ) as process,
    ):
        try:
            until(lambda: "watch enabled" in said.read_text().lower(), process, said)
            yield process, said
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


INTERRUPTIBLE = "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
"""A background job of a shell ignores Ctrl-C, and so would all that it starts."""


def until(holds: Callable[[], bool], process: subprocess.Popen[bytes], said: Path) -> None:
    """Return once something holds, of which nobody tells; fail where the process ends before."""
    deadline = time.monotonic() + WITHIN
    while not holds():
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.1)


def version(deployment: Deployment) -> str:
    """Return the version that answers; nothing while a service is being replaced."""
    try:
        answer = deployment.request("/")
    except OSError:
        return ""
    return str(answer.json()["version"]) if answer.status == 200 else ""


@pytest.mark.long
def test_what_changes_is_served_while_it_is_watched_and_deployed_in_the_end(pebble: Deployment) -> None:
    before = pebble.status()["release"]
    with watched(pebble) as (process, said):
        for number in ("first", "second"):
            text = (pebble.folder / "app.py").read_text(encoding="utf-8")
            now = text.partition('VERSION = "')[2].partition('"')[0]
            pebble.edit("app.py", f'VERSION = "{now}"', f'VERSION = "{number} change"')
            until(lambda number=number: version(pebble) == f"{number} change", process, said)  # type: ignore[misc]
        assert pebble.status()["release"] == before, "watching makes no release"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(WITHIN) == 0, said.read_text()
    assert pebble.status()["release"] != before, "what is there by then is one"
    assert version(pebble) == "second change"
    assert "Traceback" not in said.read_text()
    assert "already up to date" in pebble.deploy().stderr
