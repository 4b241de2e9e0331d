"""What is done to a release that serves, between deploys, while visitors ask it without a pause."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.killing import wait_for_edge
from tests.integration.deployments import PEBBLE, Deployment, docker
from tests.integration.load import Load, load_on


@pytest.fixture(scope="module")
def pebble(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A deployed pebble that says which of its replicas answers, beside a worker that no route leads to."""
    made = make_deployment(PEBBLE)
    made.edit("app.py", '"greeting": os.environ.get("GREETING")', '"by": os.environ["HOSTNAME"]')
    made.edit(
        "app.py",
        'if MODE == "tired":\n                time.sleep(0.4)',
        'if self.path == "/slow":\n                time.sleep(1)',
    )
    made.edit("stack.yaml", "  web:\n", "  worker:\n    image: app\n    command: [python, app.py]\n  web:\n")
    made.deploy()
    return made


def replicas(deployment: Deployment, service: str) -> list[str]:
    """Return the containers of a service, stopped ones too."""
    labels = (f"org.wharfinger.stack={deployment.name}", f"com.docker.compose.service={service}")
    found = docker("ps", "--all", "--quiet", *(word for label in labels for word in ("--filter", f"label={label}")))
    return sorted(found.split())


def assert_unharmed(load: Load) -> None:
    """Every request was answered, and well."""
    assert not load.failed
    assert set(load.answered) == {200}
    assert load.total > 50


def test_scaling_up_and_down_drops_no_request_and_is_balanced(pebble: Deployment) -> None:
    with (
        load_on(pebble) as load,
        load_on(pebble, method="POST", rate=20) as posts,
        load_on(pebble, "/slow", rate=4) as slow,  # which an app that ends at once on SIGTERM would not finish
    ):
        pebble.wharfinger("scale", "web=3", "--env", "local")
        up = replicas(pebble, "web")
        with load_on(pebble) as spread:
            pebble.wharfinger("status", "--env", "local")
        pebble.wharfinger("scale", "web=1", "--env", "local")
    assert_unharmed(load)
    assert (slow.failed, set(slow.answered)) == ([], {200})
    assert not posts.failed
    assert set(posts.answered) == {400}, "pebble answers every POST so that does not say what for"
    assert len(up) == 3
    assert {json.loads(body)["by"] for body in spread.served_by} == set(up), "each of the three answers"
    assert len(replicas(pebble, "web")) == 1


@pytest.mark.long
def test_a_scale_is_kept_by_later_deploys_and_rollbacks(pebble: Deployment) -> None:
    pebble.wharfinger("scale", "--env", "local", "web=2,worker=2")
    assert pebble.status()["scale"] == {"web": 2, "worker": 2}
    assert "already up to date" in pebble.deploy().stderr
    with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "two"'):
        pebble.deploy()
    assert (len(replicas(pebble, "web")), len(replicas(pebble, "worker"))) == (2, 2)
    pebble.wharfinger("rollback", "--env", "local")
    assert (len(replicas(pebble, "web")), len(replicas(pebble, "worker"))) == (2, 2)
    before = replicas(pebble, "web")
    folder = (pebble.server / "current").resolve()
    docker("compose", "--file", str(folder / "compose.yaml"), "up", "--detach", "--pull", "never")
    assert replicas(pebble, "web") == before, "plain Compose finds nothing to change"

    pebble.wharfinger("scale", "--env", "local", "reset")
    assert pebble.status()["scale"] == {}
    assert (len(replicas(pebble, "web")), len(replicas(pebble, "worker"))) == (1, 1)


@pytest.mark.long
def test_a_replica_that_does_not_get_healthy_changes_nothing(pebble: Deployment) -> None:
    before, slot = replicas(pebble, "web"), pebble.edge_folder / "sites" / f"{pebble.name}-local.live"
    live = slot.read_text(encoding="utf-8")
    with load_on(pebble) as load:
        compose = (pebble.server / "current").resolve() / "compose.yaml"
        good = compose.read_text(encoding="utf-8")
        compose.write_text(good.replace("app.py", "no-app.py"), encoding="utf-8")
        try:
            ran = pebble.wharfinger("scale", "--env", "local", "web=2", status=7)
        finally:
            compose.write_text(good, encoding="utf-8")
    assert_unharmed(load)
    assert "still serves" in ran.stderr
    assert replicas(pebble, "web") == before
    assert slot.read_text(encoding="utf-8") == live
    assert pebble.status()["scale"] == {}


@pytest.mark.long
def test_workers_are_scaled_where_they_are(pebble: Deployment) -> None:
    web, (worker,) = replicas(pebble, "web"), replicas(pebble, "worker")
    pebble.wharfinger("scale", "--env", "local", "worker=3")
    assert len(replicas(pebble, "worker")) == 3
    assert worker in replicas(pebble, "worker")
    pebble.wharfinger("scale", "--env", "local", "worker=1")
    assert len(replicas(pebble, "worker")) == 1
    assert replicas(pebble, "web") == web


@pytest.mark.parametrize("counts", ["web=0", "web", "web=many", "=2", "wep=2", "web=65"])
def test_a_scale_that_cannot_be_is_refused(pebble: Deployment, counts: str) -> None:
    ran = pebble.wharfinger("scale", "--env", "local", counts, status=2)
    assert "fix: " in ran.stderr


