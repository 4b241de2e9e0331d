"""The stand-ins behave as the official images do: names, ports, paths, variables, users and first run.

The tests hold for the official images too: where a hub answers, it is those that are tested.
"""

from __future__ import annotations

import gzip
import json
import os
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from wharfinger import stock_images
from wharfinger.errors import BuildFailed
from wharfinger.hosts.local import LocalHost
from wharfinger.stand_ins import TRIAL
from wharfinger.stock_images import STOCK, Origin

PASSWORD = 'pass word\'$with "quotes"'


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    stock_images.ensure(
        LocalHost(), (*STOCK, *TRIAL), source=stock_images.source_from(os.environ), say=print, progress=lambda *_: None
    )


def docker(
    *argv: str, env: Mapping[str, str] | None = None, stdin: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ("docker", *argv),
        env=os.environ | dict(env or {}),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=check,
    )


class Container:
    """A container of a stock image, removed with its volumes at the end of the test."""

    def __init__(self) -> None:
        self.name = f"h-img-{uuid4().hex[:12]}"

    def start(self, *argv: str, env: Mapping[str, str] | None = None) -> None:
        docker("run", "--detach", "--name", self.name, *argv, env=env)

    def exec(self, *argv: str, env: Mapping[str, str] | None = None, stdin: str = "") -> str:
        names = [option for name in env or {} for option in ("--env", name)]
        return docker("exec", "--interactive", *names, self.name, *argv, env=env, stdin=stdin).stdout.strip()

    def logs(self) -> str:
        done = docker("logs", self.name)
        return done.stdout + done.stderr

    def until(self, *argv: str) -> None:
        """Return when a command in the container succeeds."""
        deadline = time.monotonic() + 60
        while docker("exec", self.name, *argv, check=False).returncode != 0:
            running = docker("inspect", "--format", "{{.State.Running}}", self.name).stdout.strip()
            assert running == "true", self.logs()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def exit_code(self) -> int:
        return int(docker("wait", self.name).stdout)

    def address(self, port: int) -> str:
        return docker("port", self.name, f"{port}/tcp").stdout.split()[0]


@pytest.fixture
def container() -> Iterator[Container]:
    container = Container()
    yield container
    docker("rm", "--force", "--volumes", container.name, check=False)


def start_postgres(container: Container, *options: str, command: tuple[str, ...] = ()) -> None:
    container.start(
        *("--env", "POSTGRES_PASSWORD", *options, "postgres:17", *command), env={"POSTGRES_PASSWORD": PASSWORD}
    )
    wait_for_postgres(container)


def wait_for_postgres(container: Container) -> None:
    """Wait for the network, not the socket: during the first run the server listens on its socket only."""
    container.until("pg_isready", "--quiet", "--host=127.0.0.1")


