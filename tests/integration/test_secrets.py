"""Secrets under watch: canary values in every one of them, searched for in all that a deploy leaves, shows or runs."""

from __future__ import annotations

import json
import os
import secrets
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from tests.integration.deployments import PEBBLE, Deployment, docker

GOOD: Final = 'MODE = "good"'
BUILD: Final = """\
FROM python:3.13-slim
RUN --mount=type=secret,id=from_env --mount=type=secret,id=from_file \\
    test -s /run/secrets/from_env && test -s /run/secrets/from_file
COPY app.py /app/
"""
SOURCES: Final = "  app: {secrets: [{id: from_env, env: BUILD_CANARY}, {id: from_file, file: build.secret}]}"
CONTRACT: Final = """\
env:
  API_TOKEN:
    meaning: What the app shows to somebody else's API
    secret: true
    services: [web]
"""
VALUES: Final = (".env", ".env.local", "build.secret")
"""The files that may hold a secret."""


@dataclass(frozen=True)
class Canaries:
    """One value for each kind of secret, found nowhere else."""

    password: str = field(default_factory=lambda: secrets.token_hex(16))
    token: str = field(default_factory=lambda: secrets.token_hex(20))
    build_env: str = field(default_factory=lambda: secrets.token_hex(20))
    build_file: str = field(default_factory=lambda: secrets.token_hex(20))

    @property
    def contract(self) -> tuple[str, ...]:
        """Those that only services and data services get."""
        return self.password, self.token

    def found_in(self, text: str | bytes) -> list[str]:
        """Return the names of those that a text holds."""
        content = text.encode() if isinstance(text, str) else text
        return [name for name, value in vars(self).items() if value.encode() in content]


