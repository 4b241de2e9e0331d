"""Hooks through the real command line: where they run, and what happens where one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.deployments import PEBBLE, Deployment, docker

HOOKS = """\
hooks:
  before_deploy:
    - {command: [./note, before]}
    - {service: web, command: [python, -c, "import os; print('GREETING=' + os.environ['GREETING'])"]}
  after_deploy:
    - {command: [./note, after]}
  on_failure:
    - {command: [./note, failed]}
"""
NOTE = """\
#!/bin/sh
echo "$1 $WHARFINGER_STACK $WHARFINGER_ENVIRONMENT $WHARFINGER_RELEASE $WHARFINGER_URL $CANARY" >> notes
echo "noted $1"
"""


@pytest.fixture(scope="module")
def deployed(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A deployed pebble with hooks."""
    made = make_deployment(PEBBLE)
    made.edit("stack.yaml", "healthy_within: 15s", "healthy_within: 1m")
    made.edit("stack.yaml", "deploy:\n", f"{HOOKS}deploy:\n")
    note = made.folder / "note"
    note.write_text(NOTE, encoding="utf-8")
    note.chmod(0o755)
    ran = made.deploy(environ={"CANARY": "canary"})
    assert "GREETING=hello" in ran.stderr, "the last line of a hook is shown"
    return made


def notes(deployment: Deployment) -> list[str]:
    """Return what was noted since the last look."""
    path = deployment.folder / "notes"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


@pytest.fixture
def pebble(deployed: Deployment) -> Iterator[Deployment]:
    """The deployed pebble, without a container too many once the test is over."""
    notes(deployed)
    yield deployed
    running = docker("ps", "--all", "--quiet", "--filter", f"label=org.wharfinger.stack={deployed.name}").split()
    assert len(running) == 2, "its container and the database's, and no other"


def test_hooks_know_what_is_deployed_and_nothing_else(deployed: Deployment) -> None:
    release, url = deployed.status()["release"], f"http://{deployed.domain}:{deployed.http_port}"
    about = f"{deployed.name} local {release} {url} "
    assert notes(deployed) == [f"before {about}", f"after {about}"]


def test_where_nothing_changes_no_hook_runs(pebble: Deployment) -> None:
    pebble.deploy()
    assert notes(pebble) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("command: [./note, before]", "command: [sh, -c, 'echo no quorum >&2; exit 3']", "no quorum"),
        ("command: [./note, before]", "command: [sleep, '60'], timeout: 1s", "did not end within 1 s"),
        ("command: [./note, before]", "command: [./nothing]", "exited 127"),
        ('command: [python, -c, "', 'timeout: 2s, command: [python, -c, "import time; time.sleep(60); ', "within 2 s"),
    ],
)
def test_one_that_fails_before_ends_the_deploy(pebble: Deployment, old: str, new: str, told: str) -> None:
    release = pebble.status()["release"]
    with pebble.edited("stack.yaml", old, new), pebble.edited("app.py", '"one"', '"two"'):
        ran = pebble.deploy(status=7)
    assert "`before_deploy" in ran.stderr
    assert told in ran.stderr
    assert f"release {release} still serves" in ran.stderr
    assert pebble.status()["release"] == release
    assert pebble.request("/").json()["version"] == "one"
    assert notes(pebble)[-1].startswith("failed ")


@pytest.mark.long
def test_one_that_fails_afterwards_is_a_warning(pebble: Deployment) -> None:
    broken = "command: [sh, -c, 'echo no channel; exit 4']"
    with (
        pebble.edited("stack.yaml", "command: [./note, after]", broken),
        pebble.edited("app.py", '"one"', '"two"'),
    ):
        ran = pebble.deploy()
    assert "warning: after_deploy" in ran.stderr
    assert "no channel" in ran.stderr
    assert pebble.request("/").json()["version"] == "two"
    pebble.wharfinger("rollback", "--env", "local")
    assert [line.split()[0] for line in notes(pebble)] == ["before"], "a rollback runs none"


@pytest.mark.long
def test_one_that_fails_on_failure_hides_nothing(pebble: Deployment) -> None:
    broken = "command: [sh, -c, 'echo no pager; exit 5']"
    with (
        pebble.edited("stack.yaml", "command: [./note, failed]", broken),
        pebble.edited("app.py", 'MODE = "good"', 'MODE = "crash"'),
    ):
        ran = pebble.deploy(status=7)
    assert "warning: on_failure" in ran.stderr
    assert "no pager" in ran.stderr
    assert "cannot open the quarry" in ran.stderr.partition("error:")[2]