def sql(container: Container, statement: str, *, user: str = "postgres", database: str = "postgres") -> str:
    """Ask over the network, where the password counts."""
    address = docker(
        *("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container.name)
    ).stdout.strip()
    return container.exec(
        *("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"),
        *(f"--host={address}", f"--username={user}", f"--dbname={database}", "--command", statement),
        env={"PGPASSWORD": PASSWORD},
    )


def test_postgres_makes_the_user_and_database_that_are_asked_for(container: Container) -> None:
    start_postgres(container, "--env=POSTGRES_USER=atlas", "--env=POSTGRES_DB=atlas-data")
    assert sql(container, "SELECT current_user", user="atlas", database="atlas-data") == "atlas"
    assert sql(container, "SHOW server_encoding", user="atlas", database="atlas-data") == "UTF8"


def test_postgres_15_makes_its_first_run_and_keeps_what_it_was_given(container: Container) -> None:
    container.start(
        *("--env=POSTGRES_PASSWORD", "--env=POSTGRES_USER=zenkar", "--env=POSTGRES_INITDB_ARGS=--data-checksums"),
        *("postgres:15", "postgres", "-c", "max_connections=33"),
        env={"POSTGRES_PASSWORD": PASSWORD},
    )
    wait_for_postgres(container)
    assert sql(container, "SHOW server_version_num", user="zenkar", database="zenkar").startswith("15")
    assert sql(container, "SHOW data_checksums", user="zenkar", database="zenkar") == "on"
    assert sql(container, "SHOW max_connections", user="zenkar", database="zenkar") == "33"
    assert container.exec("stat", "--format=%u %a", "/var/lib/postgresql/data") == "999 700"
    assert container.exec("pg_dump", "--version").startswith("pg_dump (PostgreSQL) 15")


def test_postgres_names_the_database_after_its_user(container: Container) -> None:
    start_postgres(container, "--env=POSTGRES_USER=atlas")
    assert sql(container, "SELECT current_database()", user="atlas", database="atlas") == "atlas"


def test_postgres_wants_a_password(container: Container) -> None:
    container.start("postgres:17")
    assert container.exit_code() == 1
    assert "POSTGRES_PASSWORD" in container.logs()


def test_postgres_refuses_a_wrong_password_over_the_network(container: Container) -> None:
    start_postgres(container)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        sql(container, "SELECT 1", user="nobody")
    assert "password authentication failed" in refused.value.stderr


def test_postgres_reads_its_secrets_from_files(container: Container, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)  # as secrets are kept: root reads them before it becomes postgres
    (tmp_path / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    (tmp_path / "user").write_text("atlas\n", encoding="utf-8")
    container.start(
        *(f"--volume={tmp_path}:/run/secrets:ro", "--env=POSTGRES_PASSWORD_FILE=/run/secrets/password"),
        *("--env=POSTGRES_USER_FILE=/run/secrets/user", "postgres:17"),
    )
    wait_for_postgres(container)
    assert sql(container, "SELECT 1", user="atlas", database="atlas") == "1"


def test_postgres_refuses_a_secret_from_two_places(container: Container) -> None:
    container.start("--env=POSTGRES_PASSWORD=a", "--env=POSTGRES_PASSWORD_FILE=/etc/hostname", "postgres:17")
    assert container.exit_code() == 1
    assert "POSTGRES_PASSWORD_FILE" in container.logs()


def test_postgres_runs_what_lies_in_initdb_d_once(container: Container, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "10-table.sql").write_text("CREATE TABLE met (who text);\n", encoding="utf-8")
    (tmp_path / "20-row.sh").write_text(
        """psql --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" --command="INSERT INTO met VALUES ('sourced')"\n""",
        encoding="utf-8",
    )
    executable = tmp_path / "30-row.sh"
    executable.write_text(
        """#!/bin/sh\npsql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "INSERT INTO met VALUES ('run')"\n""",
        encoding="utf-8",
    )
    executable.chmod(0o755)
    (tmp_path / "40-row.sql.gz").write_bytes(gzip.compress(b"INSERT INTO met VALUES ('unpacked');\n"))
    (tmp_path / "50-notes.txt").write_text("not SQL\n", encoding="utf-8")
    start_postgres(container, f"--volume={tmp_path}:/docker-entrypoint-initdb.d:ro", "--env=POSTGRES_DB=atlas")
    assert sql(container, "SELECT who FROM met", database="atlas").split() == ["sourced", "run", "unpacked"]

    docker("restart", container.name)
    wait_for_postgres(container)
    assert sql(container, "SELECT count(*) FROM met", database="atlas") == "3"


def test_postgres_stops_on_a_failing_script(container: Container, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "10-broken.sql").write_text("CREATE TABEL met (who text);\n", encoding="utf-8")
    container.start(
        *("--env=POSTGRES_PASSWORD", f"--volume={tmp_path}:/docker-entrypoint-initdb.d:ro", "postgres:17"),
        env={"POSTGRES_PASSWORD": PASSWORD},
    )
    assert container.exit_code() != 0
    assert "syntax error" in container.logs()


def test_postgres_takes_settings_as_arguments_and_initdb_args(container: Container) -> None:
    start_postgres(
        container,
        "--env=POSTGRES_INITDB_ARGS=--data-checksums --locale='C.UTF-8'",
        command=("-c", "max_connections=33", "-c", "application_name=two words"),
    )
    assert sql(container, "SHOW max_connections") == "33"
    assert sql(container, "SHOW data_checksums") == "on"
    assert sql(container, "SELECT datcollate FROM pg_database WHERE datname = 'template1'") == "C.UTF-8"
    assert "two words" in container.exec("cat", "/proc/1/cmdline")


def test_postgres_runs_as_its_user_with_the_password_in_no_argument(container: Container) -> None:
    start_postgres(container)
    assert container.exec("stat", "--format=%u", "/proc/1") == "999"
    assert container.exec("stat", "--format=%u %a", "/var/lib/postgresql/data") == "999 700"
    assert PASSWORD not in container.exec("sh", "-c", "cat /proc/[0-9]*/cmdline")
    assert container.exec("bash", "-c", "command -v pg_dump pg_restore psql pg_isready").count("\n") == 3


def test_postgres_keeps_its_data_for_a_new_container(container: Container) -> None:
    volume = f"{container.name}-data"
    try:
        start_postgres(container, f"--volume={volume}:/var/lib/postgresql/data")
        sql(container, "CREATE TABLE kept AS SELECT 42 AS answer")
        docker("rm", "--force", container.name)
        container.start(f"--volume={volume}:/var/lib/postgresql/data", "postgres:17")
        wait_for_postgres(container)
        assert sql(container, "SELECT answer FROM kept") == "42"
    finally:
        docker("rm", "--force", container.name, check=False)
        docker("volume", "rm", volume)


def test_postgres_stops_cleanly_when_asked(container: Container) -> None:
    start_postgres(container)
    docker("stop", "--time", "20", container.name)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container.name).stdout.strip() == "0"
    assert "database system is shut down" in container.logs()


@pytest.mark.parametrize("command", [("--maxmemory", "10mb"), ("redis-server", "--maxmemory", "10mb")])
def test_redis_takes_flags_with_and_without_its_name(container: Container, command: tuple[str, ...]) -> None:
    container.start("redis:8", *command)
    container.until("redis-cli", "ping")
    assert container.exec("redis-cli", "config", "get", "maxmemory").split() == ["maxmemory", "10485760"]


def test_redis_runs_as_its_user_and_owns_its_data(container: Container) -> None:
    container.start("redis:8", "--appendonly", "yes")
    container.until("redis-cli", "ping")
    assert container.exec("stat", "--format=%u", "/proc/1") == "999"
    assert container.exec("redis-cli", "config", "get", "dir").split() == ["dir", "/data"]
    container.exec("redis-cli", "set", "kept", "42")
    docker("restart", container.name)
    container.until("redis-cli", "ping")
    assert container.exec("redis-cli", "get", "kept") == "42"


def test_redis_lets_other_containers_in_unless_told_not_to(container: Container) -> None:
    container.start("redis:8")
    container.until("redis-cli", "ping")
    assert container.exec("redis-cli", "config", "get", "protected-mode").split()[1] == "no"


def test_redis_reads_a_configuration_file(container: Container, tmp_path: Path) -> None:
    file = tmp_path / "redis.conf"
    file.write_text("maxmemory 10mb\nprotected-mode yes\n", encoding="utf-8")
    container.start(f"--volume={file}:/etc/redis.conf:ro", "redis:8", "/etc/redis.conf", "--maxclients", "77")
    container.until("redis-cli", "ping")
    assert container.exec("redis-cli", "config", "get", "maxclients").split()[1] == "77"
    assert container.exec("redis-cli", "config", "get", "protected-mode").split()[1] == "yes"


def test_redis_runs_other_commands_as_they_are() -> None:
    assert "v=8." in docker("run", "--rm", "redis:8", "redis-server", "--version").stdout


def test_nginx_serves_its_page_as_its_user_and_logs_to_docker(container: Container) -> None:
    container.start("--publish=127.0.0.1::80", "nginx:1.30")
    container.until("curl", "--silent", "--fail", "http://127.0.0.1/")
    with urllib.request.urlopen(f"http://{container.address(80)}/?from=outside", timeout=10) as answer:
        assert answer.status == 200
    workers = container.exec("sh", "-c", "stat --format=%u /proc/[0-9]*/exe | sort -u")
    assert "101" in workers.split()
    docker("stop", container.name)  # Nginx logs once it has answered, and Docker keeps it later still: now all is there
    assert "GET /?from=outside" in container.logs()


def test_nginx_is_new_enough_for_names_that_change_and_has_njs(container: Container, tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text("export default {slot: () => 'blue'};\n", encoding="utf-8")
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        """\
load_module /usr/lib/nginx/modules/ngx_http_js_module.so;
user nginx;
events {}
http {
    js_path /etc/nginx/test;
    js_import app from app.js;
    js_set $slot app.slot;
    js_shared_dict_zone zone=live:32k;
    resolver 127.0.0.11;
    upstream group { zone group 64k; server not-there:3000 resolve; keepalive 8; }
    server {
        listen 80;
        http2 on;
        location / { return 200 $slot; }
        location /group { proxy_pass http://group; }
    }
}
""",
        encoding="utf-8",
    )
    container.start(
        f"--volume={tmp_path}:/etc/nginx/test:ro", "nginx:1.30", "nginx", "-c", "/etc/nginx/test/nginx.conf",
        "-g", "daemon off;",
    )  # fmt: skip
    container.until("curl", "--silent", "--fail", "http://127.0.0.1/")
    assert container.exec("curl", "--silent", "http://127.0.0.1/") == "blue"


def test_nginx_tests_a_configuration() -> None:
    assert docker("run", "--rm", "nginx:1.30", "nginx", "-t").returncode == 0
    broken = docker("run", "--rm", "nginx:1.30", "nginx", "-t", "-g", "no_such_directive on;", check=False)
    assert broken.returncode == 1
    assert "no_such_directive" in broken.stderr


def test_nginx_renders_its_templates(container: Container, tmp_path: Path) -> None:
    (tmp_path / "default.conf.template").write_text(
        "server { listen ${PORT}; location / { return 200 $uri; } }\n", encoding="utf-8"
    )
    container.start(f"--volume={tmp_path}:/etc/nginx/templates:ro", "--env=PORT=8123", "nginx:1.30")
    container.until("curl", "--silent", "--fail", "http://127.0.0.1:8123/")
    assert container.exec("curl", "--silent", "http://127.0.0.1:8123/a") == "/a"


def test_nginx_finishes_its_requests_when_stopped() -> None:
    signal = docker("image", "inspect", "--format", "{{.Config.StopSignal}}", "nginx:1.30").stdout.strip()
    assert signal == "SIGQUIT"


def test_python_is_called_python_and_installs_for_the_whole_system() -> None:
    done = docker("run", "--rm", "python:3.13-slim", "python", "--version")
    assert done.stdout.startswith("Python 3.13.")
    dry = docker("run", "--rm", "python:3.13-slim", "pip", "install", "--dry-run", "--no-index", "pip")
    assert "already satisfied" in dry.stdout


PEBBLE, CHALLENGES = TRIAL[:2]
PEBBLE_ASKS = ("-config", "/test/config/pebble-config.json", "-dnsserver", "127.0.0.1:8053")


def test_certbot_gets_a_certificate_from_pebble(container: Container, tmp_path: Path) -> None:
    """All in one network namespace: the name asked for is this container, and Pebble looks there for the answer."""
    names = Container()
    authority = Container()
    try:
        container.start("--publish=127.0.0.1::14000", CHALLENGES, "-doh", "", "-http01", "", "-tlsalpn01", "")
        joined = f"--network=container:{container.name}"
        authority.start(joined, "--env=PEBBLE_VA_NOSLEEP=1", PEBBLE, *PEBBLE_ASKS)
        certificate = tmp_path / "pebble.pem"
        docker("cp", f"{authority.name}:/test/certs/pebble.minica.pem", str(certificate))
        await_pebble(container, certificate)
        docker(
            *("run", "--rm", "--name", names.name, joined, f"--volume={tmp_path}:/ca:ro"),
            *(f"--volume={tmp_path / 'issued'}:/etc/letsencrypt", "--env=REQUESTS_CA_BUNDLE=/ca/pebble.pem"),
            *("certbot/certbot:v4.0.0", "certonly", "--standalone", "--http-01-port=5002", "--non-interactive"),
            *("--agree-tos", "--register-unsafely-without-email", "--domain=atlas.example.com"),
            *("--server=https://localhost:14000/dir",),
        )
        assert (tmp_path / "issued" / "live" / "atlas.example.com" / "fullchain.pem").exists()
    finally:
        for each in (names, authority):
            docker("rm", "--force", "--volumes", each.name, check=False)


def await_pebble(container: Container, certificate: Path) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate))
    deadline = time.monotonic() + 60
    while True:
        try:
            address = f"https://{container.address(14000)}/dir"
            with urllib.request.urlopen(address, timeout=5, context=trusted) as answer:
                assert "newOrder" in json.load(answer)
            return
        except OSError:
            assert time.monotonic() < deadline, container.logs()
            time.sleep(0.1)


