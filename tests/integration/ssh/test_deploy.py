"""A stack on a server that only SSH leads to: every task does there what it does on this machine."""

from __future__ import annotations

import json

import pytest
from tests.integration.deployments import Deployment, docker
from tests.integration.ssh.servers import SshServer


@pytest.fixture(scope="module")
def deployed(staged: Deployment) -> Deployment:
    """A deployed pebble on the server."""
    staged.deploy()
    return staged


def test_a_stack_is_deployed_and_rolled_back(deployed: Deployment, vps: SshServer) -> None:
    assert deployed.request("/").json() == {"version": "one", "greeting": "hello"}
    first = deployed.status()["release"]
    assert "already up to date" in deployed.deploy().stderr

    deployed.edit("app.py", 'VERSION = "one"', 'VERSION = "two"')
    deployed.deploy()
    assert deployed.request("/").json()["version"] == "two"
    listed = json.loads(deployed.wharfinger("releases", "--env", "staging", "--json").stdout)
    assert [release["current"] for release in listed] == [True, False]
    assert (deployed.server / "releases" / first / ".env").stat().st_uid == 1000  # the user that logs in

    deployed.wharfinger("rollback", "--env", "staging")
    assert (deployed.request("/").json()["version"], deployed.status()["release"]) == ("one", first)
    assert not (deployed.server / "lock").exists()
    assert deployed.wharfinger("recover", "--env", "staging").stderr.endswith("nothing to recover\n")


def test_commands_run_inside_and_logs_are_read(deployed: Deployment) -> None:
    inside = ("exec", "--env", "staging", "--service", "web", "--")

    ran = deployed.wharfinger(
        *inside, "python", "-c", "import os; print('it is', os.getcwd()); raise SystemExit(7)", status=7
    )

    assert ran.stdout == "it is /app\n"
    logs = deployed.wharfinger("logs", "--env", "staging", "--service", "postgres").stdout
    assert "database system is ready to accept connections" in logs
    assert "\x1b" not in logs


def test_what_operates_it_does_so_there(deployed: Deployment) -> None:
    deployed.wharfinger("scale", "web=2", "--env", "staging")
    names = docker("ps", "--filter", f"name={deployed.name}-staging-2", "--format", "{{.Names}}").split()
    assert len(names) == 2
    deployed.wharfinger("restart", "--env", "staging")
    deployed.wharfinger("health", "--env", "staging")
    deployed.wharfinger("maintenance", "on", "--env", "staging")
    assert deployed.request("/").status == 503
    deployed.wharfinger("maintenance", "off", "--env", "staging")
    assert deployed.request("/").status == 200
    found = json.loads(deployed.wharfinger("doctor", "--env", "staging", "--json", status=None).stdout)
    assert {each["name"] for each in found if each["fine"]} >= {"Docker Engine", "Compose", "clock"}


def test_a_plan_changes_nothing_there(deployed: Deployment) -> None:
    before = deployed.status()["release"]
    deployed.edit("stack.yaml", "cache: {enabled: false}", "cache: {enabled: true}")

    said = deployed.deploy("--plan").stderr

    assert "on vps1" in said
    assert deployed.status()["release"] == before


def test_a_server_cannot_be_named_so_that_ssh_takes_it_for_an_option(deployed: Deployment) -> None:
    with deployed.edited("stack.yaml", "server: vps1", "server: -oProxyCommand=true"):
        refused = deployed.wharfinger("status", "--env", "staging", status=3).stderr

    assert "environments.staging.server" in refused
