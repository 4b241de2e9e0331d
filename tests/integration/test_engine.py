"""Waiting for containers on a real engine: by its events, and never longer than needed."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from wharfinger.commands import compose
from wharfinger.engine import ONE_OFF, PROJECT, Container, Engine, Unhealthy
from wharfinger.errors import NotReady
from wharfinger.hosts.local import LocalHost

IMAGE: Final = "debian:trixie-slim"
FOREVER: Final = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
AFTER_A_SECOND: Final = {"test": ["CMD", "test", "-e", "/tmp/up"], "interval": "200ms", "retries": 100}
NEVER: Final = {"test": ["CMD", "false"], "interval": "200ms", "retries": 3}
SLOWLY: Final = {"test": ["CMD", "false"], "interval": "60s", "start_period": "60s"}

Start = Callable[..., str]


def shell(script: str, **more: Any) -> dict[str, Any]:
    """Return a service that runs a script, without privileges or a grace period."""
    return {"image": IMAGE, "command": ["sh", "-c", script], "stop_grace_period": "1s", "network_mode": "none", **more}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    if subprocess.run(("docker", "image", "inspect", IMAGE), capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{IMAGE} is not here; invoke images.build makes it")
    opened = Engine(None, host="local")
    yield opened
    opened.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give a function that starts services as a Compose project of their own and returns its name."""
    projects = []

    def starting(name: str = "", **services: dict[str, Any]) -> str:
        project = name or f"h-engine-{secrets.token_hex(4)}"
        projects.append(project)
        file = tmp_path / f"{project}.yaml"
        file.write_text(json.dumps({"services": services}))  # JSON is YAML
        LocalHost().run(compose.up(project, str(file)), timeout=120)
        return project

    yield starting
    for project in projects:
        LocalHost().run(compose.down(project, stop_within=0, volumes=True), timeout=120)


def wait(engine: Engine, project: str, timeout: float = 60, **expected: int) -> list[str]:
    """Wait for a project's health, and return what was noted of its progress."""
    notes: list[str] = []
    engine.wait_healthy(project, expected, timeout=timeout, note=notes.append)
    return notes


def test_it_returns_as_soon_as_every_service_is_healthy(engine: Engine, start: Start) -> None:
    project = start(
        api=shell(f"sleep 1; touch /tmp/up; {FOREVER}", healthcheck=AFTER_A_SECOND, scale=2),
        worker=shell(FOREVER),  # without a health check it only has to run
    )
    began = time.monotonic()

    notes = wait(engine, project, api=2, worker=1)

    assert time.monotonic() - began < 20
    assert notes[0] == "1 of 3 healthy"
    found = engine.project(project)
    assert [(c.service, c.state, c.health, c.is_ready) for c in found] == [
        ("api", "running", "healthy", True),
        ("api", "running", "healthy", True),
        ("worker", "running", "none", True),
    ]
    assert wait(engine, project, api=2, worker=1) == []  # and at once where there is nothing to wait for


def test_what_its_events_tell_is_not_asked_again(start: Start) -> None:
    """On the way to a server each question takes its time."""

    class Counting(Engine):
        looks = 0

        def project(self, name: str) -> tuple[Container, ...]:
            self.looks += 1
            return super().project(name)

    project = start(api=shell(f"sleep 1; touch /tmp/up; {FOREVER}", healthcheck=AFTER_A_SECOND, scale=2))
    engine = Counting(None, host="local")

    notes = wait(engine, project, api=2)

    assert notes[0] == "0 of 2 healthy"
    assert engine.looks == 1
    engine.close()


@pytest.mark.parametrize("restart", ["no", "unless-stopped"])
def test_a_container_that_crashes_at_start_is_told_at_once_with_its_last_words(
    engine: Engine, start: Start, restart: str
) -> None:
    crashing = shell("sleep 0.5; echo loading; echo KeyError: DATABASE_URL >&2; exit 3", restart=restart)
    project = start(api=crashing | {"healthcheck": SLOWLY}, worker=shell(FOREVER))
    began = time.monotonic()

    with pytest.raises(Unhealthy) as caught:
        wait(engine, project, timeout=120, api=1, worker=1)

    assert time.monotonic() - began < 30
    assert caught.value.problem == f"api exited with code 3 while starting ({project}-api-1)"
    assert set(caught.value.details) >= {"loading", "KeyError: DATABASE_URL"}