@dataclass
class Processes:
    """What `ps` could have shown of every process outside containers."""

    arguments: set[bytes] = field(default_factory=set)
    environments: set[bytes] = field(default_factory=set)

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Look again and again as long as the block runs."""
        ended = threading.Event()
        sampler = threading.Thread(target=self._sample_until, args=(ended,), daemon=True)
        sampler.start()
        try:
            yield
        finally:
            ended.set()
            sampler.join(60)

    def _sample_until(self, ended: threading.Event) -> None:
        while not ended.wait(0.003):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    self.arguments.add((process / "cmdline").read_bytes())
                    if b"docker" not in (process / "cgroup").read_bytes():
                        self.environments.add((process / "environ").read_bytes())
                except OSError:
                    continue  # it has ended, or is another user's


@dataclass(frozen=True)
class Watched:
    """A deployment with canaries, and what all commands on it have said."""

    deployment: Deployment
    canaries: Canaries
    said: dict[str, str] = field(default_factory=dict)
    processes: Processes = field(default_factory=Processes)

    def run(self, *words: str, why: str = "", status: int = 0) -> str:
        """Run the real command, and remember what it said; a traceback is allowed, since `--debug` shows it."""
        done = subprocess.run(
            (sys.executable, "-m", "wharfinger", *words),
            cwd=self.deployment.project,
            env={
                **os.environ,
                "WHARFINGER_ROOT": str(self.deployment.project / "server"),
                "BUILD_CANARY": self.canaries.build_env,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        text = done.stdout + done.stderr
        self.said[f"{' '.join(words)} {why}"] = text
        assert done.returncode == status, f"{words} exited {done.returncode}:\n{text}"
        return text


@pytest.fixture(scope="module", params=["a deploy", pytest.param("everything", marks=pytest.mark.long)])
def watched(make_deployment: Callable[[Path], Deployment], request: pytest.FixtureRequest) -> Watched:
    """A deployment with canaries: only deployed, or everything was done to it, failures at each stage among that."""
    made, canaries = make_deployment(PEBBLE), Canaries()
    (made.folder / "Dockerfile").write_text(BUILD + (made.folder / "Dockerfile").read_text().partition("app/\n")[2])
    made.edit("stack.yaml", "  app: {}", SOURCES)
    made.edit("stack.yaml", "env:\n", CONTRACT)
    env_file = made.folder / ".env.local"
    env_file.write_text(f"POSTGRES_PASSWORD={canaries.password}\nAPI_TOKEN={canaries.token}\n")
    env_file.chmod(0o600)
    (made.folder / "build.secret").write_text(canaries.build_file)
    seen = Watched(made, canaries)
    here = ("--env", "local")
    with seen.processes.sampled():
        seen.run("--debug", "deploy", *here)
    with made.edited(".env.local", canaries.token, f"{canaries.token}changed"):
        seen.run("render", *here, "--diff")
        assert "values changed: API_TOKEN" in seen.run("deploy", *here, "--plan", why="of changed values")
    if request.param == "everything":
        everything(seen)
    return seen


def everything(seen: Watched) -> None:
    """Deploy again, fail at each stage, roll back, and look at all there is to see."""
    made, here = seen.deployment, ("--env", "local")
    seen.run("env.check", *here, "--json")
    with made.edited("app.py", '"one"', '"two"'):
        seen.run("deploy", *here, "--plan")
        seen.run("deploy", *here, why="again")
    failures(seen)
    seen.run("--debug", "rollback", *here)
    seen.run("status", *here, "--json")
    seen.run("releases", *here, "--json")
    seen.run("logs", *here, "--service", "web")
    seen.run("logs", *here, "--service", "postgres")
    seen.run("--debug", "doctor", *here)
    seen.run("render", *here)
    seen.run("env.example")


def failures(seen: Watched) -> None:
    """Let deploys fail at every stage that sees a secret, with and without `--debug`."""
    made, deploy = seen.deployment, ("deploy", "--env", "local")
    with made.edited(".env.local", "POSTGRES_PASSWORD=", "POSTGRES_PASSWORD=not hex: "):
        seen.run(*deploy, why="with a bad value", status=3)
        seen.run("env.check", "--env", "local", why="with a bad value", status=3)
    with made.edited("Dockerfile", "    test -s", "    cat /run/secrets/*; false && test -s"):
        shown = seen.run(*deploy, why="whose build prints its secrets", status=5)
        assert "***" in shown, "they were masked, not cut off"
    for mode in ("unmigratable", "crash", "wrong"):
        with made.edited("app.py", GOOD, f'MODE = "{mode}"'):
            if mode == "crash":
                seen.run("--debug", *deploy, why=mode, status=1)  # Python's own status for a traceback
            else:
                seen.run(*deploy, why=mode, status=7)


def test_nothing_that_was_said_holds_a_secret(watched: Watched) -> None:
    holding = {why: watched.canaries.found_in(text) for why, text in watched.said.items()}
    assert {why: found for why, found in holding.items() if found} == {}


def test_only_files_of_values_hold_secrets_and_only_their_owner_may_read_them(watched: Watched) -> None:
    holding = [
        path
        for path in watched.deployment.project.rglob("*")
        if path.is_file() and watched.canaries.found_in(path.read_bytes())
    ]
    assert {path.name for path in holding} == set(VALUES)
    written = [path for path in holding if path.name != "build.secret"]  # which the user wrote
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    assert list((watched.deployment.server / "journal").iterdir()), "journals were among the files searched"
    assert (watched.deployment.project / "build").is_dir(), "so was build/"


def test_no_process_had_a_secret_among_its_arguments_or_in_its_environment(watched: Watched) -> None:
    seen = b"\n".join(watched.processes.arguments)
    for program in (b"wharfinger", b"buildx", b"compose", b"pg_dump", b"psql"):
        assert program in seen, "the deploy was sampled"
    assert watched.canaries.found_in(seen) == []
    held = b"\n".join(watched.processes.environments)
    assert "build_env" in watched.canaries.found_in(held), "the user's own variable is seen where it belongs"
    assert not set(watched.canaries.found_in(held)) & {"password", "token", "build_file"}


def test_images_hold_no_secret_in_any_layer_or_line_of_history(watched: Watched, tmp_path: Path) -> None:
    images = sorted(
        set(docker("image", "ls", "--quiet", "--filter", f"reference=*/{watched.deployment.name}/*").split())
    )
    assert images
    for image in images:
        assert watched.canaries.found_in(docker("image", "inspect", image)) == []
        assert watched.canaries.found_in(docker("history", "--no-trunc", image)) == []
    archive = tmp_path / "image.tar"
    docker("save", "--output", str(archive), images[0])
    assert watched.canaries.found_in(archive.read_bytes()) == []


def test_containers_know_secrets_by_their_environment_only(watched: Watched) -> None:
    names = docker("ps", "--quiet", "--filter", f"name={watched.deployment.name}").split()
    holders = {}
    for facts in json.loads(docker("inspect", *names)):
        environment = " ".join(facts["Config"].pop("Env"))
        holders[facts["Config"]["Labels"]["com.docker.compose.service"]] = watched.canaries.found_in(environment)
        assert watched.canaries.found_in(json.dumps(facts)) == []
    assert holders == {"web": ["token"], "postgres": ["password"], "nginx": []}, "each has only its own"
