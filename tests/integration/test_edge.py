"""The edge as it ships (`compose/edge.yaml`, `nginx/`), a rendered site, and real services behind it."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import secrets
import shutil
import socket
import ssl
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from wharfinger import assets
from wharfinger.model.release import Live
from wharfinger.model.site import Site, Tls
from wharfinger.rendering.site import live_default, render_site
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

    def control(self, path: str, *options: str, check: bool = True) -> str:
        curl = ("curl", "-sS", "-f", "--unix-socket", "/run/wharfinger/control.sock", *options)
        return self.exec(*curl, f"http://edge{path}", check=check).stdout

    def switch(self, live: Live) -> None:
        self.control(f"/live/{NAME}", "-X", "PUT", "--data", str(live))

    def serve(self, slot: str, *, says: str | None = None, service: str = "api") -> str:
        """Start a service in a slot and return its container's name once it listens."""
        name = f"{self.project}-{secrets.token_hex(3)}"
        self.services.append(name)
        network = ("--network", self.project, "--network-alias", f"{NAME}-{slot}-{service}")
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


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


@contextmanager
def edge_in(folder: Path) -> Iterator[Edge]:
    project = f"wharfinger-test-{secrets.token_hex(3)}"
    port, https_port = free_ports()
    shutil.copytree(assets.folder("nginx"), folder)
    shutil.copy(assets.folder("compose") / "edge.yaml", folder / "compose.yaml")
    for name in ("sites", "certs", "acme/.well-known/acme-challenge"):
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


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge with one site, started when neither slot existed, and now a service in both."""
    with edge_in(tmp_path_factory.mktemp("edge") / "edge") as edge:
        edge.serve("blue")
        edge.serve("green")
        wait_until(lambda: edge.get("/health").status == 200)
        yield edge


@pytest.fixture(autouse=True)
def _blue_is_live(request: pytest.FixtureRequest) -> None:
    if "edge" in request.fixturenames:
        request.getfixturevalue("edge").switch(BLUE)


# The switch


def test_an_edge_starts_before_any_release_exists_and_says_so(tmp_path: Path) -> None:
    with edge_in(tmp_path / "edge") as edge:
        assert edge.get("/").status == 502
        assert edge.control(f"/live/{NAME}") == f"{BLUE}\n"

        write_site(edge.folder, NAME, "atlas.test", None)
        edge.compose("restart", "--timeout", "2")
        edge.up()
        assert edge.get("/").status == 503
        assert edge.control(f"/live/{NAME}") == "\n"

        edge.serve("green")
        reached = wait_until(lambda: edge.control(f"/probe/{NAME}/green/api/health", check=False) != "", within=5)
        edge.switch(GREEN)
        assert edge.get("/").body.startswith("green ")
        assert reached < 3


def test_a_probe_reaches_the_slot_that_is_not_live(edge: Edge) -> None:
    assert edge.control(f"/probe/{NAME}/green/api/any%20path?q=1").startswith("green ")
    assert edge.control(f"/probe/{NAME}/blue/api/").startswith("blue ")
    assert edge.control(f"/probe/{NAME}/blue/nope/", check=False) == ""
    assert edge.get("/", headers=SIGNED_IN).body.startswith("blue ")


def test_the_control_server_tells_what_is_live(edge: Edge) -> None:
    assert edge.control(f"/live/{NAME}") == f"{BLUE}\n"
    edge.switch(GREEN)
    assert edge.control(f"/live/{NAME}") == f"{GREEN}\n"
    assert edge.control("/live") == f"{NAME} {GREEN}\n"
    assert edge.exec("curl", "-s", "--unix-socket", "/run/wharfinger/control.sock", "-o", "/dev/null", "-w",
                     "%{http_code}", "http://edge/live/unknown").stdout == "404"  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "green",
        "red:20261120143000",
        "green:2026112014300",
        "green:20261120143000;",
        "blue:1\ngreen:2",
    ],
)
def test_what_is_no_live_value_is_refused_and_changes_nothing(edge: Edge, body: str | None) -> None:
    data = () if body is None else ("--data-binary", body)
    curl = ("curl", "-s", "--unix-socket", "/run/wharfinger/control.sock", "-X", "PUT", *data)
    status = edge.exec(*curl, "-o", "/dev/null", "-w", "%{http_code}", f"http://edge/live/{NAME}").stdout

    assert status == "400"
    assert edge.control(f"/live/{NAME}") == f"{BLUE}\n"


def test_the_control_server_is_not_there_for_the_public(edge: Edge) -> None:
    for path in (f"/live/{NAME}", f"/probe/{NAME}/green/api/", f"/current/{NAME}"):
        assert edge.get(path, method="PUT", body=str(GREEN).encode()).body == f"blue {len(str(GREEN))}"
    assert edge.control(f"/live/{NAME}") == f"{BLUE}\n"


@dataclass
class Load:
    """What keep-alive clients that never try again met with."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    stale: int = 0


