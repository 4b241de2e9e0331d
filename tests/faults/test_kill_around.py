"""Runs that are killed in what not every deploy has, and in what is done between deploys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults import killing
from tests.faults.killing import change, current, patient, recovered, serves
from tests.integration.deployments import PEBBLE, Deployment, docker
from tests.integration.test_recreate import SCHEDULER

SERVICES = """\
  worker:
    image: app
    command: [python, app.py, worker]
    healthcheck: {test: [python, app.py, works], interval: 1s, start_period: 60s}
    mem_limit: 64m
"""
SEED = "seed:\n  image: app\n  command: [python, app.py, seed]\n"
LATENCY = "  - {path: /, timeout: 2s}\n"
HOOKS = """\
hooks:
  before_deploy:
    - {command: [sh, -c, sleep 0.5]}
    - {service: web, command: [python, -c, import time; time.sleep(0.5)]}
  after_deploy:
    - {command: [sh, -c, sleep 0.5]}
    - {service: web, command: [python, -c, import time; time.sleep(0.5)]}
"""
CONTAINERS = ("web-1", "worker-1", "scheduler-1")


@pytest.fixture(scope="module")
def pebble(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A deployed pebble that has of everything but hooks."""
    made = patient(make_deployment(PEBBLE))
    migrate = "  command: [python, app.py, migrate]\n"
    made.edit("stack.yaml", "  cache: {enabled: false}", "  cache: {enabled: false}\n  upload_limit: 1m")
    made.edit("stack.yaml", migrate, f"{migrate}  check: [python, app.py, at-head]\n{SEED}")
    made.edit("stack.yaml", "migrate:\n", f"{SERVICES}{SCHEDULER}migrate:\n")
    made.edit("stack.yaml", "site:\n", "volumes: {turns: {}}\nsite:\n")
    made.edit("stack.yaml", LATENCY, f"{LATENCY}  - latency: {{path: /, samples: 5, floor: 5s}}\n")
    made.deploy()
    return made


def long(*points: str) -> list[object]:
    return [pytest.param(point, marks=pytest.mark.long) for point in points]


def second(event: str, verb: str, later: str = "") -> str:
    """Return the point of a verb that comes twice."""
    return f"pass:{event} {verb},kill:{event} {verb}{later}"


RARE = (
    *(f"kill:{event} {verb}" for event in ("started", "done") for verb in ("BeforeHook", "CheckMigrations", "Measure")),
    *(f"kill:{event} {verb}" for event in ("started", "done") for verb in ("Prune", "AfterHook")),
    *(f"kill:started {middle}" for middle in ("BeforeHook+0.2", "CheckMigrations+0.2", "StopFirst+0.1", "Prune+0.01")),
    *(second(event, verb) for event in ("started", "done") for verb in ("BeforeHook", "StartApp", "AfterHook")),
    *(second("started", verb, "+0.4") for verb in ("BeforeHook", "StartApp", "AfterHook")),
)


def _killed_and_put_right(pebble: Deployment, points: str) -> None:
    before, release = serves(pebble), current(pebble)
    after = change(pebble)
    with killing.visitors(pebble) as seen:
        killed = killing.hit(pebble, points, "deploy", "--env", "local")
        assert killed.returncode == -9, killed.stderr
        committed = current(pebble) != release
        recovered(pebble, "finished" if committed else "reverted", containers=CONTAINERS)
    assert seen.failures == []
    assert serves(pebble) == (after if committed else before)
    turns = (pebble.server / "shared" / "turns" / "turns").read_text(encoding="utf-8").split()
    assert turns[-1] == f"begin-{serves(pebble)}", "the scheduler of the release that serves is at work"
    pebble.deploy()
    assert serves(pebble) == after


