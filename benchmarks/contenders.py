"""Who is compared: Wharfinger, plain Compose and the hand-written floor, each with the same app, replicas and Nginx."""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from tests.integration import deployments
from tests.integration.deployments import Deployment, docker
from tests.ports import free_ports

from benchmarks.report import Shown, now
from wharfinger import assets, stock_images
from wharfinger.hosts.local import LocalHost
from wharfinger.registry import EMBEDDED_PORT, EMBEDDED_PORT_VARIABLE, embedded

HERE: Final = Path(__file__).parent
APP: Final = HERE / "app"
_COMMAND_WITHIN: Final = 300
_READY_WITHIN: Final = 60.0


class Contender(Protocol):
    """What can put a version of the app into service."""

    name: str

    @property
    def domain(self) -> str:
        """The name by which it is asked."""

    @property
    def http_port(self) -> int:
        """Where it answers on loopback."""

    def put(self, version: str) -> None:
        """Bring a version, whose image is there, into service; return once that is reported done."""

    def remove(self) -> None:
        """Remove all that it made."""


@dataclass(frozen=True)
class Timed:
    """What was done, from when to when; times in seconds since the epoch."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began

    def shows(self, version: str) -> Shown:
        """Return what must be seen from its end on."""
        return Shown(self.ended, version)


def timed(act: Callable[[], object]) -> Timed:
    """Do something, and return how long it took."""
    began = now()
    act()
    return Timed(began, now())


def fresh_name() -> str:
    """Return a name that no other run has."""
    return f"b{secrets.token_hex(4)}"


def prepare_machine() -> str:
    """Make the stock images and the embedded registry be there; return the registry's address."""
    host = LocalHost()
    stock_images.ensure(host, ("nginx:1.30", "python:3.13-slim", "registry:2"), say=print, progress=lambda *_: None)
    registry = embedded(port=int(os.environ.get(EMBEDDED_PORT_VARIABLE) or EMBEDDED_PORT))
    registry.ensure_running(host, assets.folder("compose"))
    return registry.address


@dataclass
class Wharfinger:
    """Our own deploy and rollback, through the command line as users have it."""

    deployment: Deployment
    name: str = "wharfinger"
    base: str | None = None
    """The release that rollbacks go to; None: the one before."""

    @classmethod
    def make(cls, folder: Path, registry: str, *, replicas: int, source: Path = APP) -> Wharfinger:
        """Make a project of its own with a copy of the app."""
        made = replace(deployments.make(folder, source, fresh_name(), registry), run=deployments.cold)
        if source == APP and replicas != 2:
            made.edit("stack.yaml", "    scale: 2\n", f"    scale: {replicas}\n")
        return cls(made)

    @property
    def domain(self) -> str:
        """The host name of its site."""
        return self.deployment.domain

    @property
    def http_port(self) -> int:
        """Where its edge listens."""
        return self.deployment.http_port

    def choose(self, version: str) -> None:
        """Write a version into the app's source."""
        path = self.deployment.folder / "app.py"
        lines = path.read_text(encoding="utf-8").splitlines()
        changed = [f'VERSION = "{version}"' if line.startswith("VERSION = ") else line for line in lines]
        path.write_text("\n".join(changed) + "\n", encoding="utf-8")

    def build(self, version: str) -> str:
        """Build and push a version, so that a deploy finds its image; return the image's name."""
        self.choose(version)
        return self.deployment.wharfinger("push", "--env", "local").stdout.split()[-1]

    def put(self, version: str) -> None:
        """Deploy a version."""
        self.choose(version)
        self.deployment.deploy("--yes")

    def back(self) -> None:
        """Roll back."""
        to = () if self.base is None else ("--to", self.base)
        self.deployment.wharfinger("rollback", "--env", "local", "--yes", *to)

    def only_start(self) -> None:
        """Start Python and import what a deploy does, and end."""
        words = (sys.executable, "-c", "import wharfinger.cli, wharfinger.deploying, ruamel.yaml, jinja2")
        subprocess.run(words, check=True, timeout=_COMMAND_WITHIN)

    def scale(self, count: int) -> None:
        """Run so many replicas."""
        self.deployment.wharfinger("scale", f"web={count}", "--env", "local")

    def maintain(self, state: str) -> None:
        """Begin (`on`) or end (`off`) maintenance."""
        self.deployment.wharfinger("maintenance", state, "--env", "local")

    def reload_edge(self) -> None:
        """Reload its Nginx."""
        container = f"{self.deployment.edge}-nginx-1"
        docker("exec", container, "nginx", "-c", "/etc/nginx/wharfinger/nginx.conf", "-s", "reload")

    def remove(self) -> None:
        """Remove all that it made."""
        self.deployment.remove()


