"""Servers that fail in the middle of a deploy: full disks, taken ports, an Nginx that dies."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.harness import Gate, Traffic, control_that, docker_that, journal, wait_until
from tests.integration.deployments import PEBBLE, Deployment, docker

VERSION = ('VERSION = "one"', 'VERSION = "two"')


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Put a file system of a certain size in a folder's place, with what the folder holds."""
    kept = folder.with_name(f"{folder.name}.kept")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, kept)
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)), capture_output=True, check=False
    )
    if mounted.returncode != 0:
        shutil.rmtree(kept)
        pytest.skip("only root may mount a small file system")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(("umount", str(folder)), check=True)
        shutil.rmtree(kept)


def test_a_disk_that_is_too_small_is_refused_with_numbers(make_deployment: Callable[[Path], Deployment]) -> None:
    made = make_deployment(PEBBLE)
    with small_disk(made.project / "server", "300m"):
        ran = made.deploy(status=4)
        assert not list(made.server.rglob("*")), "the lock is gone, and nothing else was there"
    assert re.search(r"error: local: (299|300) MiB free, a deploy needs 512 MiB", ran.stderr)
    assert "fix: docker system df" in ran.stderr
    assert not docker("ps", "--all", "--quiet", "--filter", f"name={made.name}")


def test_a_disk_that_is_full_in_the_middle_of_an_upload(pebble: Deployment) -> None:
    releases = pebble.server / "releases"
    before = sorted(releases.iterdir())
    with small_disk(releases, "64m"):
        free = os.statvfs(releases)
        room = (free.f_blocks - free.f_bfree) * free.f_frsize + (8 << 10)
        subprocess.run(("mount", "-o", f"remount,size={room}", str(releases)), check=True)
        with pebble.edited("app.py", *VERSION):
            ran = pebble.deploy(status=7)
        assert sorted(releases.iterdir()) == before, "what had been uploaded is gone, and nothing else"
    assert "error: `upload release " in ran.stderr
    assert "was not written: No space left on device" in ran.stderr
    assert "still serves" in ran.stderr
    assert f"fix: df -h {releases}/" in ran.stderr


@pytest.mark.long
def test_a_port_that_is_taken_between_plan_and_start(
    make_deployment: Callable[[Path], Deployment], tmp_path: Path
) -> None:
    made = make_deployment(PEBBLE)
    gate = Gate(tmp_path, f'*"--project-name {made.edge} "*" up "*')
    with ThreadPoolExecutor() as pool:
        deploying = pool.submit(made.deploy, status=7, environ=gate.environ)
        gate.wait()
        with socket.create_server(("127.0.0.1", made.http_port)):
            gate.open()
            ran = deploying.result()
    assert "error: `start the edge` failed: local: the edge does not start" in ran.stderr
    assert str(made.http_port) in ran.stderr
    assert "nothing serves: there was no release before" in ran.stderr
    assert "fix: mend what is said there: a port that another process listens on" in ran.stderr
    assert not docker("ps", "--all", "--quiet", "--filter", f"name={made.name}")
    assert not docker("network", "ls", "--quiet", "--filter", f"name={made.name}")
    assert list((made.server / "releases").iterdir()) == []


def test_a_reload_that_fails_brings_the_old_site_back(pebble: Deployment, tmp_path: Path) -> None:
    once = f'[ -e {tmp_path}/failed ] || {{ touch {tmp_path}/failed; echo "kill(1, 1) failed" >&2; exit 1; }}'
    limit = "  cache: {enabled: false}"
    with pebble.edited("stack.yaml", limit, f"{limit}\n  upload_limit: 3m"):
        ran = pebble.deploy(status=7, environ=docker_that(tmp_path, '*" -s reload"', once))
    assert "error: `test and load the site` failed" in ran.stderr
    assert "kill(1, 1) failed" in ran.stderr
    assert "still serves" in ran.stderr
    assert journal(pebble)[-1]["outcome"] == "reverted"


@pytest.mark.long
@pytest.mark.parametrize("at", [pytest.param("the switch", marks=pytest.mark.long), "switching back"])
def test_an_edge_that_dies_finds_the_old_release_when_it_is_back(taken_back: Deployment, at: str) -> None:
    """A second PUT is the switch back, after a verification that fails."""
    edge = f"{taken_back.edge}-nginx-1"
    switches = itertools.count(1)

    def dies(asked: str) -> None:
        if asked.startswith("PUT /live/") and next(switches) == (1 if at == "the switch" else 2):
            docker("kill", edge)

    with taken_back.edited("app.py", 'MODE = "good"', 'MODE = "wrong"'), control_that(taken_back, dies):
        ran = taken_back.deploy(status=7)
    assert f"error: `{'switch to' if at == 'the switch' else 'verify'} " in ran.stderr
    assert "warning: could not undo `switch to " in ran.stderr
    docker("start", edge)  # as the next deploy, or the machine's next start, does
    wait_until(lambda: answers(taken_back), "the edge is not back", within=20)


def answers(deployment: Deployment) -> bool:
    """Whether the site answers as it should."""
    try:
        return deployment.request("/").status == 200
    except OSError:
        return False


@pytest.mark.long
def test_a_container_with_another_address_serves_within_two_seconds(taken_back: Deployment) -> None:
    (web,) = docker("ps", "--quiet", "--filter", f"name={taken_back.name}-local-[0-9]*-web").split()
    address = ("inspect", "--format", f'{{{{(index .NetworkSettings.Networks "{taken_back.edge}").IPAddress}}}}')
    before = docker(*address, web)
    docker("stop", web)
    squatter = docker("run", "--detach", "--network", taken_back.edge, "redis:8")  # takes what has become free
    try:
        docker("start", web)
        assert docker(*address, web) != before
        healthy = ("inspect", "--format", "{{.State.Health.Status}}", web)
        wait_until(lambda: docker(*healthy) == "healthy", "the container is not healthy")
        time.sleep(2)  # what the site may take at most to find it
        with Traffic(taken_back).flowing() as traffic:
            wait_until(lambda: traffic.asked > 20, "traffic")
        assert traffic.failures == []
    finally:
        docker("rm", "--force", "--volumes", squatter)
