"""Stacks that tests deploy through the real command line, each with a server folder and an edge of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.integration import forked
from tests.ports import free_ports

REPOSITORY: Final = Path(__file__).parents[2]
PEBBLE: Final = Path(__file__).parent / "pebble"
_DEPLOY_WITHIN: Final = 300


def docker(*words: str) -> str:
    """Run `docker` and return what it printed."""
    done = subprocess.run(("docker", *words), capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def cold(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a module of ours as a user does: its interpreter has to start, and to import."""
    words = (sys.executable, "-m", *argv)
    return subprocess.run(
        words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
    )


@dataclass(frozen=True)
class Answer:
    """What a site answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """Return the body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Deployment:
    """A stack in a project folder and on a server folder that only one test module has."""

    project: Path
    name: str
    domain: str
    http_port: int
    https_port: int
    edge: str
    environment: str = "local"
    environ: Mapping[str, str] = field(default_factory=dict)
    """What every command runs with besides."""
    run: Callable[..., subprocess.CompletedProcess[str]] = forked.run
    """What runs its commands: `cold`, where how long they take counts."""

    @property
    def folder(self) -> Path:
        """The stack's folder."""
        return self.project / "stacks" / self.name

    @property
    def server(self) -> Path:
        """The environment's folder on the server."""
        return self.project / "server" / self.name / self.environment

    @property
    def edge_folder(self) -> Path:
        """The edge's folder on the server."""
        return self.project / "server" / "edge"

    def wharfinger(self, *words: str, status: int | None = 0, environ: Mapping[str, str] | None = None) -> Ran:
        """Run the real command in the project; fail unless it exits as expected (None: as it likes)."""
        added = {"WHARFINGER_ROOT": str(self.project / "server"), "NO_COLOR": "1"}
        added |= {**self.environ, **(environ or {})}
        argv, env = ("wharfinger", *words), {**os.environ, **added}
        done = self.run(argv, cwd=self.project, env=env, timeout=_DEPLOY_WITHIN)
        assert "Traceback" not in done.stderr, done.stderr
        assert status is None or done.returncode == status, f"{words} exited {done.returncode}:\n{done.stderr}"
        return Ran(done.returncode, done.stdout, done.stderr)

    def deploy(self, *words: str, status: int | None = 0, environ: Mapping[str, str] | None = None) -> Ran:
        """Run `deploy` for its environment."""
        return self.wharfinger("deploy", "--env", self.environment, *words, status=status, environ=environ)

    def request(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        domain: str | None = None,
    ) -> Answer:
        """Ask the site as a visitor would, by its name (None: that of the environment `local`)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        try:
            port = f":{self.http_port}"
            connection.request(method, path, body, {"Host": f"{domain or self.domain}{port}", **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def status(self, environment: str = "") -> dict[str, Any]:
        """Return what `status --json` says."""
        said = self.wharfinger("status", "--env", environment or self.environment, "--json").stdout
        found: dict[str, Any] = json.loads(said)
        return found

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of the stack; the text must be there."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} does not contain {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    @contextmanager
    def edited(self, file: str, old: str, new: str) -> Iterator[None]:
        """Replace text in a file of the stack as long as the block runs."""
        before = (self.folder / file).read_bytes()
        self.edit(file, old, new)
        try:
            yield
        finally:
            (self.folder / file).write_bytes(before)

    def environments(self) -> tuple[str, ...]:
        """Return its own environment, and those others that its stack file has on this machine."""
        text = (self.folder / "stack.yaml").read_text(encoding="utf-8").partition("\nenvironments:\n")[2]
        here = re.findall(r"^  ([a-z0-9_]+):\n(?:    .*\n)*?    server: local$", text, re.MULTILINE)
        return tuple(dict.fromkeys((self.environment, *here)))

    def remove(self) -> None:
        """Remove every container, network, volume and image that this deployment made."""
        for environment in self.environments():
            self.wharfinger("down", "--env", environment, "--volumes", "--yes", status=None)
        projects = (f"{self.name}-{environment}" for environment in self.environments())
        for project in (*projects, f"{self.edge}-renewal", self.edge):
            docker("compose", "--project-name", project, "down", "--volumes", "--remove-orphans", "--timeout", "1")
        # By name: another deployment of the same source may have the same image under names of its own.
        shown = ("--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}")
        mine = (f"reference=*/{self.name}/*", f"reference={self.name}/*")  # the second are those of `up --watch`
        listed = docker("image", "ls", *shown, *(word for each in mine for word in ("--filter", each))).splitlines()
        names = set()
        for repository, tag, digest in map(str.split, listed):
            names |= {f"{repository}:{tag}", f"{repository}@{digest}"}
        known = [name for name in names if not name.endswith("<none>")]
        if known:
            docker("image", "rm", "--force", *known)


def make(folder: Path, source: Path, name: str, registry: str) -> Deployment:
    """Make a project of one stack, a copy of `source` under another name, with ports of its own."""
    http_port, https_port = free_ports(2)
    made = Deployment(folder, name, f"{name}.localhost", http_port, https_port, f"{name}-edge")
    ignored = shutil.ignore_patterns("tests", ".env*", "__pycache__", ".*_cache")
    shutil.copytree(source, made.folder, ignore=ignored)
    for app in made.folder.glob("app.py"):  # else equal sources share an image, and neither can be seen to go
        app.write_text(f"{app.read_text(encoding='utf-8')}\n# {name}\n", encoding="utf-8")
    path = made.folder / "stack.yaml"
    text = path.read_text(encoding="utf-8")
    old_name = text.partition("name: ")[2].partition("\n")[0]
    lines = [
        f"registry: {registry}" if line.startswith("registry:") else line
        for line in without(text.replace(f"name: {old_name}\n", f"name: {name}\n", 1), "edge").splitlines()
    ]
    if not any(line.startswith("registry:") for line in lines):
        lines.insert(1, f"registry: {registry}")
    edge = f"    edge: {{project: {made.edge}, http_port: {http_port}, https_port: {https_port}}}"
    domain = next(line for line in lines if line.startswith("    domain:"))
    lines[lines.index(domain) : lines.index(domain) + 1] = [f"    domain: {made.domain}", edge]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def without(text: str, key: str) -> str:
    """Return a stack file without a key of its environments, and whatever is below that."""
    return re.sub(rf"^    {key}:.*\n(?:     .*\n)*", "", text, flags=re.MULTILINE)