@dataclass
class ByHand:
    """What plain Compose and the floor have in common: a folder with Nginx's files, a port, images by version."""

    folder: Path
    images: dict[str, str]
    replicas: int
    project: str = field(default_factory=fresh_name)
    http_port: int = field(default_factory=lambda: free_ports(1)[0])
    domain: str = "localhost"

    def __post_init__(self) -> None:
        (self.folder / "conf.d").mkdir(parents=True)
        shutil.copy(HERE / "nginx.conf", self.folder)
        shutil.copy(HERE / "compose.yaml", self.folder)

    def _run(self, *argv: str, **environ: str) -> None:
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env={**os.environ, **environ},
            check=False,
            capture_output=True,
            text=True,
            timeout=_COMMAND_WITHIN,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{argv} exited {done.returncode}: {done.stderr}")

    def _upstream(self, server: str) -> None:
        (self.folder / "conf.d" / "upstream.conf").write_text(f"upstream web {{\n    server {server};\n}}\n")

    def await_answer(self) -> None:
        """Wait until the site answers."""
        deadline = time.monotonic() + _READY_WITHIN
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=2)
            with suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/health")
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return
            time.sleep(0.1)
        raise TimeoutError(f"port {self.http_port} does not answer")


class PlainCompose(ByHand):
    """`docker compose up -d` with the new image: the app's containers are recreated where they are."""

    name = "docker compose up -d"

    def put(self, version: str) -> None:
        """Recreate the app's containers."""
        fresh = not (self.folder / "conf.d" / "upstream.conf").exists()
        if fresh:
            self._upstream("web:3000")
        words = ("docker", "compose", "--project-name", self.project, "up", "--detach", "--pull", "never")
        self._run(*words, IMAGE=self.images[version], REPLICAS=str(self.replicas), PORT=str(self.http_port))
        if fresh:
            self.await_answer()

    def remove(self) -> None:
        """Remove its containers and network."""
        docker("compose", "--project-name", self.project, "down", "--timeout", "1")


class Floor(ByHand):
    """benchmarks/floor.sh."""

    name = "floor"

    def put(self, version: str) -> None:
        """Run the script; before the first time, start its Nginx."""
        if not (self.folder / "conf.d" / "upstream.conf").exists():
            self._upstream("127.0.0.1:1")
            docker("network", "create", self.project)
            docker(
                *("run", "--detach", "--name", f"{self.project}-nginx", "--network", self.project),
                *("--publish", f"127.0.0.1:{self.http_port}:80"),
                *("--volume", f"{self.folder}/nginx.conf:/etc/nginx/nginx.conf:ro"),
                *("--volume", f"{self.folder}/conf.d:/etc/nginx/conf.d:ro", "nginx:1.30"),
            )
        script = str(HERE / "floor.sh")
        self._run(script, self.project, self.images[version], str(self.replicas), FOLDER=str(self.folder / "conf.d"))

    def remove(self) -> None:
        """Remove its containers and network."""
        held = docker("ps", "--all", "--quiet", "--filter", f"label=floor={self.project}").split()
        docker("rm", "--force", f"{self.project}-nginx", *held)
        docker("network", "rm", self.project)
