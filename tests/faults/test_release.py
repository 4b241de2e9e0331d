"""Releases that do not work: whatever they do, the old one serves and nothing of them stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.faults.harness import Traffic, control_that, docker_that, journal, wait_until
from tests.integration.deployments import Deployment, Ran, docker
from tests.ports import free_ports

from wharfinger.registry import Registry

GOOD = 'MODE = "good"'


def deploy_as(deployment: Deployment, mode: str, *, status: int = 7) -> Ran:
    """Deploy an app that behaves in some way."""
    with deployment.edited("app.py", GOOD, f'MODE = "{mode}"'):
        return deployment.deploy(status=status)


def assert_told(ran: Ran, deployment: Deployment, *, step: str, told: str) -> None:
    """Hold what a failed deploy said, and recorded, against what it must say."""
    assert f"error: `{step}" in ran.stderr
    assert told in ran.stderr
    assert f"release {deployment.status()['release']} still serves" in ran.stderr
    assert "\nfix: " in ran.stderr
    assert journal(deployment)[-1]["outcome"] == "reverted"


@pytest.mark.long
def test_a_migration_that_hangs_is_ended_after_its_time(pebble: Deployment) -> None:
    command = "  command: [python, app.py, migrate]"
    with pebble.edited("stack.yaml", command, f"{command}\n  timeout: 6s"):
        ran = deploy_as(pebble, "endless")
    assert_told(ran, pebble, step="migrate", told="the migration did not end within 6 s")
    assert "applying 0001_pebbles" in ran.stderr, "its last words"
    assert "migrate.timeout" in ran.stderr


def test_a_migration_that_is_killed_counts_as_failed(pebble: Deployment, tmp_path: Path) -> None:
    """As the kernel does when memory runs out."""
    found = f"docker ps --quiet --filter name={pebble.name} --filter label=com.docker.compose.oneoff=True"
    kill = f'(until [ "$({found})" ]; do sleep 0.1; done; docker kill $({found})) >/dev/null 2>&1 &'
    with pebble.edited("app.py", GOOD, 'MODE = "endless"'):
        ran = pebble.deploy(status=7, environ=docker_that(tmp_path, '*" run "*migrate*', kill))
    assert_told(ran, pebble, step="migrate", told="the migration exited 137")


def test_one_bad_service_keeps_all_others_from_going_live(pebble: Deployment) -> None:
    """Web is healthy long before the worker is found not to be: the traffic stays, and both old services go on."""
    ran = deploy_as(pebble, "lame")
    assert_told(ran, pebble, step="start web, worker", told="the queue is full of sand")
    assert "worker fails its health check" in ran.stderr


def test_a_release_that_dies_of_its_verification_is_taken_back(taken_back: Deployment) -> None:
    with Traffic(taken_back).flowing() as traffic:
        ran = deploy_as(taken_back, "mortal")
        failed = len(traffic.failures)
        asked = traffic.asked
        wait_until(lambda: traffic.asked > asked + 20, "traffic")
    assert_told(ran, taken_back, step="verify", told="\n  GET /: ")
    assert len(traffic.failures) == failed, "from the switch back on, nobody notices anything"


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("echo 'pg_dump: error: no room on the quarry' >&2; exit 1", "no room on the quarry"),
        ("exit 0", "wrote nothing"),
        ("head -c 4096 /dev/zero; exit 0", "pg_restore does not read it"),
    ],
    ids=["fails", "is empty", "is no archive"],
)
def test_without_a_good_backup_a_deploy_goes_no_further(
    pebble: Deployment, tmp_path: Path, does: str, told: str
) -> None:
    backups = sorted((pebble.server / "backups").iterdir())
    with pebble.edited("app.py", '"one"', '"two"'):
        ran = pebble.deploy(status=7, environ=docker_that(tmp_path, '*" pg_dump "*', does))
    assert_told(ran, pebble, step="back up postgres", told=told)
    assert not any(event.get("verb") == "Migrate" for event in journal(pebble) if event["event"] == "started")
    assert sorted((pebble.server / "backups").iterdir()) == backups, "nothing that would count as one"


@pytest.mark.long
def test_a_registry_that_goes_down_between_push_and_pull(pebble: Deployment) -> None:
    """The image is gone from the engine too, as on a server that never had it."""
    (port,) = free_ports(1)
    registry = f"{pebble.name}-registry"
    docker("run", "--detach", "--name", registry, "--publish", f"127.0.0.1:{port}:5000", "registry:2")
    try:
        wait_until(Registry(f"127.0.0.1:{port}").is_up, "the registry does not answer")
        line = next(line for line in (pebble.folder / "stack.yaml").read_text().splitlines() if "registry:" in line)
        images = f"docker image ls --quiet --filter reference=127.0.0.1:{port}/*/*"
        gone = f"docker rm --force --volumes {registry} >/dev/null; docker image rm --force $({images}) >/dev/null"

        def goes(asked: str) -> None:
            if asked == f"GET /live/{pebble.name}-local":
                subprocess.run(("sh", "-c", gone), check=False)

        with (
            pebble.edited("stack.yaml", line, f"registry: 127.0.0.1:{port}"),
            pebble.edited("app.py", '"one"', '"two"'),
            control_that(pebble, goes),
        ):
            ran = pebble.deploy(status=7)
    finally:
        docker("rm", "--force", "--volumes", registry)
    assert_told(ran, pebble, step="pull 1 image", told=f"127.0.0.1:{port}")
    assert "is its registry up?" in ran.stderr


@pytest.mark.long
def test_failed_deploys_never_evict_the_last_good_release(deployed: Deployment) -> None:
    """`deploy.keep` is 2, and six deploys fail, each in a release of its own."""
    with deployed.edited("app.py", '"one"', '"before"'):
        deployed.deploy()
    deployed.deploy()
    releases = sorted(path.name for path in (deployed.server / "releases").iterdir())
    for number in range(6):
        with deployed.edited("app.py", '"one"', f'"failed {number}"'):
            deploy_as(deployed, "crash" if number == 0 else "unmigratable")
    assert sorted(path.name for path in (deployed.server / "releases").iterdir()) == releases
    deployed.wharfinger("rollback", "--env", "local")
    assert deployed.request("/").json()["version"] == "before"
    deployed.wharfinger("rollback", "--env", "local", "--to", releases[-1])
    assert deployed.request("/").json()["version"] == "one"
