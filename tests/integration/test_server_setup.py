"""A server is set up by what it lacks, and once; what somebody else set there stays."""

from __future__ import annotations

import json

import pytest
from tests.integration.sandboxes import TestSandbox

DAEMON = "/etc/docker/daemon.json"
_STATE = f"cat {DAEMON} /etc/group /etc/passwd; dpkg-query -W; ls -lR /etc/apt /srv; pidof dockerd"


def test_a_plan_changes_nothing(sandbox: TestSandbox) -> None:
    before = sandbox.ssh("root@bare", _STATE, check=False)
    said = sandbox.wharfinger("server.setup", "--env", "fresh", "--login", "root", "--plan").stderr
    assert "to do: install python3 docker.io" in said
    assert "to do: put deploy into the group docker" in said
    assert "nothing was changed" in said
    assert sandbox.ssh("root@bare", _STATE, check=False) == before


def test_who_may_not_become_root_is_refused(sandbox: TestSandbox) -> None:
    refused = sandbox.wharfinger("server.setup", "--env", "fresh", status=4).stderr
    assert "--login root" in refused


@pytest.mark.long
def test_a_server_that_has_docker_keeps_its_settings_and_its_containers(sandbox: TestSandbox) -> None:
    """What differs is changed: log rotation, and the edge. Containers live on while the engine restarts."""
    sandbox.ssh("root@vps2", f"mkdir -p /etc/docker; cat >{DAEMON}", stdin='{"max-concurrent-uploads": 3}')
    sandbox.ssh("vps2", "docker run --detach --name lives redis:8")
    alive = "docker inspect --format '{{.State.Pid}} {{.State.StartedAt}}' lives"
    before = sandbox.ssh("vps2", alive)
    try:
        said = sandbox.wharfinger("server.setup", "--env", "second", "--login", "root").stderr
        assert "there already: Docker Engine" in said
        assert "install" not in said.partition("to do:")[2].splitlines()[0]
        held = json.loads(sandbox.ssh("root@vps2", "cat", DAEMON))
        assert held == {
            "max-concurrent-uploads": 3,
            "log-driver": "json-file",
            "log-opts": {"max-size": "10m", "max-file": "5"},
            "live-restore": True,
        }
        assert sandbox.ssh("root@vps2", f"cat {DAEMON}.before-wharfinger") == '{"max-concurrent-uploads": 3}'
        assert sandbox.ssh("vps2", alive) == before
        assert sandbox.ssh("vps2", "docker inspect --format '{{.State.Health.Status}}' wharfinger-edge-nginx-1") == (
            "healthy"
        )
        unknown = "curl --silent --output /dev/null --write-out '%{http_code} %{size_download}' http://127.0.0.1:8080/"
        assert sandbox.ssh("vps2", unknown, check=False) == "000 0"  # closed without an answer: Nginx' 444

        again = sandbox.wharfinger("server.setup", "--env", "second", "--login", "root").stderr
        assert "to do:" not in again
        assert "there already: the edge" in again
    finally:
        sandbox.ssh("vps2", "docker rm --force lives")


@pytest.mark.long
def test_what_a_server_lacks_even_then_is_told(sandbox: TestSandbox) -> None:
    """Its package sources may have nothing newer."""
    old = '#!/bin/sh\n[ "$1" = --version ] || exec /usr/sbin/dockerd "$@"\necho Docker version 24.0.7, build afdd53b\n'
    sandbox.ssh("root@vps2", "cat >/usr/local/bin/dockerd; chmod 0755 /usr/local/bin/dockerd", stdin=old)
    try:
        refused = sandbox.wharfinger("server.setup", "--env", "second", "--login", "root", status=7).stderr
        assert "root@vps2: it was all done, and still there is to install docker.io" in refused
        assert "apt-cache policy docker.io" in refused
    finally:
        sandbox.ssh("root@vps2", "rm /usr/local/bin/dockerd")


def test_a_daemon_json_that_is_broken_stays_as_it_is(sandbox: TestSandbox) -> None:
    before = sandbox.ssh("root@vps1", f"cat {DAEMON}", check=False)
    sandbox.ssh("root@vps1", f"mkdir -p /etc/docker; cat >{DAEMON}", stdin='{"bip": ')
    try:
        refused = sandbox.wharfinger("server.setup", "--env", "first", "--login", "root", status=3).stderr
        assert "no JSON object" in refused
        assert sandbox.ssh("root@vps1", f"cat {DAEMON}") == '{"bip":'
    finally:
        sandbox.ssh("root@vps1", f"cat >{DAEMON}" if before else f"rm {DAEMON}", stdin=before)


@pytest.mark.long
def test_a_bare_server_is_set_up_from_nothing_by_a_user_who_may_sudo(sandbox: TestSandbox) -> None:
    sandbox.wharfinger("server.setup", "--env", "fresh", "--login", "admin")
    assert sandbox.ssh("bare", "id -nG").split() == ["deploy", "docker"]
    assert sandbox.ssh("bare", "docker compose version --short").startswith("2.")
    assert sandbox.ssh("bare", "stat --format '%U %a' /srv/wharfinger") == "deploy 750"
    sandbox.wharfinger("env.generate", "--env", "fresh")
    again = sandbox.wharfinger("server.setup", "--env", "fresh", "--login", "admin").stderr
    assert "to do:" not in again
