"""A real PostgreSQL 15 and a real backend for the tests."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

ROOT = Path(__file__).parent.parent
PATIENCE_S = 60.0


def eventually(condition: Callable[[], Any]) -> Any:
    """Return the first true value of `condition`, which may raise OSError or HTTPError until then."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            value = condition()
        except (OSError, urllib3.exceptions.HTTPError):
            value = None
        if value:
            return value
        assert time.monotonic() < deadline, "not true in time"
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def role(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one of the image's roles to its end."""
    environment = {**os.environ, "DATABASE_URL": url}
    argv = (sys.executable, "-m", "zenkar", *words)
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """Return the address of an empty PostgreSQL 15."""
    name, password, port = f"zenkar-test-{secrets.token_hex(4)}", secrets.token_hex(8), free_port()
    argv = ("docker", "run", "--detach", "--rm", "--name", name, "--publish", f"127.0.0.1:{port}:5432")
    variables = ("--env", f"POSTGRES_PASSWORD={password}", "--env", "POSTGRES_USER=zenkar")
    subprocess.run((*argv, *variables, "postgres:15"), check=True, capture_output=True, timeout=120)
    ready = ("docker", "exec", name, "pg_isready", "--quiet", "--host=127.0.0.1")
    try:
        eventually(lambda: subprocess.run(ready, capture_output=True, check=False, timeout=30).returncode == 0)
        yield f"postgresql://zenkar:{password}@127.0.0.1:{port}/zenkar"
    finally:
        subprocess.run(("docker", "rm", "--force", "--volumes", name), capture_output=True, check=False, timeout=60)


@pytest.fixture(scope="session")
def migrated(database: str) -> str:
    """Return the address of a database at head; before that it must be known to be behind."""
    assert role(database, "migrate", "--check").returncode == 1
    assert role(database, "migrate", "--list").stdout.split() == ["0001_cars_and_bookings", "0002_no_car_twice"]
    done = role(database, "migrate")
    assert done.returncode == 0, done.stderr
    return database


class Backend:
    """A backend that runs."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._pool = urllib3.PoolManager(retries=False, timeout=10)

    def ask(self, path: str, method: str = "GET", body: Any = None) -> urllib3.BaseHTTPResponse:
        return self._pool.request(method, f"http://127.0.0.1:{self.port}/api/{path}", json=body)


def started(url: str, port: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "DATABASE_URL": url, "PORT": str(port)}
    return subprocess.Popen((sys.executable, "-m", "zenkar", "serve"), cwd=ROOT, env=environment)


@pytest.fixture(scope="session")
def backend(migrated: str) -> Iterator[Backend]:
    """A backend on a migrated database."""
    made = Backend(free_port())
    process = started(migrated, made.port)
    try:
        eventually(lambda: made.ask("health").status == 200)
        yield made
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15)