def test_switches_under_load_lose_no_request_and_no_connection(edge: Edge) -> None:
    """Open loop: 300 requests a second over 20 connections, whatever becomes of those before, and 10 switches."""
    load = asyncio.run(_load_and_switch(edge, seconds=3, rate=300, connections=20, switches=10))

    assert load.failed == []
    assert load.answered == 900
    assert load.stale == 0


async def _load_and_switch(edge: Edge, *, seconds: int, rate: int, connections: int, switches: int) -> Load:
    load, port, count = Load(), edge.port, seconds * rate
    due: asyncio.Queue[float] = asyncio.Queue()
    live = ["blue", "blue"]  # what was live before the switch under way, and what it makes live

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while await due.get():
            before = set(live)
            try:
                writer.write(b"GET /n HTTP/1.1\r\nHost: atlas.test\r\nCookie: session=1\r\n\r\n")
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = (await reader.readexactly(length)).decode()
                assert head.startswith(b"HTTP/1.1 200"), head
                load.answered += 1
                load.stale += body.split()[0] not in before | set(live)
            except (OSError, EOFError, AssertionError, TimeoutError) as error:
                load.failed.append(repr(error))
                return
        writer.close()

    async def switch() -> None:
        for number in range(switches):
            await asyncio.sleep(seconds / (switches + 1))
            target = (GREEN, BLUE)[number % 2]
            live[:] = [live[1], target.slot]
            await asyncio.to_thread(edge.switch, target)
            live[:] = [target.slot, target.slot]

    clients = [asyncio.create_task(client()) for _ in range(connections)]
    switching = asyncio.create_task(switch())
    began = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        due.put_nowait(1.0)
    await switching
    for _ in clients:
        due.put_nowait(0.0)
    await asyncio.wait_for(asyncio.gather(*clients), 20)
    return load


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_restart_serves_what_the_default_says_whatever_was_left_behind(edge: Edge, how: str) -> None:
    """A killed Nginx leaves its control socket; and the file says green, for the deploy wrote it."""
    (edge.folder / "sites" / f"{NAME}.live").write_text(live_default(GREEN))
    try:
        if how == "kill":
            run("docker", "kill", "-s", "KILL", edge.container)
        edge.compose("restart", "--timeout", "5")
        edge.up()

        assert edge.control(f"/live/{NAME}") == f"{GREEN}\n"
        wait_until(lambda: edge.get("/", headers=SIGNED_IN).body.startswith("green "), within=5)
    finally:
        (edge.folder / "sites" / f"{NAME}.live").write_text(live_default(BLUE))


def test_a_reload_keeps_what_was_set(edge: Edge) -> None:
    edge.switch(GREEN)
    edge.exec("nginx", "-c", f"{IN_CONTAINER}/nginx.conf", "-s", "reload")

    for _ in range(20):
        assert edge.get("/", headers=SIGNED_IN).body.startswith("green ")
    assert edge.control(f"/live/{NAME}") == f"{GREEN}\n"


