"""A server with systemd from nothing to a site behind its own Nginx, which a reboot brings back."""

from __future__ import annotations

import dataclasses
import http.client
import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from benchmarks.contenders import APP
from tests.integration.deployments import Deployment, docker
from tests.integration.ssh.servers import CAPABILITIES, UNCONFINED, await_banner

IMAGE: Final = "wharfinger-test-systemd"
_HERE: Final = Path(__file__).parent / "systemd"
_UP_WITHIN: Final = 60.0
_ENVIRONMENT: Final = """\
  staging:
    server: vps
    domain: app.example.com
    address: {address}
    edge: {{kind: host, command: [sudo, -n, nginx]}}
    ports: {{web: [3001, 3101]}}
"""


@dataclass(frozen=True)
class SystemdServer:
    """A container whose first process is systemd, and an ssh_config that leads to it as `vps`."""

    container: str
    config: Path
    address: str

    def ssh(self, user: str, command: str) -> str:
        """Run a command there, and return what it printed; fail unless it exits 0."""
        argv = ("ssh", "-F", str(self.config), "-o", "BatchMode=yes", f"{user}@vps", command)
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    def reboot(self) -> None:
        """Stop systemd as a shutdown does, and start it again."""
        docker("restart", "--time", "60", self.container)
        await_banner(self.address, 22)

    def get(self, domain: str) -> int:
        """Return the status that a site answers with."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", "/", headers={"Host": domain})
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdServer]:
    """A server that is as its provider handed it out."""
    argv = ("docker", "build", "--quiet", "--tag", IMAGE, str(_HERE))
    subprocess.run(argv, check=True, capture_output=True, timeout=600)
    folder = tmp_path_factory.mktemp("systemd")
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")), check=True)
    name = f"{IMAGE}-{secrets.token_hex(4)}"
    docker("network", "create", name)  # of its own, so that it keeps its address
    try:
        docker(
            *(
                "run",
                "--detach",
                "--name",
                name,
                "--network",
                name,
                *CAPABILITIES,
                *UNCONFINED,
                "--cgroupns",
                "private",
            ),
            *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec", "--volume", "/var/lib/docker"),
            *("--volume", f"{folder / 'key.pub'}:/etc/ssh/authorized_keys:ro", IMAGE),
        )
        address = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
        await_banner(address, 22)
        key = " ".join(docker("exec", name, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
        (folder / "known_hosts").write_text(f"{address} {key}\n", encoding="utf-8")
        made = SystemdServer(name, folder / "config", address)
        made.config.write_text(
            f"Host vps\n  HostName {address}\n  User deploy\n  IdentityFile {folder / 'key'}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder / 'known_hosts'}\n",
            encoding="utf-8",
        )
        yield made
    finally:
        subprocess.run(("docker", "rm", "--force", "--volumes", name), capture_output=True, check=False, timeout=60)
        docker("network", "rm", name)


@pytest.fixture(scope="module")
def app(server: SystemdServer, make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """An app without data, whose environment `staging` is behind the server's own Nginx."""
    made = make_deployment(APP)
    made.edit("stack.yaml", "    scale: 2\n", "")
    path = made.folder / "stack.yaml"
    environment = _ENVIRONMENT.format(address=server.address)
    path.write_text(f"{path.read_text(encoding='utf-8').rstrip()}\n{environment}", encoding="utf-8")
    environ = {"WHARFINGER_SSH_CONFIG": str(server.config), "WHARFINGER_ROOT": "", "SSH_AUTH_SOCK": ""}
    staged = dataclasses.replace(made, environment="staging", environ=environ)
    staged.wharfinger("env.generate", "--env", "staging")
    return staged


@pytest.mark.long
def test_it_is_set_up_deployed_to_and_comes_back_after_a_reboot(server: SystemdServer, app: Deployment) -> None:
    setup = ("server.setup", "--env", "staging", "--login", "admin")
    planned = app.wharfinger(*setup, "--plan").stderr
    assert "to do: install curl nginx" in planned
    assert server.ssh("admin", "command -v nginx docker python3 || echo none") == "none"

    said = app.wharfinger(*setup).stderr
    assert said.count("to do:") == planned.count("to do:") == 10
    assert server.ssh("admin", "systemctl is-enabled docker nginx").split() == ["enabled", "enabled"]
    again = app.wharfinger(*setup).stderr
    assert "to do:" not in again
    for more in ("nginx -c /tmp/mine.conf", "nginx -s stop", "true"):
        assert server.ssh("deploy", f"sudo -n {more} 2>/dev/null || echo refused") == "refused"

    app.deploy()
    assert server.get("app.example.com") == 200

    server.reboot()
    deadline = time.monotonic() + _UP_WITHIN
    while app.wharfinger("health", "--env", "staging", status=None).status != 0:
        assert time.monotonic() < deadline, app.wharfinger("health", "--env", "staging", status=None).stdout
    assert server.get("app.example.com") == 200
    assert server.ssh("admin", "systemctl is-system-running") == "running"
    assert json.loads(app.wharfinger("status", "--env", "staging", "--json").stdout)["unfinished"] == []
