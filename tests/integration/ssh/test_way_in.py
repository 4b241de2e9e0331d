"""A server that cannot be reached as it should be: each is refused with what mends it, and nothing is sent."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.deployments import Deployment, docker
from tests.integration.ssh.servers import SshServer
from tests.ports import free_ports


@pytest.fixture
def known(vps: SshServer) -> Iterator[Path]:
    """The operator's known_hosts, with the server's true key in it."""
    vps.forget_master()
    yield vps.known_hosts
    vps.trust()


def fingerprint(vps: SshServer) -> str:
    key = "/etc/ssh/ssh_host_ed25519_key.pub"
    return docker("exec", vps.container, "ssh-keygen", "-lf", key).split()[1]


def another_key(folder: Path) -> str:
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "other")), check=True)
    return " ".join((folder / "other.pub").read_text(encoding="utf-8").split()[:2])


def test_an_unknown_key_is_refused_until_it_is_trusted(staged: Deployment, vps: SshServer, known: Path) -> None:
    known.write_text("", encoding="utf-8")

    refused = staged.wharfinger("status", "--env", "staging", status=4).stderr

    assert "key is not known" in refused
    assert fingerprint(vps) in refused
    assert "invoke server.trust --env staging" in refused
    assert known.read_text(encoding="utf-8") == ""
    asked = staged.wharfinger("server.trust", "--env", "staging", status=8).stderr
    assert fingerprint(vps) in asked
    assert known.read_text(encoding="utf-8") == ""

    staged.wharfinger("server.trust", "--env", "staging", "--yes")

    staged.wharfinger("status", "--env", "staging")
    assert "known already" in staged.wharfinger("server.trust", "--env", "staging").stderr


def test_a_changed_key_is_refused_and_taken_only_in_the_place_of_the_old(
    staged: Deployment, vps: SshServer, known: Path, tmp_path: Path
) -> None:
    old = f"[127.0.0.1]:{vps.relay.port} {another_key(tmp_path)}"
    other = "elsewhere.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    known.write_text(f"{other}\n{old}\n", encoding="utf-8")

    refused = staged.wharfinger("status", "--env", "staging", status=4).stderr

    assert "HAS CHANGED" in refused
    assert fingerprint(vps) in refused
    assert "--replace" in refused
    assert "--replace" in staged.wharfinger("server.trust", "--env", "staging", "--yes", status=4).stderr
    assert old in known.read_text(encoding="utf-8")

    told = staged.wharfinger("server.trust", "--env", "staging", "--replace", "--yes").stderr

    assert "somebody else answers" in told
    assert old not in known.read_text(encoding="utf-8")
    assert other in known.read_text(encoding="utf-8")
    staged.wharfinger("status", "--env", "staging")


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("nobody", ("does not let nobody-here in", "ssh-copy-id nobody")),
        ("guest", ("guest may not use the Docker Engine", "usermod --append --groups docker guest")),
        ("nowhere.invalid", ("there is no host nowhere.invalid",)),
        ("deploy@127.0.0.1:1", ("there is no host",)),
    ],
)
def test_who_is_not_let_in_learns_why(staged: Deployment, server: str, said: tuple[str, ...]) -> None:
    with staged.edited("stack.yaml", "server: vps1", f"server: {server}"):
        told = staged.wharfinger("deploy", "--env", "staging", status=4).stderr

    assert [words for words in said if words not in told] == []
    assert "Traceback" not in told


def test_a_port_where_nothing_listens_is_named(staged: Deployment) -> None:
    (port,) = free_ports(1)
    with staged.edited("stack.yaml", "server: vps1", f"server: ssh://deploy@127.0.0.1:{port}"):
        told = staged.wharfinger("status", "--env", "staging", status=4).stderr

    assert f"127.0.0.1 port {port}: Connection refused" in told


def test_a_server_without_python_is_told_what_to_install(staged: Deployment, vps: SshServer) -> None:
    docker("exec", vps.container, "mv", "/usr/bin/python3", "/usr/bin/python3.gone")
    try:
        told = staged.wharfinger("status", "--env", "staging", status=4).stderr
    finally:
        docker("exec", vps.container, "mv", "/usr/bin/python3.gone", "/usr/bin/python3")

    assert "there is no python3; 3.11 or later is needed" in told
    assert "apt-get install python3" in told


def test_an_older_python_is_told(staged: Deployment, vps: SshServer) -> None:
    older = "import sys; sys.stdout.write('wharfinger-serves 3.9.2\\n'); sys.exit(3)"
    script = f'#!/bin/sh\nexec /usr/bin/python3 -c "{older}"\n'
    docker(
        "exec",
        vps.container,
        "sh",
        "-c",
        f"cat > /usr/local/bin/python3 <<'X'\n{script}X\nchmod +x /usr/local/bin/python3",
    )
    try:
        told = staged.wharfinger("status", "--env", "staging", status=4).stderr
    finally:
        docker("exec", vps.container, "rm", "/usr/local/bin/python3")

    assert "Python 3.9.2 is older than 3.11" in told


def test_a_talkative_shell_is_in_nobodys_way(staged: Deployment, vps: SshServer) -> None:
    """As a server whose .bashrc prints something."""
    docker("exec", vps.container, "sh", "-c", "echo 'echo Welcome, $USER' > /home/deploy/.bashrc")
    try:
        staged.wharfinger("status", "--env", "staging")
    finally:
        docker("exec", vps.container, "rm", "/home/deploy/.bashrc")


def test_a_root_that_may_not_be_written_is_told_before_anything_is_changed(staged: Deployment, vps: SshServer) -> None:
    with staged.edited("stack.yaml", f"root: {vps.root}", "root: /srv/nobodys"):
        told = staged.wharfinger("deploy", "--env", "staging", status=1).stderr

    assert "lock was not written: Permission denied" in told
    assert "ls -l who may write" in told
