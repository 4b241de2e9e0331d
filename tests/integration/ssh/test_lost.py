"""A connection that is lost in mid-deploy, and an operator who vanishes: nothing stays half done."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration import forked
from tests.integration.deployments import PEBBLE, Deployment, docker
from tests.integration.ssh.conftest import stage
from tests.integration.ssh.servers import SshServer

NUMBERS = itertools.count(1)
EVERY = ("UploadRelease", "Pull", "BackUp", "Migrate", "StartApp", "Switch", "Verify", "Record", "Retire")
FEW = ("started StartApp", "done Switch")


@pytest.fixture(scope="module")
def pebble(vps: SshServer, make_deployment: Callable[[Path], Deployment]) -> Iterator[Deployment]:
    """A deployed pebble on the server."""
    made = make_deployment(PEBBLE)
    made.edit("stack.yaml", "start_period: 3s", "start_period: 60s")
    made.edit("stack.yaml", "healthy_within: 15s", "healthy_within: 60s")
    staged = stage(made, vps)
    staged.deploy()
    yield staged
    staged.remove()


def points() -> list[Any]:
    every = [f"{event} {verb}" for verb in EVERY for event in ("started", "done")]
    return [pytest.param(point, marks=() if point in FEW else pytest.mark.long) for point in every]


def change(deployment: Deployment) -> str:
    """Change the app; return its new version."""
    version = f"v{next(NUMBERS)}"
    path = deployment.folder / "app.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    changed = [f'VERSION = "{version}"' if line.startswith("VERSION = ") else line for line in lines]
    path.write_text("\n".join(changed) + "\n", encoding="utf-8")
    return version


def hit(deployment: Deployment, point: str, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **deployment.environ, "NO_COLOR": "1"}
    return forked.run(("tests.integration.ssh.hitting", point, *words), cwd=deployment.project, env=env, timeout=240)


def serves(deployment: Deployment) -> str:
    version: str = deployment.request("/").json()["version"]
    return version


def tiers(deployment: Deployment) -> set[str]:
    """Return the releases that have containers."""
    shown = docker("ps", "--all", "--filter", f"name={deployment.name}-staging-2", "--format", "{{.Names}}").split()
    return {name.removeprefix(f"{deployment.name}-staging-").partition("-")[0] for name in shown}


def current(deployment: Deployment) -> str:
    return (deployment.server / "current").readlink().name


def remains(deployment: Deployment) -> list[str]:
    """Return what there is beyond the current release."""
    found = [f"tier {release}" for release in tiers(deployment) ^ {current(deployment)}]
    found += ["lock"] if (deployment.server / "lock").exists() else []
    journals = (deployment.server / "journal").glob("*.jsonl")
    found += [path.name for path in journals if '"event": "finished"' not in path.read_text(encoding="utf-8")]
    releases = (deployment.server / "releases").iterdir()
    found += [each.name for each in releases if json.loads((each / "release.json").read_text())["succeeded"] is None]
    return found


@pytest.mark.parametrize("point", points())
def test_a_deploy_whose_connection_is_cut_connects_again_and_puts_it_right(pebble: Deployment, point: str) -> None:
    before, release = serves(pebble), current(pebble)
    after = change(pebble)

    done = hit(pebble, f"cut:{point}", "deploy", "--env", "staging")

    assert done.returncode == 9, done.stderr
    committed = current(pebble) != release
    assert f"was cut off in {point.split()[1]}, and is {'finished' if committed else 'reverted'}" in done.stderr
    assert committed == (point in {"done Record", "started Retire", "done Retire"})
    assert serves(pebble) == (after if committed else before)
    assert remains(pebble) == []
    pebble.deploy()
    assert serves(pebble) == after


@pytest.mark.long
@pytest.mark.parametrize(
    "point", [pytest.param("started StartApp"), pytest.param("started Switch", marks=pytest.mark.long)]
)
def test_an_operator_who_vanished_is_seen_to_be_gone_from_another_machine(pebble: Deployment, point: str) -> None:
    before = serves(pebble)
    after = change(pebble)
    killed = hit(pebble, f"kill:{point}", "deploy", "--env", "staging")
    assert killed.returncode == -9, killed.stderr
    held = json.loads((pebble.server / "lock").read_text(encoding="utf-8"))
    assert held["by_way_of"].startswith("wharfinger-test-ssh")

    recovered = hit(pebble, "away:", "recover", "--env", "staging")

    assert recovered.returncode == 0, recovered.stderr
    assert "and is reverted" in recovered.stderr
    assert (serves(pebble), remains(pebble)) == (before, [])
    pebble.deploy()
    assert serves(pebble) == after


@pytest.mark.long
def test_a_deploy_that_goes_on_elsewhere_keeps_others_out(pebble: Deployment, vps: SshServer) -> None:
    """Its lock names the operator and is held by a process of the server, which runs."""
    lock = pebble.server / "lock"
    change(pebble)
    held: list[str] = []

    def look() -> None:
        deadline = time.monotonic() + 60
        while not lock.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        held.append(hit(pebble, "away:", "recover", "--env", "staging").stderr)

    looking = threading.Thread(target=look)
    looking.start()
    pebble.deploy()
    looking.join()

    assert "has been deploying since" in held[0] or "nothing to recover" in held[0]


@pytest.mark.long
def test_a_network_that_is_cut_for_20_seconds_is_only_a_delay(pebble: Deployment, vps: SshServer) -> None:
    after = change(pebble)
    journals = pebble.server / "journal"
    before = set(journals.iterdir())

    def cut() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any('"started", "verb": "StartApp"' in path.read_text() for path in set(journals.iterdir()) - before):
                break
            time.sleep(0.02)
        vps.relay.open.clear()
        time.sleep(20)
        vps.relay.open.set()

    cutting = threading.Thread(target=cut)
    cutting.start()
    began = time.monotonic()
    try:
        pebble.deploy()
    finally:
        cutting.join()
    assert time.monotonic() - began > 20
    assert (serves(pebble), remains(pebble)) == (after, [])


@pytest.mark.long
def test_an_operator_whose_network_is_gone_for_good_is_told_what_serves(pebble: Deployment, vps: SshServer) -> None:
    before = serves(pebble)
    change(pebble)
    journals = pebble.server / "journal"
    there = set(journals.iterdir())

    def cut() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any('"started", "verb": "StartApp"' in path.read_text() for path in set(journals.iterdir()) - there):
                break
            time.sleep(0.02)
        vps.relay.open.clear()

    cutting = threading.Thread(target=cut)
    cutting.start()
    try:
        done = pebble.deploy(status=9)
    finally:
        cutting.join()
        vps.relay.drop()
        vps.relay.open.set()
    assert "still serves" in done.stderr
    assert "invoke recover" in done.stderr
    pebble.wharfinger("recover", "--env", "staging")
    assert (serves(pebble), remains(pebble)) == (before, [])


@pytest.mark.long
def test_an_upload_that_nobody_waited_for_ends_the_deploy_where_it_fails(pebble: Deployment) -> None:
    before = serves(pebble)
    change(pebble)
    releases = pebble.server / "releases"
    mode = releases.stat().st_mode & 0o777
    releases.chmod(0o555)
    try:
        told = pebble.deploy(status=7).stderr
    finally:
        releases.chmod(mode)

    assert "/compose.yaml was not written: Permission denied" in told
    assert "fix: df -h" in told
    assert "still serves" in told
    assert (serves(pebble), remains(pebble)) == (before, [])