@pytest.mark.parametrize("points", long("kill:started StopFirst", "kill:done StopFirst", *RARE))
def test_a_killed_deploy_leaves_nothing_of_what_is_rare(pebble: Deployment, points: str) -> None:
    if "Prune" in points:  # two releases, so that a third is one too many
        change(pebble)
        pebble.deploy()
    hooks = HOOKS if "Hook" in points else ""
    with pebble.edited("stack.yaml", "deploy:\n", f"{hooks}deploy:\n"):
        _killed_and_put_right(pebble, points)


@pytest.mark.long
@pytest.mark.parametrize("point", ["started StartAgain", "done StartAgain"])
def test_a_recovery_is_killed_as_it_starts_again_what_was_stopped(pebble: Deployment, point: str) -> None:
    change(pebble)
    assert killing.hit(pebble, "kill:done StopFirst", "deploy", "--env", "local").returncode == -9
    assert killing.hit(pebble, f"kill:{point}", "recover", "--env", "local").returncode == -9
    recovered(pebble, "reverted", containers=CONTAINERS)


@pytest.mark.long
def test_a_hook_that_would_go_on_for_long_is_ended_with_its_container(pebble: Deployment) -> None:
    head, _, after = HOOKS.partition("after_deploy")
    hooks = f"{head}after_deploy{after.replace('time.sleep(0.5)', 'time.sleep(90)')}"
    with pebble.edited("stack.yaml", "deploy:\n", f"{hooks}deploy:\n"):
        change(pebble)
        points = second("started", "AfterHook", "+1")
        assert killing.hit(pebble, points, "deploy", "--env", "local").returncode == -9
        recovered(pebble, "finished", containers=CONTAINERS)


@pytest.mark.long
@pytest.mark.parametrize("point", ["started Seed", "started Seed+0.3", "done Seed"])
def test_a_killed_seed_is_sown_once(pebble: Deployment, point: str) -> None:
    mark = pebble.server / "shared" / "seeded.json"
    mark.unlink(missing_ok=True)
    change(pebble)
    assert killing.hit(pebble, f"kill:{point}", "up", "--env", "local").returncode == -9
    sown = mark.exists()
    assert sown == (point == "done Seed") or "+" in point
    recovered(pebble, "reverted", containers=CONTAINERS)
    assert mark.exists() == sown, "what was written stays, and so does the mark"
    assert ("seed …" not in pebble.wharfinger("up", "--env", "local").stderr) == sown
    assert mark.exists()


@pytest.mark.parametrize("point", long("build", "build+0.3", "push"))
def test_what_is_killed_before_the_server_is_touched_is_in_nobodys_way(pebble: Deployment, point: str) -> None:
    files, after = sorted(pebble.server.rglob("*")), change(pebble)
    assert killing.hit(pebble, f"kill:{point}", "deploy", "--env", "local").returncode == -9
    assert sorted(pebble.server.rglob("*")) == files
    assert "nothing to recover" in pebble.wharfinger("recover", "--env", "local").stderr
    pebble.deploy()
    assert serves(pebble) == after


def replicas(deployment: Deployment) -> list[str]:
    """Return the containers of the release that serves, without what their names begin with."""
    beginning = f"{deployment.name}-local-{current(deployment)}-"
    found = docker("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={beginning}").split()
    return [name.removeprefix(beginning) for name in found]


def counted(deployment: Deployment) -> Counter[str]:
    return Counter(name.partition("-")[0] for name in replicas(deployment))


ANEW = ("StartMore", "Switch", "Verify", "Record", "RetireReplicas")
WEB = (*(f"{event} {verb}" for verb in ("KeepScale", *ANEW) for event in ("started", "done")), "started StartMore+0.4")
WORKER = tuple(f"{event} {verb}" for verb in ("KeepScale", "StartMore") for event in ("started", "done"))
FEWER = tuple(f"{event} {verb}" for verb in ("KeepScale", "RetireReplicas") for event in ("started", "done"))
RESTART = tuple(f"{event} {verb}" for verb in ("StartMore", "RetireReplicas") for event in ("started", "done"))


