"""Whatever is wrong: a clear error with its mend, the documented exit code, the old release serving, nothing lost."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.deployments import PEBBLE, Deployment, docker
from tests.ports import free_ports

SERVES = "still serves"


@pytest.fixture(scope="module")
def deployed(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A deployed pebble whose database holds a row."""
    made = make_deployment(PEBBLE)
    made.deploy()
    query(made, "create table pebbles as select 'granite' as kind")
    return made


def query(deployment: Deployment, sql: str) -> str:
    """Ask the deployment's database."""
    return docker("exec", f"{deployment.name}-local-postgres", "psql", "-U", "postgres", "-Atc", sql)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by path."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def app_containers(deployment: Deployment) -> list[str]:
    """Return the app tier's containers, stopped ones too."""
    return sorted(docker("ps", "--all", "--quiet", "--filter", f"label=org.wharfinger.stack={deployment.name}").split())


@pytest.fixture
def pebble(deployed: Deployment) -> Iterator[Deployment]:
    """The deployed pebble, held against its own state before once the test is over."""
    release, containers = deployed.status()["release"], app_containers(deployed)
    releases = sorted(path.name for path in (deployed.server / "releases").iterdir())
    sites = tree(deployed.edge_folder / "sites")
    yield deployed
    assert deployed.request("/").json()["version"] == "one", "the old release serves"
    assert deployed.status()["release"] == release
    assert app_containers(deployed) == containers, "no container was lost or left behind"
    assert sorted(path.name for path in (deployed.server / "releases").iterdir()) == releases
    assert tree(deployed.edge_folder / "sites") == sites, "the live configuration is what it was, byte for byte"
    assert not (deployed.server / "lock").exists()
    assert query(deployed, "select kind from pebbles") == "granite", "the data is what it was"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("POSTGRES_PASSWORD=", "POSTGRES_PASSWORD=xyz # ", "POSTGRES_PASSWORD: "),
        ("POSTGRES_PASSWORD=", "POSTGRES_PASSWORD=changeme # ", "placeholder"),
        ("POSTGRES_PASSWORD=", "# POSTGRES_PASSWORD=", "missing"),
        ("#GREETING=hello", "GREETINGS=hello", "did you mean GREETING?"),
        ("#GREETING=hello", "GREETING=${UNCLOSED", "GREETING: "),
    ],
)
def test_a_bad_value_is_named_and_never_shown(pebble: Deployment, old: str, new: str, problem: str) -> None:
    secret = (pebble.folder / ".env.local").read_text(encoding="utf-8").partition("POSTGRES_PASSWORD=")[2].split()[0]
    with pebble.edited(".env.local", old, new):
        ran = pebble.deploy(status=3)
        checked = pebble.wharfinger("env.check", "--env", "local", status=3)
    for output in (ran.stderr, checked.stderr):
        assert f"stacks/{pebble.name}/.env.local" in output
        assert problem in output
        assert "fix:" in output
        assert secret not in output


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("    port: 3000", "    prot: 3000", ":9:5: services.web.prot: unknown key; did you mean port?"),
        ("    port: 3000", "    port: three", ":9:5: services.web.port: "),
        ("name: ", "nmae: ", ":1:1: nmae: unknown key; did you mean name?"),
        ("  - {path: /, timeout: 2s}", "  - {path: /, timeout: soon}", "checks.1.timeout: not a duration"),
        ("  routes:", "  routes: [", "stack.yaml:"),
    ],
)
def test_a_bad_stack_file_is_refused_with_the_place(pebble: Deployment, old: str, new: str, problem: str) -> None:
    with pebble.edited("stack.yaml", old, new):
        ran = pebble.deploy(status=3)
    assert f"stacks/{pebble.name}/stack.yaml" in ran.stderr
    assert problem in ran.stderr


def test_an_unknown_environment_or_stack_is_refused_with_the_nearest(pebble: Deployment) -> None:
    assert "did you mean local?" in pebble.wharfinger("deploy", "--env", "lokal", status=2).stderr
    near = f"{pebble.name}x"
    ran = pebble.wharfinger("deploy", "--env", "local", "--stack", near, status=2)
    assert f"there is no stack {near}; did you mean {pebble.name}?" in ran.stderr


def test_a_broken_template_is_refused_with_its_line(pebble: Deployment) -> None:
    template = pebble.project / "templates" / "site.conf.j2"
    template.parent.mkdir()
    try:
        template.write_text("server {\n  {% if %}\n}\n", encoding="utf-8")
        ran = pebble.deploy(status=3)
    finally:
        template.unlink()
        template.parent.rmdir()
    assert "templates/site.conf.j2:2" in ran.stderr


