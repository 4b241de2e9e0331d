"""A sandbox that all tests of a session share, whichever worker runs them."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration import forked
from tests.integration.deployments import PEBBLE, Deployment, Ran, docker

from wharfinger.commands.sandbox import address_in

_WITHIN = 300
_ENVIRONMENTS = """\
environments:
  first: {server: vps1, domain: first.example.com}
  second: {server: vps2, domain: second.example.com, edge: {http_port: 8080, https_port: 8443}}
  fresh: {server: bare, domain: fresh.example.com}
"""


@dataclass(frozen=True)
class TestSandbox:
    """A sandbox of a project of its own, whose stack has an environment on each server: first, second and fresh.

    The second server has an Nginx of its own, beside whose ports an edge takes others.
    """

    __test__ = False
    project: Path
    name: str

    @property
    def compose_project(self) -> str:
        """Its Compose project."""
        return f"wharfinger-sandbox-{self.name}"

    @property
    def ssh_config(self) -> Path:
        """What leads to its servers."""
        return self.project / "build" / "sandbox" / self.name / "ssh_config"

    def wharfinger(self, *words: str, status: int = 0) -> Ran:
        """Run the real command in the project; fail unless it exits as expected."""
        added = {"NO_COLOR": "1", "WHARFINGER_SSH_CONFIG": str(self.ssh_config), "SSH_AUTH_SOCK": ""}
        done = forked.run(("wharfinger", *words), cwd=self.project, env=os.environ | added, timeout=_WITHIN)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == status, f"{words} exited {done.returncode}:\n{done.stderr}"
        return Ran(done.returncode, done.stdout, done.stderr)

    def status(self) -> dict[str, Any]:
        """Return what `sandbox.status --json` says."""
        found: dict[str, Any] = json.loads(self.wharfinger("sandbox.status", "--name", self.name, "--json").stdout)
        return found

    def ssh(self, server: str, *words: str, stdin: str = "", check: bool = True) -> str:
        """Run a command on a server as its user for deploys (`root@vps1`: as root) and return what it printed."""
        done = subprocess.run(
            ("ssh", "-F", str(self.ssh_config), "-o", "BatchMode=yes", server, *words),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{words} on {server}: {done.stderr}"
        return done.stdout.strip()

    def curl(self, server: str, authority: str, domain: str, path: str, *words: str) -> bytes:
        """Ask a site of a server by its name over HTTPS, trusting a file of the sandbox; fail unless it is served."""
        address = address_in(self.ssh_config.read_text(encoding="utf-8"), server)
        there = ("--noproxy", "*", "--cacert", str(self.ssh_config.with_name(authority)))
        names = ("--resolve", f"{domain}:443:{address}", f"https://{domain}{path}")
        argv = ("curl", "--silent", "--show-error", "--fail", *there, *words, *names)
        return subprocess.run(argv, capture_output=True, timeout=30, check=True).stdout

    def left(self) -> list[str]:
        """Return what Docker holds of it: containers, volumes and networks."""
        label = f"label=com.docker.compose.project={self.compose_project}"
        listed = (
            docker("ps", "--all", "--quiet", "--filter", label),
            docker("volume", "ls", "--quiet", "--filter", label),
            docker("network", "ls", "--quiet", "--filter", label),
        )
        return [line for lines in listed for line in lines.split()]


def make(folder: Path, name: str) -> TestSandbox:
    """Make a project whose sandbox is not up yet."""
    stack = folder / "stacks" / "pebble"
    shutil.copytree(PEBBLE, stack)
    path = stack / "stack.yaml"
    text = path.read_text(encoding="utf-8").replace("registry: REGISTRY\n", "")
    path.write_text(text.partition("environments:")[0] + _ENVIRONMENTS, encoding="utf-8")
    return TestSandbox(folder, name)


def described(make_deployment: Callable[[Path], Deployment], source: Path) -> Deployment:
    """Make a deployment of a stack with its staging and production as they are described, under another name."""
    made = dataclasses.replace(make_deployment(source), environ={"WHARFINGER_ROOT": ""})
    kept, given = (
        (folder / "stack.yaml").read_text(encoding="utf-8").partition("\n  staging:\n")
        for folder in (made.folder, source)
    )
    (made.folder / "stack.yaml").write_text("".join((kept[0], *given[1:])), encoding="utf-8")
    return made


@contextmanager
def usual(deployment: Deployment) -> Iterator[TestSandbox]:
    """Yield a sandbox that a deployment's project takes for the usual one."""
    sandbox = TestSandbox(deployment.project, deployment.name)
    usual = sandbox.ssh_config.parents[1]
    try:
        sandbox.wharfinger("sandbox.up", "--name", sandbox.name)
        for path in sandbox.ssh_config.parent.iterdir():
            (usual / path.name).symlink_to(path)
        yield sandbox
    finally:
        sandbox.wharfinger("sandbox.down", "--name", sandbox.name)
        assert sandbox.left() == []


@contextmanager
def shared(folder: Path, name: str) -> Iterator[TestSandbox]:
    """Yield the sandbox of that name: who comes first starts it, and who goes last removes it."""
    project, users = folder / name, folder / f"{name}.users"
    with _counting(users) as count:
        sandbox = TestSandbox(project, name) if project.exists() else make(project, name)
        if count(+1) == 1:
            try:
                sandbox.wharfinger("sandbox.up", "--name", name, "--bare")
            except BaseException:
                count(-1)
                sandbox.wharfinger("sandbox.down", "--name", name)
                raise
    try:
        yield sandbox
    finally:
        with _counting(users) as count:
            if count(-1) == 0:
                sandbox.wharfinger("sandbox.down", "--name", name)
                assert sandbox.left() == []
                assert not sandbox.ssh_config.parent.exists()


@contextmanager
def _counting(users: Path) -> Iterator[Any]:
    with users.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def count(change: int) -> int:
            file.seek(0)
            number = int(file.read() or 0) + change
            file.seek(0)
            file.truncate()
            file.write(str(number))
            file.flush()
            return number

        yield count