def test_a_candidate_that_nginx_refuses_touches_nothing_that_runs(edge: Edge) -> None:
    """Not even the control socket, which `nginx -t` binds for a moment where nobody else has."""
    path = edge.folder / "sites" / f"{NAME}.conf"
    good = path.read_bytes()
    try:
        path.write_bytes(good.replace(b"client_max_body_size", b"client_max_bodysize"))
        tested = edge.exec("nginx", "-t", "-q", "-c", f"{IN_CONTAINER}/nginx.conf", check=False)
    finally:
        path.write_bytes(good)

    assert tested.returncode != 0
    assert "client_max_bodysize" in tested.stderr
    assert f"sites/{NAME}.conf:" in tested.stderr
    edge.exec("nginx", "-t", "-q", "-c", f"{IN_CONTAINER}/nginx.conf")
    edge.switch(GREEN)
    assert edge.get("/", headers=SIGNED_IN).body.startswith("green ")


# What becomes of containers


def test_a_container_that_comes_back_with_another_address_is_found_within_two_seconds(edge: Edge) -> None:
    old = edge.services[0]
    address = ("docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    before = run(*address, old).stdout
    edge.retire(old)
    edge.serve("squatter")  # takes the address that has become free
    new = edge.serve("blue")
    assert run(*address, new).stdout != before

    wait_until(lambda: edge.get("/", headers=SIGNED_IN).status == 200, within=2)


def test_of_two_replicas_a_dying_one_is_skipped(edge: Edge) -> None:
    """Not even a request fails that was on its way to an address just when that vanished."""
    second = edge.serve("blue", says="second")
    try:
        wait_until(lambda: edge.get("/", headers=SIGNED_IN).body.startswith("second "), within=5)
        run("docker", "kill", "-s", "KILL", second)
        for number in range(40):
            began = time.monotonic()
            method, body = ("GET", None) if number % 2 else ("POST", b"x")
            assert edge.get("/", method=method, body=body, headers=SIGNED_IN).body.startswith("blue ")
            assert time.monotonic() - began < 2.5
    finally:
        edge.retire(second)


def test_what_may_not_be_sent_twice_is_sent_once(edge: Edge) -> None:
    """Whichever replica takes this POST dies of it; the other one never hears of it."""
    second = edge.serve("blue", says="second")
    try:
        wait_until(lambda: edge.get("/", headers=SIGNED_IN).body.startswith("second "), within=5)
        assert edge.get("/die", method="POST", body=b"x").status == 502
        assert "".join(run("docker", "logs", name).stdout for name in edge.services) == "POST /die\n"
    finally:
        edge.retire(second)


# The micro-cache


def path(name: str = "/page") -> str:
    return f"{name}?{secrets.token_hex(4)}"


def test_what_anonymous_visitors_get_is_cached(edge: Edge) -> None:
    page = path()
    first, second, head = edge.get(page), edge.get(page), edge.get(page, method="HEAD")

    assert (first.cache, second.cache, head.cache) == ("MISS", "HIT", "HIT")
    assert second.body == first.body


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Cookie": "session=1"}, id="session"),
        pytest.param({"Cookie": "a=b; session=1"}, id="session among others"),
        pytest.param({"Cookie": "session=; session=1"}, id="two sessions"),
        pytest.param({"Authorization": "Bearer x"}, id="authorization"),
    ],
)
def test_who_is_signed_in_neither_gets_nor_leaves_a_cached_answer(edge: Edge, headers: dict[str, str]) -> None:
    page = path()
    private = edge.get(page, headers=headers)
    public = edge.get(page)
    again = edge.get(page, headers=headers)

    assert (private.cache, public.cache, again.cache) == ("", "MISS", "")
    assert len({private.body, public.body, again.body}) == 3


@pytest.mark.parametrize("name", ["/private", "/no-store", "/cookie", "/events", "/health", "/streamed/a"])
def test_some_answers_are_never_kept(edge: Edge, name: str) -> None:
    page = path(name) if name != "/health" else name

    assert edge.get(page).body != edge.get(page).body
    assert edge.get(page).cache in ("", "MISS")


def test_a_post_is_never_answered_from_the_cache(edge: Edge) -> None:
    page = path()
    edge.get(page)

    assert edge.get(page, method="POST", body=b"four").body == "blue 4"