@pytest.fixture
def registry(container: Container) -> str:
    """A registry on a loopback port of its own; its address."""
    container.start("--publish=127.0.0.1::5000", "--env=REGISTRY_STORAGE_DELETE_ENABLED=true", "registry:2")
    address = container.address(5000)
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/v2/", timeout=5) as answer:
                assert answer.status == 200
            return address
        except OSError:
            assert time.monotonic() < deadline, container.logs()
            time.sleep(0.1)


@pytest.fixture
def pushed(registry: str) -> Iterator[str]:
    """The name of a small image that only the registry holds."""
    name = f"{registry}/h-img-pushed:1"
    built = docker("build", "--quiet", "--tag", name, "-", stdin="FROM scratch\nLABEL made=here\n").stdout.strip()
    docker("push", "--quiet", name)
    docker("image", "rm", "--force", built)  # by its id: by name alone the engine would keep it under its digest
    yield name
    docker("image", "rm", "--force", built, check=False)


def test_registry_gives_back_what_was_pushed_and_deletes_it(pushed: str, container: Container) -> None:
    docker("pull", "--quiet", pushed)
    (digest,) = docker("image", "inspect", "--format", "{{join .RepoDigests `\n`}}", pushed).stdout.split()
    address, _, rest = digest.partition("/")
    name, _, content = rest.partition("@")
    request = urllib.request.Request(f"http://{address}/v2/{name}/manifests/{content}", method="DELETE")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202
    assert container.exec("ls", "/var/lib/registry/docker/registry/v2/repositories") == name


def test_a_missing_image_is_pulled_and_then_left_alone(pushed: str) -> None:
    host, heard = LocalHost(), list[str]()

    def ensure() -> tuple[str, ...]:
        return stock_images.ensure(
            host, (pushed,), say=lambda _line: None, progress=lambda _name, line: heard.append(line)
        )

    assert stock_images.hub_answers(host, pushed)
    assert ensure() == (pushed,)
    assert any("Pulled" in line for line in heard)
    assert stock_images.origins(host, (pushed,)) == {pushed: Origin.OFFICIAL}
    assert ensure() == ()


def test_a_hub_without_the_image_is_said_to_be_one(registry: str) -> None:
    name = f"{registry}/h-img-never-pushed:1"
    assert not stock_images.hub_answers(LocalHost(), name)
    with pytest.raises(BuildFailed, match="cannot be pulled"):
        stock_images.ensure(
            LocalHost(), (name,), source="hub", say=lambda _line: None, progress=lambda _name, _line: None
        )