def test_a_site_that_nginx_refuses_never_reaches_the_edge(pebble: Deployment) -> None:
    with pebble.edited("stack.yaml", "  cache: {enabled: false}", "  cache: {enabled: false}\n  snippet: bogus on;"):
        ran = pebble.deploy(status=3)
    assert 'unknown directive "bogus"' in ran.stderr
    assert "site.snippet" in ran.stderr


def test_an_image_that_does_not_build_is_shown_with_its_last_lines(pebble: Deployment) -> None:
    with pebble.edited("Dockerfile", "WORKDIR /app", "RUN echo no such quarry >&2; exit 9"):
        ran = pebble.deploy(status=5)
    assert "image app does not build" in ran.stderr
    assert "no such quarry" in ran.stderr


def test_values_that_a_build_could_copy_into_an_image_are_refused(pebble: Deployment) -> None:
    with pebble.edited(".dockerignore", "!app.py", "!app.py\n!.env.local"):
        ran = pebble.deploy(status=3)
    assert "build.app: .env.local" in ran.stderr
    assert ".dockerignore" in ran.stderr


def test_a_registry_that_is_down_is_named(pebble: Deployment) -> None:
    (closed,) = free_ports(1)
    line = next(line for line in (pebble.folder / "stack.yaml").read_text().splitlines() if "registry:" in line)
    with pebble.edited("stack.yaml", line, f"registry: 127.0.0.1:{closed}"):
        ran = pebble.deploy(status=5)
    assert f"127.0.0.1:{closed}" in ran.stderr


@pytest.mark.parametrize(
    ("mode", "step", "told"),
    [
        ("unmigratable", "migrate", "column pebbles.colour does not exist"),
        ("crash", "start web", "cannot open the quarry"),
        ("sick", "start web", "fails its health check"),
        ("wrong", "verify", "GET /: status 500, expected 200"),
    ],
)
def test_a_release_that_does_not_work_is_taken_back(pebble: Deployment, mode: str, step: str, told: str) -> None:
    with pebble.edited("app.py", 'MODE = "good"', f'MODE = "{mode}"'):
        ran = pebble.deploy(status=7)
    assert f"`{step}" in ran.stderr
    assert told in ran.stderr
    assert SERVES in ran.stderr
    assert "fix:" in ran.stderr


def test_a_service_that_never_gets_healthy_is_given_up(pebble: Deployment) -> None:
    with (
        pebble.edited("app.py", 'MODE = "good"', 'MODE = "slow"'),
        pebble.edited("stack.yaml", "healthy_within: 15s", "healthy_within: 2s"),
    ):
        ran = pebble.deploy(status=7)
    assert "web was not healthy after 2 s" in ran.stderr
    assert SERVES in ran.stderr


def test_without_an_engine_the_mend_is_told(pebble: Deployment) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{pebble.project}/no.sock"}
    for task in ("deploy", "status", "doctor"):
        ran = pebble.wharfinger(task, "--env", "local", status=4, environ=nowhere)
        assert "Docker Engine" in ran.stderr + ran.stdout
        assert "./run" in ran.stderr + ran.stdout


def test_a_lock_that_somebody_holds_names_the_holder(pebble: Deployment) -> None:
    lock = pebble.server / "lock"
    held = '{"user": "mara", "machine": "elsewhere", "pid": 7, "started": "1", "since": "2026-11-20T10:00:00Z"}'
    lock.write_text(held, encoding="utf-8")
    try:
        with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "locked out"'):
            ran = pebble.deploy(status=6)
        assert "mara@elsewhere" in ran.stderr
        assert lock.read_text(encoding="utf-8") == held, "a loser does not release it"
    finally:
        lock.unlink()


def test_a_deploy_that_must_be_confirmed_asks_for_yes(pebble: Deployment) -> None:
    with (
        pebble.edited("stack.yaml", "    server: local", "    server: local\n    confirm: true"),
        pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "unconfirmed"'),
    ):
        ran = pebble.deploy(status=8)
    assert "--yes" in ran.stderr


def test_a_taken_port_is_refused_before_anything_is_made(make_deployment: Callable[[Path], Deployment]) -> None:
    made = make_deployment(PEBBLE)
    with socket.create_server(("127.0.0.1", made.http_port)):
        ran = made.deploy(status=4)
        doctor = made.wharfinger("doctor", "--env", "local", status=4)
    assert f"port {made.http_port} is taken" in ran.stderr
    assert f"port {made.http_port}" in doctor.stdout
    assert not docker("ps", "--all", "--quiet", "--filter", f"name={made.name}")
    assert not made.server.parent.exists(), "the folder went with its lock: nothing else was in it"
