"""A Pebble (Let's Encrypt's own test server) of a test's own, on the network of its edge."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.integration.deployments import Deployment, docker
from tests.ports import free_ports

PEBBLE_IMAGE: Final = "ghcr.io/letsencrypt/pebble:2.6.0"
NAMES_IMAGE: Final = "ghcr.io/letsencrypt/pebble-challtestsrv:2.6.0"
_LIFE: Final = 90 * 86400


def wait_until(holds: Callable[[], bool], *, within: float = 60) -> None:
    """Return once `holds()` is true; fail when it is not within so many seconds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


@dataclass(frozen=True)
class AcmeServer:
    """A running Pebble, and the name server that it asks."""

    name: str
    network: str
    management: int
    folder: Path
    life: int

    directory: str = "https://pebble:14000/dir"

    @property
    def authorities(self) -> Path:
        """A file with the CAs of its own address and of what it issues."""
        return self.folder / "ca.pem"

    def start(self, **variables: str) -> None:
        """Start it anew: it forgets every account and certificate, and issues by another CA."""
        docker("rm", "--force", self.name)
        config = {
            "listenAddress": "0.0.0.0:14000",
            "managementListenAddress": "0.0.0.0:15000",
            "certificate": "/test/certs/localhost/cert.pem",
            "privateKey": "/test/certs/localhost/key.pem",
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "certificateValidityPeriod": self.life,
            "domainBlocklist": ["blocked.localhost"],
            "retryAfter": {"authz": 1, "order": 1},
        }
        file = self.folder / "pebble.json"
        file.write_text(json.dumps({"pebble": config}))
        settings = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"} | variables
        docker(
            *("run", "--detach", "--name", self.name, "--network", self.network, "--network-alias", "pebble"),
            *("--publish", f"127.0.0.1:{self.management}:15000", "--volume", f"{file}:/config.json:ro"),
            *(word for name, value in settings.items() for word in ("--env", f"{name}={value}")),
            *(PEBBLE_IMAGE, "-config", "/config.json", "-dnsserver", f"{self.name}-dns:8053"),
        )
        own = docker("run", "--rm", "--entrypoint", "cat", PEBBLE_IMAGE, "/test/certs/pebble.minica.pem")
        self.authorities.write_text(f"{own}\n{self._root(own)}")

    def _root(self, own: str) -> str:
        context = ssl.create_default_context(cadata=own)
        found: list[str] = []

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"https://localhost:{self.management}/roots/0", context=context) as got:
                    found.append(got.read().decode())
            except OSError:
                return False
            return True

        wait_until(answers)
        return found[0]

    def lead(self, domain: str, address: str) -> None:
        """Let its name server say where a domain is."""
        self._tell("add-a", {"host": domain, "addresses": [address]})

    def forget(self, domain: str) -> None:
        """Let its name server know no address of a domain."""
        self._tell("clear-a", {"host": domain})

    def _tell(self, what: str, facts: dict[str, Any]) -> None:
        body = json.dumps(facts)
        code = (
            "import urllib.request as r,sys; "
            f"r.urlopen('http://{self.name}-dns:8055/{what}', data=sys.argv[1].encode(), timeout=5)"
        )
        argv = ("run", "--rm", "--network", self.network, "--entrypoint", "python3", "python:3.13-slim", "-c", code)
        wait_until(
            lambda: subprocess.run(("docker", *argv, body), capture_output=True, check=False).returncode == 0, within=20
        )


@contextmanager
def acme_server(deployment: Deployment, folder: Path, *, life: int = _LIFE) -> Iterator[AcmeServer]:
    """Run a Pebble on the network of a deployment's edge, which runs already, as long as the block does."""
    (management,) = free_ports(1)
    server = AcmeServer(f"{deployment.name}-pebble", deployment.edge, management, folder, life)
    try:
        docker(
            *("run", "--detach", "--name", f"{server.name}-dns", "--network", server.network, NAMES_IMAGE),
            *("-defaultIPv4", "", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""),
        )
        server.start()
        yield server
    finally:
        docker("rm", "--force", server.name, f"{server.name}-dns")


def edge_address(deployment: Deployment) -> str:
    """Return where the edge is found on its network."""
    shown = '{{(index .NetworkSettings.Networks "' + deployment.edge + '").IPAddress}}'
    return docker("inspect", "--format", shown, f"{deployment.edge}-nginx-1")
