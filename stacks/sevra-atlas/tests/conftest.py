"""Real servers for the tests: those that the environment names, or containers of the stack's own images."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import redis
import urllib3

from sevra_atlas.settings import BucketSettings

ROOT = Path(__file__).parent.parent
PATIENCE_S = 20.0


def eventually(condition: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """Return the first true value of `condition`, which may raise OSError until then."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            value = condition()
        except (OSError, urllib3.exceptions.HTTPError, redis.ConnectionError, asyncpg.PostgresError):
            value = None
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {within_s} s")
        time.sleep(0.02)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def listens(port: int) -> bool:
    """Tell that somebody listens on a port of this machine; raises OSError where nobody does."""
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


def query(url: str, sql: str, *arguments: object) -> list[Any]:
    """Return the rows of one statement."""

    async def run() -> list[Any]:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()

    return asyncio.run(run())


@dataclass(frozen=True)
class Servers:
    """Where PostgreSQL (as a role that may create databases) and Redis (databases 0 and 1 are ours) are."""

    postgres: str
    redis: str


def _container(
    image: str, port: int, *arguments: str, options: tuple[str, ...] = (), **environ: str
) -> tuple[str, str]:
    variables = [part for name in environ for part in ("--env", name)]
    name = f"sevra-atlas-tests-{os.getpid()}-{image.partition(':')[0].rpartition('/')[2]}"
    subprocess.run(
        ("docker", "run", "--detach", "--rm", "--name", name, "--publish", f"127.0.0.1::{port}",
         *options, *variables, image, *arguments),
        env={**os.environ, **environ}, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    shown = subprocess.run(("docker", "port", name, str(port)), check=True, capture_output=True, text=True, timeout=30)
    return name, shown.stdout.split()[0]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Servers for the whole run; ATLAS_TEST_DATABASE_URL and ATLAS_TEST_REDIS_URL name others than containers."""
    postgres, cache = os.environ.get("ATLAS_TEST_DATABASE_URL"), os.environ.get("ATLAS_TEST_REDIS_URL")
    with ExitStack() as stack:
        if not postgres:
            name, address = _container("postgres:17", 5432, "-c", "fsync=off", POSTGRES_PASSWORD="atlas")
            stack.callback(subprocess.run, ("docker", "rm", "-fv", name), capture_output=True, timeout=60)
            postgres = f"postgresql://postgres:atlas@{address}/postgres"
        if not cache:
            name, address = _container("redis:8", 6379, "redis-server", "--save", "")
            stack.callback(subprocess.run, ("docker", "rm", "-fv", name), capture_output=True, timeout=60)
            cache = f"redis://{address}"
        found = Servers(postgres, cache.rstrip("/"))
        eventually(lambda: query(found.postgres, "SELECT 1"), within_s=60)
        with redis.Redis.from_url(found.redis) as client:
            eventually(client.ping)
        yield found


@pytest.fixture(scope="session")
def s3() -> Iterator[BucketSettings]:
    """A bucket for the whole run, of a server that checks signatures; started when first asked for."""
    key, secret = "atlas-tests", uuid.uuid4().hex
    name, address = _container(
        "rclone/rclone:1.75.2", 9000, "serve", "s3", "--addr", ":9000", "/data",
        options=("--volume", "/data/media"), RCLONE_AUTH_KEY=f'"{key},{secret}"',
    )  # fmt: skip
    try:
        eventually(lambda: Browser(f"http://{address}").get("/").status)  # the port listens before the server does
        yield BucketSettings(f"http://{address}", "us-east-1", "media", "", key, secret)
    finally:
        subprocess.run(("docker", "rm", "-fv", name), capture_output=True, timeout=60, check=False)


@pytest.fixture
def bucket(s3: BucketSettings) -> BucketSettings:
    """A folder of that bucket with nothing in it."""
    return replace(s3, prefix=uuid.uuid4().hex)


@pytest.fixture
def in_bucket(environ: dict[str, str], bucket: BucketSettings) -> dict[str, str]:
    """All settings of the api and the worker, with media in a bucket."""
    return environ | {
        "S3_ENDPOINT": bucket.endpoint,
        "S3_BUCKET": bucket.name,
        "S3_PREFIX": bucket.prefix,
        "S3_ACCESS_KEY_ID": bucket.access_key_id,
        "S3_SECRET_ACCESS_KEY": bucket.secret_access_key,
    }


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def migrated(servers: Servers) -> Iterator[str]:
    """The name of a database at the newest revision, for copying."""
    name = f"atlas_{uuid.uuid4().hex[:12]}"
    query(servers.postgres, f'CREATE DATABASE "{name}"')
    assert migrate(_with_database(servers.postgres, name)).returncode == 0
    yield name
    query(servers.postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


def migrate(url: str, *revision: str) -> subprocess.CompletedProcess[str]:
    """Run the migrate role to its end."""
    return subprocess.run(
        (sys.executable, "-m", "sevra_atlas", "migrate", *revision),
        cwd=ROOT, env={"DATABASE_URL": url}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def empty_database(servers: Servers) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    name = f"atlas_{uuid.uuid4().hex[:12]}"
    query(servers.postgres, f'CREATE DATABASE "{name}"')
    yield _with_database(servers.postgres, name)
    query(servers.postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database(servers: Servers, migrated: str) -> Iterator[str]:
    """The URL of a database of its own at the newest revision."""
    name = f"atlas_{uuid.uuid4().hex[:12]}"
    query(servers.postgres, f'CREATE DATABASE "{name}" TEMPLATE "{migrated}"')
    yield _with_database(servers.postgres, name)
    query(servers.postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def queue_client(servers: Servers) -> Iterator[redis.Redis]:
    """A client of the queue's database, emptied like the cache's."""
    for number in (0, 1):
        with redis.Redis.from_url(f"{servers.redis}/{number}") as client:
            client.flushdb()
    with redis.Redis.from_url(f"{servers.redis}/1", decode_responses=True) as client:
        yield client


@pytest.fixture
def environ(database: str, servers: Servers, queue_client: redis.Redis, tmp_path: Path) -> dict[str, str]:
    """All settings of the api and the worker, on servers of their own."""
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    return {
        "DATABASE_URL": database,
        "REDIS_CACHE_URL": f"{servers.redis}/0",
        "REDIS_QUEUE_URL": f"{servers.redis}/1",
        "SESSION_SECRET": base64.b64encode(os.urandom(32)).decode(),
        "PUBLIC_URL": "http://atlas.localhost:8080",
        "UPLOADS_DIR": str(uploads),
        "PATH": os.environ["PATH"],
    }


@dataclass
class Role:
    """A running api or worker."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def lines(self) -> list[dict[str, Any]]:
        """Return what it has logged; every line must be JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@dataclass
class Browser:
    """A client that keeps a session cookie and follows no redirect."""

    url: str
    session: str = ""
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=20))

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {**({"Cookie": f"session={self.session}"} if self.session else {}), **headers}

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """GET a path; headers by name with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.pool.request("GET", self.url + path, headers=self._headers(named), redirect=False)

    def post(self, path: str, fields: dict[str, Any] | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
        """POST a form: multipart if a field is a (file name, content, type) tuple."""
        multipart = any(isinstance(value, tuple) for value in (fields or {}).values())
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.pool.request_encode_body(
            "POST", self.url + path, fields=fields or {}, headers=self._headers(named), encode_multipart=multipart,
            redirect=False,  # type: ignore[arg-type]  # typed as one of the names of a header
        )  # fmt: skip
        cookie = answer.headers.get("Set-Cookie", "")
        if cookie.startswith("session="):
            self.session = cookie.split(";")[0].removeprefix("session=").strip('"')
        return answer

    def join(self) -> Browser:
        """Sign up as somebody new."""
        answer = self.post(
            "/sign-up", {"name": "Ida", "email": f"{uuid.uuid4().hex}@example.com", "password": "a long password"}
        )
        assert answer.status == 303, answer.data
        return self

    def upload(self, slug: str, content: bytes) -> urllib3.BaseHTTPResponse:
        """Upload a photo of a place, as a program would."""
        return self.post(
            f"/places/{slug}/photos", {"photo": ("p.jpg", content, "image/jpeg")}, Accept="application/json"
        )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str, dict[str, str]], Role]]:
    """Return a function that starts a role and waits until its /health answers, with whatever status."""
    with ExitStack() as stack:

        def start_role(role: str, environ: dict[str, str]) -> Role:
            port, log = free_port(), tmp_path / f"{role}-{uuid.uuid4().hex[:6]}.log"
            output = stack.enter_context(log.open("w"))
            process = subprocess.Popen(
                (sys.executable, "-m", "sevra_atlas", role),
                cwd=ROOT, env={**environ, "PORT": str(port)}, stdout=output, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            stack.callback(process.wait, 30)
            stack.callback(process.kill)
            running = Role(process, f"http://127.0.0.1:{port}", log)
            eventually(lambda: process.poll() is not None or Browser(running.url).get("/health").status)
            assert process.poll() is None, log.read_text()
            return running

        yield start_role


class Relay:
    """A TCP relay to a server, which can be cut and mended: the network between two machines."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        # Bound for as long as the relay is there: while it is cut, nobody else's server may take its port.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._held.bind(("127.0.0.1", 0))
        self.port: int = self._held.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.mend()

    def mend(self) -> None:
        """Let everything through."""
        program = (
            "import asyncio,sys\n"
            "async def pump(r, w):\n"
            "    while data := await r.read(65536):\n"
            "        w.write(data); await w.drain()\n"
            "    w.close()\n"
            "async def serve(r, w):\n"
            "    r2, w2 = await asyncio.open_connection(sys.argv[2], int(sys.argv[3]))\n"
            "    await asyncio.gather(pump(r, w2), pump(r2, w), return_exceptions=True)\n"
            "async def main():\n"
            "    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]), reuse_port=True)\n"
            "    await server.serve_forever()\n"
            "asyncio.run(main())\n"
        )
        host, port = self._target
        self._process = subprocess.Popen((sys.executable, "-c", program, str(self.port), host, str(port)))
        eventually(lambda: listens(self.port))

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def close(self) -> None:
        """Be gone."""
        self.cut()
        self._held.close()


@pytest.fixture
def relay() -> Iterator[Callable[[str], tuple[Relay, str]]]:
    """Return a function that puts a relay before the server of a URL and returns it with the URL to use."""
    with ExitStack() as stack:

        def make(url: str) -> tuple[Relay, str]:
            parts = urlsplit(url)
            assert parts.hostname
            assert parts.port
            made = Relay(parts.hostname, parts.port)
            stack.callback(made.close)
            user = f"{parts.username}:{parts.password}@" if parts.username else ""
            return made, urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{made.port}"))

        yield make


@pytest.fixture(scope="session", autouse=True)
def _needs_docker_or_urls() -> None:
    if not (os.environ.get("ATLAS_TEST_DATABASE_URL") or shutil.which("docker")):
        pytest.exit("these tests need Docker, or ATLAS_TEST_DATABASE_URL and ATLAS_TEST_REDIS_URL", 2)