@pytest.mark.long
def test_a_restart_starts_every_replica_anew_and_drops_no_request(pebble: Deployment) -> None:
    before = replicas(pebble, "web") + replicas(pebble, "worker")
    release = pebble.status()["release"]
    with load_on(pebble) as load:
        pebble.wharfinger("restart", "--env", "local")
    assert_unharmed(load)
    after = replicas(pebble, "web") + replicas(pebble, "worker")
    assert len(after) == len(before)
    assert not set(after) & set(before)
    assert pebble.status()["release"] == release
    assert "already up to date" in pebble.deploy().stderr


@pytest.mark.long
def test_a_worker_is_restarted_alone(pebble: Deployment) -> None:
    web, worker = replicas(pebble, "web"), replicas(pebble, "worker")
    pebble.wharfinger("restart", "--env", "local", "--service", "worker")
    assert replicas(pebble, "web") == web
    assert len(replicas(pebble, "worker")) == 1
    assert replicas(pebble, "worker") != worker


def client_address(deployment: Deployment) -> str:
    """Return the address by which the edge knows this machine."""
    deployment.request("/who-am-i")
    lines = docker("logs", "--tail", "20", f"{deployment.edge}-nginx-1").splitlines()
    return next(str(json.loads(line)["client"]) for line in lines if "/who-am-i" in line)


@pytest.fixture
def closed(pebble: Deployment) -> Iterator[Deployment]:
    """The pebble, under maintenance until the test is over."""
    pebble.wharfinger("maintenance", "on", "--env", "local")
    yield pebble
    pebble.wharfinger("maintenance", "off", "--env", "local")
    assert pebble.request("/").status == 200
    assert pebble.status()["maintenance"] is None


@pytest.mark.long
def test_maintenance_begins_and_ends_without_a_lost_connection(pebble: Deployment) -> None:
    with load_on(pebble) as load, load_on(pebble, "/health", rate=300) as watched:
        pebble.wharfinger("maintenance", "on", "--env", "local")
        refused = pebble.request("/any", method="POST", body=b"x" * 100_000)
        pebble.wharfinger("maintenance", "off", "--env", "local")
        pebble.wharfinger("status", "--env", "local")
    assert not load.failed
    assert set(load.answered) == {200, 503}
    assert_unharmed(watched)
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "120"
    assert refused.headers["X-Content-Type-Options"] == "nosniff", "the site's own headers stay"
    assert pebble.domain in refused.body.decode()
    assert pebble.request("/").status == 200


@pytest.mark.long
def test_maintenance_survives_a_deploy_and_a_restart_of_the_edge(closed: Deployment) -> None:
    with closed.edited("app.py", 'VERSION = "one"', 'VERSION = "kept closed"'), load_on(closed) as load:
        closed.deploy()
    assert not load.failed
    assert set(load.answered) == {503}
    docker("restart", f"{closed.edge}-nginx-1")
    wait_for_edge(closed)
    assert closed.wharfinger("health", "--env", "local").status == 0
    assert closed.request("/").status == 503
    assert closed.status()["maintenance"] == {"allow": []}
    assert "under maintenance" in closed.wharfinger("status", "--env", "local").stdout


@pytest.mark.long
def test_only_those_who_may_pass_do(pebble: Deployment) -> None:
    address = client_address(pebble)
    network = str(ipaddress.ip_network(f"{address}/13", strict=False))
    try:
        for allowed, status in ((address, 200), (network, 200), ("203.0.113.7", 503), ("2001:db8::/32", 503)):
            pebble.wharfinger("maintenance", "on", "--env", "local", "--allow", allowed, "--allow", "198.51.100.1")
            assert pebble.request("/").status == status, allowed
            assert pebble.request("/", headers={"X-Wharfinger-Pass": "on"}).status == status
    finally:
        pebble.wharfinger("maintenance", "off", "--env", "local")


def test_health_says_what_is_not_well(pebble: Deployment) -> None:
    ran = pebble.wharfinger("health", "--env", "local", "--json")
    assert json.loads(ran.stdout)["healthy"] is True
    docker("pause", worker := replicas(pebble, "worker")[0])
    try:
        ran = pebble.wharfinger("health", "--env", "local", status=1)
    finally:
        docker("unpause", worker)
    assert "is paused" in ran.stdout


def test_a_command_runs_inside_a_service_word_for_word(pebble: Deployment) -> None:
    inside = ("exec", "--env", "local", "--service")
    script = "import sys; print(sys.argv[1:]); sys.exit(9)"
    ran = pebble.wharfinger(*inside, "web", "--", "python", "-c", script, "two words", "$HOME", status=9)
    assert ran.stdout.strip() == "['two words', '$HOME']"
    assert pebble.wharfinger(*inside, "postgres", "--", "psql", "-U", "postgres", "-Atc", "select 6*7").stdout == "42\n"
    assert "there is: worker, web, postgres" in pebble.wharfinger(*inside, "wep", "--", "true", status=2).stderr
    assert "which command?" in pebble.wharfinger(*inside, "web", status=2).stderr


@pytest.mark.long
def test_a_page_of_ones_own_is_shown(pebble: Deployment) -> None:
    own = pebble.project / "templates" / "maintenance.html.j2"
    own.parent.mkdir()
    own.write_text("<p>The quarry of {{ stack }} is closed\n", encoding="utf-8")
    try:
        pebble.wharfinger("maintenance", "on", "--env", "local")
        assert pebble.request("/").body.decode() == f"<p>The quarry of {pebble.name} is closed\n"
    finally:
        own.unlink()
        pebble.wharfinger("maintenance", "off", "--env", "local")