def test_a_container_that_fails_its_health_check_is_told_before_the_time_out(engine: Engine, start: Start) -> None:
    project = start(api=shell(f"echo no database; {FOREVER}", healthcheck=NEVER))

    with pytest.raises(Unhealthy) as caught:
        wait(engine, project, timeout=120, api=1)

    assert caught.value.problem == f"api fails its health check ({project}-api-1)"
    assert caught.value.details == ("no database",)


def test_the_time_out_names_who_was_waited_for(engine: Engine, start: Start) -> None:
    project = start(api=shell(f"echo still loading; {FOREVER}", healthcheck=SLOWLY), worker=shell(FOREVER))
    began = time.monotonic()

    with pytest.raises(Unhealthy) as caught:
        wait(engine, project, timeout=1.5, api=1, worker=1)

    assert 1.4 < time.monotonic() - began < 15
    assert caught.value.problem == f"api was not healthy after 1.5 s ({project}-api-1)"
    assert caught.value.details == ("still loading",)


def test_a_container_that_never_comes_is_told_too(engine: Engine, start: Start) -> None:
    project = start(worker=shell(FOREVER))

    with pytest.raises(Unhealthy, match=r"not every container was there after 0\.5 s"):
        wait(engine, project, timeout=0.5, worker=2)


def test_a_container_that_recovered_before_is_healthy(engine: Engine, start: Start) -> None:
    """A data service that Docker had to restart once must not block every later deploy."""
    script = f"test -e /seen || {{ touch /seen; exit 1; }}; touch /tmp/up; {FOREVER}"
    project = start(postgres=shell(script, restart="always", healthcheck=AFTER_A_SECOND))
    deadline = time.monotonic() + 30
    while not engine.project(project)[0].is_ready and time.monotonic() < deadline:
        time.sleep(0.1)
    assert engine.project(project)[0].restarts > 0

    assert wait(engine, project, postgres=1) == []


def test_another_project_neither_helps_nor_harms(engine: Engine, start: Start) -> None:
    """One name begins with the other, as two releases' and the data tier's do."""
    name = f"h-engine-{secrets.token_hex(4)}"
    healthy = start(name, api=shell(FOREVER))
    broken = start(f"{name}-20261120143000", api=shell("exit 1"), worker=shell(FOREVER))

    wait(engine, healthy, api=1)
    with pytest.raises(Unhealthy, match=f"{broken}-api-1"):
        wait(engine, broken, timeout=30, worker=1)
    assert [container.project for container in engine.project(healthy)] == [healthy]


def test_events_of_other_projects_do_not_prolong_the_wait(engine: Engine, start: Start) -> None:
    waited_for = start(api=shell(FOREVER, healthcheck=SLOWLY))
    noise = threading.Thread(target=lambda: [start(api=shell("true")) for _ in range(2)])
    noise.start()
    began = time.monotonic()

    with pytest.raises(Unhealthy, match="was not healthy after 2 s"):
        wait(engine, waited_for, timeout=2, api=1)

    assert time.monotonic() - began < 15
    noise.join()


def test_one_off_containers_are_no_part_of_a_tier(engine: Engine, start: Start) -> None:
    project = start(api=shell(FOREVER))
    labels = {PROJECT: project, "com.docker.compose.service": "migrate", ONE_OFF: "True"}
    options = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    LocalHost().run(
        ("docker", "run", "--name", f"{project}-migrate", *options, IMAGE, "false"), timeout=60, check=False
    )
    try:
        assert [container.service for container in engine.project(project)] == ["api"]
        wait(engine, project, api=1)
    finally:
        LocalHost().run(("docker", "rm", "--force", f"{project}-migrate"), timeout=60)


def test_images_and_volumes_are_found(engine: Engine, tmp_path: Path) -> None:
    project = f"h-engine-{secrets.token_hex(4)}"
    LocalHost().run(("docker", "volume", "create", "--label", f"{PROJECT}={project}", project), timeout=60)
    try:
        assert engine.volumes(project) == (project,)
    finally:
        LocalHost().run(("docker", "volume", "rm", project), timeout=60)
    assert engine.volumes(project) == ()
    assert engine.has_image(IMAGE)
    assert not engine.has_image(f"example.com/nothing@sha256:{'0' * 64}")


def test_where_no_engine_answers_the_mend_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotReady) as caught:
        Engine(f"unix://{tmp_path}/no.sock", host="vps1").version()

    assert caught.value.problem == "vps1: no Docker Engine answers: No such file or directory"
    assert "./run" in caught.value.fix


def test_the_version_is_that_of_the_engine(engine: Engine) -> None:
    said = LocalHost().run(("docker", "version", "--format", "{{.Server.Version}}"), timeout=60).stdout

    assert said.startswith(".".join(map(str, engine.version())))
