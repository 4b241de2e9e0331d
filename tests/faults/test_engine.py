"""An engine that is restarted in the middle of a deploy: one of its own, since the machine's serves others."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults.harness import wait_until
from tests.integration import deployments
from tests.integration.deployments import PEBBLE, Deployment

pytestmark = pytest.mark.long

IMAGES = ("nginx:1.30", "python:3.13-slim", "registry:2")
# Its own network (and so its own firewall rules and ports), its own /run, and whoever restarts it when it ends.
BEGIN = """
mount -t tmpfs none /run
ip link set lo up
while :; do
    dockerd --data-root "$0/data" --exec-root /run/docker --pidfile /run/docker.pid --host "unix://$0/docker.sock"
    sleep 0.5
done >"$0/log" 2>&1
"""


@dataclass(frozen=True)
class OwnEngine:
    """A Docker Engine in namespaces of its own, on this machine's files."""

    folder: Path
    init: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def inside(self, *argv: str, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Begin a command where the engine's ports are this machine's."""
        return subprocess.Popen(
            ("nsenter", f"--net=/proc/{self._children(self.init.pid)[0]}/ns/net", *argv),
            env={**os.environ, "DOCKER_HOST": self.url, "WHARFINGER_REGISTRY_PORT": "5055", **(environ or {})},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *argv: str, environ: dict[str, str] | None = None, check: bool = True) -> str:
        """Run a command there and return what it printed."""
        process = self.inside(*argv, environ=environ)
        out, _ = process.communicate(timeout=300)
        assert not check or process.returncode == 0, f"{argv}: {out}"
        return out.strip()

    def answers(self) -> bool:
        """Whether the engine does."""
        done = subprocess.run(("docker", "-H", self.url, "version"), capture_output=True, timeout=30, check=False)
        return done.returncode == 0

    def restart(self) -> None:
        """End the engine as its package's upgrade does; it comes back by itself."""
        (shell,) = self._children(self.init.pid)
        daemon = next(pid for pid in self._children(shell) if "dockerd" in Path(f"/proc/{pid}/comm").read_text())
        os.kill(daemon, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{daemon}").exists(), "the engine does not end")
        wait_until(self.answers, "the engine is not back")

    @staticmethod
    def _children(pid: int) -> list[int]:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[OwnEngine]:
    """A Docker Engine of this test's own, with the stock images that it needs."""
    if os.geteuid() != 0 or any(shutil.which(name) is None for name in ("unshare", "nsenter", "dockerd")):
        pytest.skip("only root can begin another engine")
    folder = tmp_path / "engine"
    folder.mkdir()
    spaces = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    init = subprocess.Popen((*spaces, "sh", "-c", BEGIN, str(folder)), stdin=subprocess.DEVNULL)
    own = OwnEngine(folder, init)
    try:
        wait_until(own.answers, "the engine does not start", within=60)
        with subprocess.Popen(("docker", "save", *IMAGES), stdout=subprocess.PIPE) as saved:
            subprocess.run(("docker", "-H", own.url, "load", "--quiet"), stdin=saved.stdout, check=True, timeout=300)
        yield own
    finally:
        with suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
            listed = ("docker", "-H", own.url, "ps", "-aq")
            left = subprocess.run(listed, capture_output=True, text=True, timeout=30, check=True).stdout.split()
            subprocess.run(("docker", "-H", own.url, "rm", "-fv", *left), timeout=60, check=True)
        init.kill()
        init.wait()
        shutil.rmtree(folder / "data")


@pytest.fixture
def pebble(engine: OwnEngine, tmp_path: Path) -> Deployment:
    """A pebble without a database, on that engine."""
    made = deployments.make(tmp_path / "project", PEBBLE, f"t{secrets.token_hex(4)}", "127.0.0.1:5055")
    text = (made.folder / "stack.yaml").read_text(encoding="utf-8")
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("registry:"))
    for section, following in (("migrate:\n", "site:\n"), ("  POSTGRES_PASSWORD:\n", "  GREETING:\n")):
        before, _, rest = text.partition(section)
        text = before + following + rest.partition(following)[2]
    (made.folder / "stack.yaml").write_text(text, encoding="utf-8")
    return made


def environ_of(deployment: Deployment) -> dict[str, str]:
    """Return the environment of Wharfinger's commands there."""
    return {
        "WHARFINGER_ROOT": str(deployment.project / "server"),
        "NO_COLOR": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def command(deployment: Deployment, task: str) -> tuple[str, ...]:
    """Return the command that runs a task there."""
    return ("env", f"--chdir={deployment.project}", sys.executable, "-m", "wharfinger", task, "--env", "local")


def test_where_no_addresses_are_left_for_another_network_the_mend_is_told(
    engine: OwnEngine, pebble: Deployment
) -> None:
    environ = environ_of(pebble)
    engine.run(*command(pebble, "push"), environ=environ)  # which starts the registry, in a network of its own
    engine.run("sh", "-c", "n=0; while docker network create used$n; do n=$((n + 1)); done", check=False)
    said = engine.run(*command(pebble, "deploy"), environ=environ, check=False)
    assert f"error: `start the edge` failed: local: Docker did not make the network {pebble.edge} beside the" in said
    assert "fix: where it has no addresses left, docker network prune" in said
    assert "nothing serves: there was no release before" in said
    assert "Traceback" not in said

    engine.run("docker", "network", "prune", "--force")
    engine.run(*command(pebble, "deploy"), environ=environ)


def test_an_engine_that_is_restarted_in_mid_deploy_leaves_the_old_release(
    engine: OwnEngine, pebble: Deployment
) -> None:
    environ, deploy = environ_of(pebble), command(pebble, "deploy")
    url, host = f"http://127.0.0.1:{pebble.http_port}/", {"Host": pebble.domain}
    opened = f"r.build_opener(r.ProxyHandler({{}})).open(r.Request({url!r}, headers={host}), timeout=5)"
    ask = f"import urllib.request as r; print({opened}.read())"

    def served() -> str:
        return engine.run(sys.executable, "-c", ask, check=False)

    def app_tier() -> list[str]:
        mine = f"label=org.wharfinger.stack={pebble.name}"
        return engine.run("docker", "ps", "--all", "--format", "{{.Names}}", "--filter", mine).split()

    engine.run(*deploy, environ=environ)
    assert '"one"' in served()
    before = app_tier()

    with pebble.edited("app.py", 'MODE = "good"', 'MODE = "slow"'):
        deploying = engine.inside(*deploy, environ=environ)
        wait_until(lambda: len(app_tier()) > len(before), "the new tier does not start")
        engine.restart()
        said, _ = deploying.communicate(timeout=120)
    assert deploying.returncode == 7, said
    assert "error: `start web` failed" in said
    assert "still serves" in said
    assert "Traceback" not in said
    wait_until(lambda: '"one"' in served(), "the old release does not serve again", within=30)

    engine.run(*deploy, environ=environ)
    assert '"one"' in served()
    assert len(app_tier()) == len(before), "what the restart left of the new tier is gone"
    assert not (pebble.server / "lock").exists()