def test_a_cookie_that_is_no_session_does_not_matter(edge: Edge) -> None:
    page = path()
    edge.get(page)

    assert edge.get(page, headers={"Cookie": "theme=dark"}).cache == "HIT"


def test_an_answer_that_varies_is_kept_apart(edge: Edge) -> None:
    page = path("/varied")
    english = edge.get(page, headers={"Accept-Language": "en"})

    assert edge.get(page, headers={"Accept-Language": "sv"}).body != english.body
    assert edge.get(page, headers={"Accept-Language": "en"}).body == english.body


def test_an_old_answer_is_shown_at_once_while_a_new_one_is_fetched(edge: Edge) -> None:
    page = path("/slow/1")
    first = edge.get(page)
    time.sleep(2.1)  # the ttl of one second, which Nginx counts in whole ones
    began = time.monotonic()
    stale = edge.get(page)

    assert time.monotonic() - began < 0.8
    assert (stale.cache, stale.body) == ("STALE", first.body)
    wait_until(lambda: edge.get(page).body != first.body, within=3)


def test_a_switch_never_shows_what_the_old_release_answered(edge: Edge) -> None:
    page = path()
    assert edge.get(page).body == edge.get(page).body
    edge.switch(GREEN)
    assert edge.get(page).body.startswith("green ")
    edge.switch(Live("green", "20261120160000"))
    assert edge.get(page).cache == "MISS"


@pytest.mark.parametrize("seconds", [0.02, 0.3])
def test_a_cold_page_makes_nobody_wait_half_a_second(edge: Edge, seconds: float) -> None:
    """Without a bound, all but the first would take 500 ms: that is when Nginx looks again."""
    page = path(f"/slow/{seconds}")

    def ask(_: int) -> tuple[float, str]:
        began = time.monotonic()
        body = edge.get(page).body
        return time.monotonic() - began, body

    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(ask, range(16)))

    assert statistics.median(took for took, _ in answers) < 0.48
    if seconds < 0.05:
        assert len({body for _, body in answers}) == 1, "one asks, the others wait for what he gets"


# Requests and answers


def test_a_websocket_passes_through(edge: Edge) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as client:
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        client.sendall(
            "GET /ws HTTP/1.1\r\nHost: atlas.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        stream = client.makefile("rb")
        assert stream.readline().startswith(b"HTTP/1.1 101")
        while stream.readline().strip():
            pass
        client.sendall(bytes((0x81, 0x85)) + b"\0\0\0\0" + b"hello")
        assert stream.read(7) == b"\x81\x05hello"


def test_nothing_but_a_websocket_is_upgraded(edge: Edge) -> None:
    got = json.loads(edge.get("/headers", headers={"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"}).body)

    assert "upgrade" not in got
    assert "connection" not in got


def test_an_upload_below_the_limit_passes_and_one_above_gets_413(edge: Edge) -> None:
    mega = 2**20

    assert edge.get("/upload", method="POST", body=bytes(11 * mega)).body == f"blue {11 * mega}"
    assert edge.get("/streamed/upload", method="POST", body=bytes(11 * mega)).body == f"blue {11 * mega}"
    too_large = edge.folder.parent / "too-large"
    too_large.write_bytes(bytes(13 * mega))
    refused = run(
        *("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", f"@{too_large}"),
        *("-H", "Host: atlas.test", f"http://127.0.0.1:{edge.port}/upload"),
        check=False,
    )
    assert refused.stdout == "413"


def test_a_large_listing_arrives_whole_and_compressed(edge: Edge) -> None:
    assert len(json.loads(edge.get(path("/large"), headers=SIGNED_IN).body)) == 100_000
    assert len(json.loads(edge.get(path("/large")).body)) == 100_000


def test_what_a_client_claims_about_itself_does_not_reach_the_service(edge: Edge) -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Request-ID": "two words\x7f",
        "Proxy": "http://evil.test",
        **SIGNED_IN,
    }
    got = json.loads(edge.get("/headers", host="atlas.test:8080", headers=forged).body)

    assert got["host"] == got["x-forwarded-host"] == "atlas.test:8080"
    assert got["x-forwarded-proto"] == "http"
    assert got["x-forwarded-for"] == got["x-real-ip"] != "6.6.6.6"
    assert len(got["x-request-id"]) == 32
    assert not {"forwarded", "proxy", "x-forwarded-prefix"} & got.keys()


