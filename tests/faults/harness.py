"""What faults are made with: traffic while they happen, a `docker` that fails on purpose, a deploy that can be held."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pty
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.integration.deployments import Deployment, docker

WORKER: Final = """\
  worker:
    image: app
    command: [python, app.py, worker]
    healthcheck: {test: [python, app.py, works], interval: 1s, retries: 2, start_period: 1s}
    mem_limit: 64m
migrate:
"""
"""What gives the pebble stack a second service."""

_PATIENCE: Final = 120.0
_EVERY: Final = 0.04


def wait_until(holds: Callable[[], object], what: str, *, within: float = _PATIENCE) -> None:
    """Return once something holds that tells nobody of it; fail when it does not within so many seconds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {within:g} s"
        time.sleep(0.01)


@dataclass
class Traffic:
    """A visitor who asks again and again, and remembers what was not answered as it should be."""

    deployment: Deployment
    versions: set[str] = field(default_factory=set)
    asked: int = 0
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def flowing(self) -> Iterator[Traffic]:
        """Ask as long as the block runs."""
        ended = threading.Event()
        visitor = threading.Thread(target=self._ask_until, args=(ended,), daemon=True)
        visitor.start()
        try:
            yield self
        finally:
            ended.set()
            visitor.join(_PATIENCE)

    def _ask_until(self, ended: threading.Event) -> None:
        while not ended.wait(_EVERY):
            self.asked += 1
            try:
                answer = self.deployment.request("/")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                continue
            if answer.status == 200:
                self.versions.add(answer.json()["version"])
            else:
                self.failures.append(f"status {answer.status}")


@dataclass(frozen=True)
class Kept:
    """Everything of a deployment that a deploy which fails must leave as it was."""

    release: str
    containers: tuple[str, ...]
    networks: tuple[str, ...]
    files: Mapping[str, bytes]
    rows: str

    @classmethod
    def of(cls, deployment: Deployment) -> Kept:
        """Look at a deployment."""
        mine = f"name={deployment.name}"
        shown = "{{.ID}} {{.Names}} {{.State}}"
        folders = (deployment.server / "releases", deployment.server / "data", deployment.edge_folder)
        return cls(
            release=(deployment.server / "current").resolve().name,
            containers=tuple(sorted(docker("ps", "--all", "--format", shown, "--filter", mine).splitlines())),
            networks=tuple(sorted(docker("network", "ls", "--quiet", "--filter", mine).split())),
            files={str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()},
            rows=rows(deployment),
        )


def rows(deployment: Deployment) -> str:
    """Return what the deployment's database holds."""
    asked = ("psql", "-U", "postgres", "-Atc", "select kind from pebbles")
    return docker("exec", f"{deployment.name}-local-postgres", *asked)


def journal(deployment: Deployment) -> list[dict[str, Any]]:
    """Return the newest journal of a deployment."""
    newest = max((deployment.server / "journal").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(line) for line in newest.read_text(encoding="utf-8").splitlines()]


def docker_that(folder: Path, calls: str, does: str) -> dict[str, str]:
    """Return an environment in which `docker` runs the shell lines `does` before every call that matches `calls`.

    `calls` is a pattern of the shell's `case`, over all arguments; lines that end in `exit` keep Docker out of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "docker"
    script.write_text(f'#!/bin/sh\ncase "$*" in {calls})\n{does}\n;; esac\nexec {shutil.which("docker")} "$@"\n')
    script.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@contextmanager
def control_that(deployment: Deployment, does: Callable[[str], None]) -> Iterator[None]:
    """Stand before the control socket of a deployment's edge: `does` is told `METHOD PATH` before Nginx is asked that.

    What Nginx asks itself goes by here too.
    """
    path = deployment.edge_folder / "run" / "nginx" / "control.sock"
    behind = path.with_name("behind.sock")

    class Between(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked = self.request.recv(1 << 16)  # they are small, and come whole
            does(" ".join(asked.decode().split(" ")[:2]))
            with socket.socket(socket.AF_UNIX) as nginx, contextlib.suppress(OSError):
                nginx.connect(str(behind))
                nginx.sendall(asked)
                while answer := nginx.recv(1 << 16):
                    self.request.sendall(answer)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        block_on_close = False  # Nginx keeps connections for a while

    path.rename(behind)
    with Server(str(path), Between) as server:
        path.chmod(0o666)
        ours = path.stat().st_ino
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            if path.exists() and path.stat().st_ino != ours:
                behind.unlink()  # the edge has started anew
            else:
                behind.rename(path)


@dataclass(frozen=True)
class Gate:
    """A place where `docker` waits until the test lets it go on, five minutes at most."""

    folder: Path
    calls: str

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the command that is to wait."""
        wait = f'while [ ! -e {self.folder}/open ] && [ "$left" -gt 0 ]; do sleep 0.05; left=$((left - 1)); done'
        return docker_that(self.folder, self.calls, f"touch {self.folder}/reached\nleft=6000\n{wait}")

    def wait(self) -> None:
        """Return once something waits here."""
        wait_until((self.folder / "reached").exists, f"nothing ran {self.calls}")

    def open(self) -> None:
        """Let it go on."""
        (self.folder / "open").touch()


@contextmanager
def deploy_on_a_terminal(deployment: Deployment) -> Iterator[Callable[[str], tuple[int, str]]]:
    """Begin a deploy that asks; yield, once it has asked, what gives the answer and returns status and output."""
    ours, its = pty.openpty()
    environ = {**os.environ, "WHARFINGER_ROOT": str(deployment.project / "server"), "NO_COLOR": "1", "CI": "1"}
    argv = (sys.executable, "-m", "wharfinger", "deploy", "--env", "local")
    with subprocess.Popen(argv, cwd=deployment.project, env=environ, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        said = bytearray()

        def listen() -> None:
            with contextlib.suppress(OSError):  # a terminal that nobody holds any more
                while heard := os.read(ours, 4096):
                    said.extend(heard)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()

        def answer(word: str) -> tuple[int, str]:
            os.write(ours, f"{word}\n".encode())
            status = process.wait(_PATIENCE)
            listener.join(_PATIENCE)
            return status, said.decode()

        try:
            wait_until(lambda: b"[y/N]" in said or process.poll() is not None, "nothing was asked")
            yield answer
        finally:
            process.kill()
            process.wait()
            os.close(ours)
