"""An edge as it ships (`compose/edge.yaml`, `nginx/`), with a rendered site and real services behind it."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from tests.ports import free_ports

from wharfinger import assets
from wharfinger.commands import edge as commands
from wharfinger.edge_control import Control
from wharfinger.hosts.local import LocalHost
from wharfinger.model.release import Live
from wharfinger.model.site import Site
from wharfinger.model.tls import Tls
from wharfinger.rendering.live import live_default
from wharfinger.rendering.site import render_site
from wharfinger.rendering.templates import Templates

NAME: Final = "atlas-test"
SECURE: Final = "secure-test"
BLUE: Final = Live("blue", "20261120143000")
GREEN: Final = Live("green", "20261120150000")
UPSTREAM: Final = Path(__file__).parent / "upstream.py"
SITE: Final = Site.model_validate(
    {
        "routes": [
            {"path": "/", "service": "api"},
            {"path": "/streamed/", "service": "api", "streaming": True},
        ],
        "cache": {"session_cookies": ["session"]},
        "headers": {"X-Frame-Options": "DENY"},
    }
)
SIGNED_IN: Final = {"Cookie": "session=1"}
IN_CONTAINER: Final = "/etc/nginx/wharfinger"


def run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command for at most a minute; a failure shows what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def cache(self) -> str:
        return self.headers.get("x-cache", "")


@dataclass
class Edge:
    """A running edge, its folder, and the services behind it."""

    folder: Path
    project: str
    port: int
    https_port: int
    services: list[str] = field(default_factory=list)

    @property
    def container(self) -> str:
        return f"{self.project}-nginx-1"

    def compose(self, *words: str) -> None:
        run("docker", "compose", "-p", self.project, "-f", str(self.folder / "compose.yaml"), *words)

    def up(self) -> None:
        self.compose("up", "--detach", "--wait", "--wait-timeout", "30")

    def exec(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run("docker", "exec", self.container, *argv, check=check)

    @property
    def socket(self) -> PurePosixPath:
        return PurePosixPath(self.folder / "run" / "nginx" / "control.sock")

    def ask(self, method: str, path: str, body: bytes = b"", *, timeout: float = 30) -> tuple[int, str]:
        """Ask over the control socket, from outside the container as a deploy does."""
        return LocalHost().ask(self.socket, method, path, body, timeout=timeout)

    def control(self, path: str) -> str:
        """Return what a GET is answered with 200, and nothing for any other answer."""
        status, text = self.ask("GET", path)
        return text if status == 200 else ""

    @property
    def as_deployed(self) -> Control:
        """What a deploy asks and tells this edge by."""
        return Control(LocalHost(), self.socket, NAME, self.container)

    def reload(self) -> None:
        """Take up the configuration as a deploy does: no old worker takes a request once this returns."""
        run(*commands.reload(self.container))

    def switch(self, live: Live) -> None:
        self.as_deployed.switch(live)

    def serve(self, slot: str, *, says: str | None = None, service: str = "api", release: str = "") -> str:
        """Start a service in a slot and return its container's name once it listens."""
        release = release or (BLUE if slot == "blue" else GREEN).release
        name = f"{self.project}-{secrets.token_hex(3)}"
        self.services.append(name)
        aliases = [
            word for tier in (slot, f"{slot}-{release}") for word in ("--network-alias", f"{NAME}-{tier}-{service}")
        ]
        network = ("--network", self.project, *aliases)
        mount = ("-v", f"{UPSTREAM}:/upstream.py:ro", "--entrypoint", "python")
        run(
            "docker",
            "run",
            "-d",
            "--name",
            name,
            *network,
            *mount,
            "python:3.13-slim",
            "/upstream.py",
            says or slot,
        )
        listens = "import socket,sys; sys.exit(socket.socket().connect_ex(('127.0.0.1', 3000)))"
        wait_until(lambda: run("docker", "exec", name, "python", "-c", listens, check=False).returncode == 0)
        return name

    def retire(self, *names: str) -> None:
        run("docker", "rm", "-f", *names)
        self.services = [name for name in self.services if name not in names]

    def get(
        self,
        path: str,
        *,
        method: str = "GET",
        host: str = "atlas.test",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers={"Host": host, **(headers or {})})
            got = connection.getresponse()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read().decode())
        finally:
            connection.close()

    def log(self) -> list[dict[str, object]]:
        lines = run("docker", "logs", self.container).stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def wait_until(holds: Callable[[], bool], *, within: float = 10) -> float:
    """Return the seconds until `holds()` is true; fail when it is not within `within` of them."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within, "it never came true"
        time.sleep(0.02)
    return time.monotonic() - began


def write_site(folder: Path, name: str, domain: str, live: Live | None, tls: Tls | None = None) -> None:
    text = render_site(
        SITE,
        environment_name=name,
        ports={"api": 3000},
        domains=(domain,),
        tls=tls,
        version=(1, 30, 0),
        templates=Templates.of(),
    )
    (folder / "sites" / f"{name}.conf").write_text(text)
    (folder / "sites" / f"{name}.live").write_text(live_default(live))


@contextmanager
def edge_in(folder: Path) -> Iterator[Edge]:
    project = f"wharfinger-test-{secrets.token_hex(3)}"
    port, https_port = free_ports(2)
    shutil.copytree(assets.folder("nginx"), folder)
    shutil.copy(assets.folder("compose") / "edge.yaml", folder / "compose.yaml")
    for name in ("sites", "certs", "acme/.well-known/acme-challenge", "run/nginx"):
        (folder / name).mkdir(parents=True)
    ports = f"EDGE_HTTP_PORT={port}\nEDGE_HTTPS_PORT={https_port}\n"
    (folder / ".env").write_text(f"EDGE_BIND=127.0.0.1\n{ports}EDGE_NETWORK={project}\n")
    write_site(folder, NAME, "atlas.test", BLUE)
    edge = Edge(folder, project, port, https_port)
    try:
        edge.up()
        yield edge
    finally:
        if edge.services:
            edge.retire(*edge.services)
        edge.compose("down", "--volumes", "--timeout", "2")


def fresh(name: str = "/page") -> str:
    """Return an address that nobody has asked for yet."""
    return f"{name}?{secrets.token_hex(4)}"