def test_a_request_keeps_one_id_in_service_answer_and_log(edge: Edge) -> None:
    mine = f"trace-{secrets.token_hex(8)}"
    kept = edge.get("/headers?token=hidden", headers={"X-Request-ID": mine, **SIGNED_IN})
    made = edge.get("/request-id", headers=SIGNED_IN)

    assert kept.headers["x-request-id"] == json.loads(kept.body)["x-request-id"] == mine
    assert len(made.headers["x-request-id"]) == 32
    wait_until(lambda: mine in {entry["id"] for entry in edge.log()})
    entry = next(entry for entry in edge.log() if entry["id"] == mine)
    assert entry["slot"] == "blue"
    assert entry["release"] == BLUE.release
    assert entry["site"] == NAME
    assert entry["path"] == "/headers"
    assert entry["status"] == 200
    assert float(str(entry["upstream_seconds"])) >= 0
    assert "hidden" not in json.dumps(edge.log())
    assert not [entry for entry in edge.log() if entry["path"] == "/health" and entry["status"] == 200]


def test_security_headers_stand_on_every_answer_once(edge: Edge) -> None:
    for answer in (
        edge.get("/"),
        edge.get("/health"),
        edge.get("/.well-known/acme-challenge/none"),
    ):
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["server"] == "nginx"
    assert edge.get("/csp", headers=SIGNED_IN).headers["content-security-policy"] == "default-src 'none'"
    assert edge.get(path("/csp")).headers["content-security-policy"] == "default-src 'none'"


def test_an_unknown_host_gets_no_answer(edge: Edge) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        edge.get("/", host="unknown.test")
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="unknown.test")


def test_an_acme_challenge_is_answered_from_its_folder(edge: Edge) -> None:
    challenges = edge.folder / "acme" / ".well-known" / "acme-challenge"
    (challenges / "token").write_text("token.key")

    answer = edge.get("/.well-known/acme-challenge/token")
    assert (answer.status, answer.body) == (200, "token.key")
    assert edge.get("/.well-known/acme-challenge/none").status == 404


def test_a_site_with_tls_speaks_http2_and_sends_plain_http_on(edge: Edge) -> None:
    certificate = edge.folder / "certs" / "secure.test"
    certificate.mkdir()
    run(
        *("docker", "run", "--rm", "-v", f"{certificate}:/out", "--entrypoint", "openssl", "nginx:1.30"),
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=secure.test", "-addext", "subjectAltName=DNS:secure.test"),
        *("-keyout", "/out/privkey.pem", "-out", "/out/fullchain.pem"),
    )
    tls = Tls(certificate="secure.test", https_port=8443, hsts="1h")
    write_site(edge.folder, SECURE, "secure.test", BLUE, tls)
    edge.exec("nginx", "-t", "-q", "-c", f"{IN_CONTAINER}/nginx.conf")
    edge.exec("nginx", "-c", f"{IN_CONTAINER}/nginx.conf", "-s", "reload")
    wait_until(lambda: edge.control(f"/live/{SECURE}", check=False) != "")

    plain = edge.get("/a?b=c", host="secure.test", method="POST", body=b"")
    assert (plain.status, plain.headers["location"]) == (308, "https://secure.test:8443/a?b=c")
    assert edge.get("/.well-known/acme-challenge/none", host="secure.test").status == 404
    port = edge.https_port
    secure = run(
        *("curl", "-si", "--http2", "--cacert", str(certificate / "fullchain.pem")),
        *("--resolve", f"secure.test:{port}:127.0.0.1", f"https://secure.test:{port}/"),
    ).stdout
    assert secure.startswith("HTTP/2 502")  # nothing runs in either slot of this second site
    assert "strict-transport-security: max-age=3600" in secure