def cases(task: str, points: tuple[str, ...], few: tuple[str, ...] = ()) -> list[object]:
    """Return a task with each of its points; the few that stand for all are not marked as long."""
    return [pytest.param(task, point, marks=() if point in few else pytest.mark.long) for point in points]


@pytest.mark.parametrize(
    ("task", "point"),
    [
        *cases("scale web=2", WEB, ("done Switch",)),
        *cases("scale worker=2", (*WORKER, "started StartMore+0.4"), ()),
        *cases("scale web=1,worker=1", FEWER),
        *cases("restart", (*(f"{event} {verb}" for verb in ANEW for event in ("started", "done")),)),
        *cases("restart --service worker", (*RESTART, "started RetireReplicas+0.1")),
    ],
)
def test_a_killed_scale_or_restart_is_finished_or_reverted(pebble: Deployment, task: str, point: str) -> None:
    if task == "scale web=1,worker=1":
        pebble.wharfinger("scale", "worker=2", "--env", "local")
    before, scale = counted(pebble), pebble.status()["scale"]
    name, *words = task.split()
    with killing.visitors(pebble) as seen:
        assert killing.hit(pebble, f"kill:{point}", name, "--env", "local", *words).returncode == -9
        ran = pebble.wharfinger("recover", "--env", "local")
    assert seen.failures == []
    finished = "and is finished" in ran.stderr
    assert finished != ("and is reverted" in ran.stderr), ran.stderr
    after = before + Counter()
    if finished and name == "scale":
        after |= Counter(web=2) if "web=2" in task else Counter(worker=2) if "worker=2" in task else Counter()
        after = Counter(web=1, worker=1, scheduler=1) if "web=1" in task else after
    assert counted(pebble) == after
    assert (pebble.status()["scale"] != scale) == (finished and name == "scale")
    assert killing.remains(pebble, release=current(pebble), containers=replicas(pebble)) == []
    assert killing.processes(pebble) == []
    assert "nothing to recover" in pebble.wharfinger("recover", "--env", "local").stderr
    there = replicas(pebble)
    folder = (pebble.server / "current").resolve()
    docker("compose", "--file", str(folder / "compose.yaml"), "up", "--detach", "--pull", "never")
    assert sorted(replicas(pebble)) == sorted(there), "plain Compose finds nothing to change"
    pebble.wharfinger("scale", "reset", "--env", "local")
    assert counted(pebble) == Counter(web=1, worker=1, scheduler=1)


CLOSING = ("started CloseSite", "write NAME.html", "write NAME.maintenance", "done CloseSite")
OPENING = ("started OpenSite", "remove NAME.maintenance", "remove NAME.html", "done OpenSite")


@pytest.mark.parametrize(("state", "point"), [*cases("on", CLOSING, ("write NAME.html",)), *cases("off", OPENING)])
def test_a_killed_maintenance_is_settled(pebble: Deployment, state: str, point: str) -> None:
    point, containers = point.replace("NAME", f"{pebble.name}-local"), replicas(pebble)
    if state == "off":
        pebble.wharfinger("maintenance", "on", "--env", "local")
    assert killing.hit(pebble, f"kill:{point}", "maintenance", state, "--env", "local").returncode == -9
    assert "was cut off" in pebble.wharfinger("status", "--env", "local").stderr
    written = point.startswith(("done", "remove")) or point.endswith(".maintenance")
    recovered(pebble, "finished" if written else "reverted", containers=containers)
    closed = pebble.status()["maintenance"] is not None
    assert pebble.request("/").status == (503 if closed else 200)
    docker("restart", f"{pebble.edge}-nginx-1")
    killing.wait_for_edge(pebble)
    assert pebble.request("/").status == (503 if closed else 200), "and so it stays"
    pebble.wharfinger("maintenance", "off", "--env", "local")
    assert pebble.request("/").status == 200
    assert killing.remains(pebble, release=current(pebble), containers=containers) == []
