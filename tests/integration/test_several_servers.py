"""One environment on two servers: they go to a new release together, or stay at the old one together."""

from __future__ import annotations

import dataclasses
import http.client
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from tests.integration import forked
from tests.integration.deployments import PEBBLE, REPOSITORY, Deployment
from tests.integration.sandboxes import TestSandbox

SERVERS: Final = ("vps1", "vps2")
PORT: Final = 8180
STEPS: Final = ("UploadRelease", "Pull", "StartApp", "PutSite", "Switch", "Verify", "Record")
ROUNDS: Final = 5
NUMBERS = itertools.count(1)
ENVIRONMENTS: Final = """\
environments:
  both:
    server: [vps1, vps2]
    domain: both.example.com
    root: /srv/wharfinger/{name}
    edge: {{project: {name}-edge, http_port: 8180, https_port: 8543}}
  live:
    server: [vps1, vps2]
    domain: live.example.com
    root: /srv/wharfinger/{name}
    edge: {{project: {name}-edge, http_port: 8180, https_port: 8543}}
  one:
    server: vps1
    domain: one.example.com
    address: {address}
    root: /srv/wharfinger/{name}
    edge: {{project: {name}-edge, http_port: 8180, https_port: 8543}}
"""


@dataclass(frozen=True)
class Fleet:
    """A pebble that keeps no data, in an environment on both servers of a sandbox, and in another on the first."""

    deployment: Deployment
    sandbox: TestSandbox
    addresses: dict[str, str]

    def run(self, *words: str, status: int = 0) -> str:
        """Run the real command; return what it said on stderr."""
        return self.deployment.wharfinger(*words, status=status).stderr

    def hit(self, point: str, *words: str, status: int) -> str:
        """Run a command that is hit; return what it said."""
        env = {**os.environ, **self.deployment.environ, "NO_COLOR": "1"}
        argv = ("tests.integration.ssh.hitting", point, *words)
        run = in_own_group if point.startswith("int:") else forked.run
        done = run(argv, cwd=self.deployment.project, env=env, timeout=240)
        assert done.returncode == status, done.stderr
        return done.stderr

    def change(self, mode: str = "good") -> str:
        """Change app and site; return the new version."""
        version = f"v{next(NUMBERS)}"
        for file, pattern, text in (
            ("app.py", r'VERSION = "[^"]*"', f'VERSION = "{version}"'),
            ("app.py", r'MODE = "[^"]*"', f'MODE = "{mode}"'),
            ("stack.yaml", r"cache: .*", f"cache: {{enabled: false}}\n  upload_limit: {int(version[1:]) + 1}m"),
            ("stack.yaml", r"(upload_limit: \d+m)(\n  upload_limit: \d+m)+", r"\1"),
        ):
            path = self.deployment.folder / file
            path.write_text(re.sub(pattern, text, path.read_text(encoding="utf-8")), encoding="utf-8")
        return version

    def asks(self, server: str, domain: str = "both.example.com") -> str:
        """Return the version that a server answers with."""
        connection = http.client.HTTPConnection(self.addresses[server], PORT, timeout=10)
        try:
            connection.request("GET", "/", headers={"Host": f"{domain}:{PORT}"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            version: str = json.loads(answer.read())["version"]
            return version
        finally:
            connection.close()

    def serves(self) -> set[str]:
        """Return the versions that the servers answer with."""
        return {self.asks(server) for server in SERVERS}

    def current(self) -> set[str]:
        """Return the releases that are current."""
        home = f"/srv/wharfinger/{self.deployment.name}/{self.deployment.name}/both"
        return {Path(self.sandbox.ssh(server, "readlink", f"{home}/current")).name for server in SERVERS}

    def remains(self) -> list[str]:
        """Return what there is on the servers beyond the current release."""
        name, (release,) = self.deployment.name, self.current()
        home, found = f"/srv/wharfinger/{name}/{name}/both", []
        for server in SERVERS:
            shown = self.sandbox.ssh(server, f"docker ps --all --filter name={name}-both-2 --format '{{{{.Names}}}}'")
            found += [f"{server}: {each}" for each in shown.split() if release not in each]
            found += [f"{server}: lock" for _ in self.sandbox.ssh(server, f"ls {home}/lock* || true").split()]
            open_ended = f'grep -L \'"event": "finished"\' {home}/journal/*.jsonl || true'
            found += [f"{server}: {each}" for each in self.sandbox.ssh(server, open_ended).split()]
            names = self.sandbox.ssh(server, f"grep -l '\"succeeded\": null' {home}/releases/*/release.json || true")
            found += [f"{server}: {each}" for each in names.split()]
        return found


def in_own_group(
    argv: tuple[str, ...], *, cwd: Path, env: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a module of ours as the one that a terminal has in the foreground."""
    return subprocess.run(
        (sys.executable, "-m", *argv),
        cwd=cwd,
        env={**env, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def fleet(
    sandbox: TestSandbox, make_deployment: Callable[[Path], Deployment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """It serves on both servers."""
    found = {each["service"]: each["address"] for each in sandbox.status()["services"]}
    addresses = {server: found[server] for server in SERVERS}
    made = make_deployment(PEBBLE)
    path = made.folder / "stack.yaml"
    text = re.sub(r"^registry: .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = re.sub(r"^data:\n(?: .*\n)*", "", text, flags=re.MULTILINE)
    text = re.sub(r"^  POSTGRES_PASSWORD:\n(?:    .*\n)*", "", text, flags=re.MULTILINE)
    text = text.replace("start_period: 3s", "start_period: 60s").replace("healthy_within: 15s", "healthy_within: 60s")
    environments = ENVIRONMENTS.format(name=made.name, address=addresses["vps1"])
    path.write_text(text.partition("environments:")[0] + environments, encoding="utf-8")
    runtime = str(tmp_path_factory.mktemp("run"))  # so that connections that are cut are no other test's
    environ = {"WHARFINGER_SSH_CONFIG": str(sandbox.ssh_config), "SSH_AUTH_SOCK": "", "XDG_RUNTIME_DIR": runtime}
    deployment = dataclasses.replace(made, environment="both", environ=environ)
    ready = Fleet(deployment, sandbox, addresses)
    deployment.wharfinger("env.generate", "--env", "both")
    ready.change()
    ready.run("deploy", "--env", "both")
    yield ready
    ready.run("down", "--env", "both")
    for server in SERVERS:
        sandbox.ssh(server, f"rm -rf /srv/wharfinger/{made.name}")


@dataclass
class Visitors:
    """Light traffic to both servers."""

    failures: list[str] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)


@contextmanager
def visitors(fleet: Fleet) -> Iterator[Visitors]:
    """Ask both servers as long as the block runs."""
    found, stop = Visitors(), threading.Event()

    def visit(server: str) -> None:
        while not stop.wait(0.05):
            try:
                found.versions.add(fleet.asks(server))
            except (OSError, AssertionError) as error:
                found.failures.append(f"{server}: {error!r}")

    threads = [threading.Thread(target=visit, args=(server,)) for server in SERVERS]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_one_of_two_servers_that_cannot_start_the_release_keeps_it_from_both(fleet: Fleet) -> None:
    (before,), (release,) = fleet.serves(), fleet.current()
    fleet.change()

    said = fleet.hit("fail:started StartApp@vps2", "deploy", "--env", "both", status=7)

    assert "vps2: `start web` failed: it was hit" in said
    assert f"vps1, vps2: release {release} still serves" in said
    assert (fleet.serves(), fleet.current(), fleet.remains()) == ({before}, {release}, [])


@pytest.mark.long
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("point", [f"{event} {verb}" for verb in STEPS for event in ("started", "done")])
def test_one_of_two_servers_failing_at_any_step_leaves_both_at_the_old_release(
    fleet: Fleet, point: str, server: str
) -> None:
    (before,), (release,) = fleet.serves(), fleet.current()
    after = fleet.change()
    with visitors(fleet) as seen:
        said = fleet.hit(f"fail:{point}@{server}", "deploy", "--env", "both", status=7)
    assert f"{server}: `" in said
    assert (fleet.serves(), fleet.current(), fleet.remains()) == ({before}, {release}, [])
    assert (seen.failures, seen.versions - {before, after}) == ([], set())


@pytest.mark.long
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    "point", [f"{event} {verb}" for verb in ("StartApp", "Switch", "Record") for event in ("started", "done")]
)
def test_a_connection_that_is_cut_to_one_of_two_leaves_both_alike(fleet: Fleet, point: str, server: str) -> None:
    """Once it is recorded on both, the one that is still there agrees for both."""
    (before,), (release,) = fleet.serves(), fleet.current()
    after, counts = fleet.change(), point == "done Record"
    said = fleet.hit(f"cut:{point}@{server}", "deploy", "--env", "both", status=9)
    assert f"{server}: the connection was lost" in said
    assert f"and is {'finished' if counts else 'reverted'}" in said
    assert (fleet.serves(), fleet.remains()) == ({after if counts else before}, [])
    assert (fleet.current() == {release}) != counts


@pytest.mark.long
@pytest.mark.parametrize(
    ("point", "counts"),
    [
        ("started StartApp@vps1", False),
        ("done Switch@vps2", False),
        ("started Record@vps1", False),
        ("done Record@vps1", False),
        ("done Record@vps2", False),
        ("agreed@vps1", True),
        ("started Retire@vps2", True),
    ],
)
def test_an_operator_who_vanishes_leaves_both_to_be_recovered_alike(fleet: Fleet, point: str, counts: bool) -> None:
    (before,), (release,) = fleet.serves(), fleet.current()
    after = fleet.change()
    with visitors(fleet) as seen:
        fleet.hit(f"kill:{point}", "deploy", "--env", "both", status=-9)
        said = fleet.hit("away:", "recover", "--env", "both", status=0)
    assert f"and is {'finished' if counts else 'reverted'}" in said
    assert fleet.serves() == {after if counts else before}
    assert (fleet.current() == {release}) != counts
    assert fleet.remains() == []
    assert (seen.failures, seen.versions - {before, after}) == ([], set())
    assert "nothing to recover" in fleet.run("recover", "--env", "both")


@pytest.mark.long
@pytest.mark.parametrize("server", ["vps1", "vps2"])
def test_ctrl_c_in_a_step_on_one_of_two_servers_brings_both_back(fleet: Fleet, server: str) -> None:
    """In the only one that takes its time: what is over in a moment would be over before the key is up."""
    (before,), (release,) = fleet.serves(), fleet.current()
    after = fleet.change()
    with visitors(fleet) as seen:
        said = fleet.hit(f"int:started StartApp@{server}", "deploy", "--env", "both", status=130)
    assert "interrupted" in said.partition("error: ")[2].splitlines()[0]
    assert f"vps1, vps2: release {release} still serves" in said
    assert (fleet.serves(), fleet.current(), fleet.remains()) == ({before}, {release}, [])
    assert (seen.failures, seen.versions - {before, after}) == ([], set())


@pytest.mark.long
def test_recovery_guesses_nothing_while_a_server_does_not_answer(fleet: Fleet, tmp_path: Path) -> None:
    (before,), (release,) = fleet.serves(), fleet.current()
    fleet.change()
    fleet.hit("kill:done Record@vps1", "deploy", "--env", "both", status=-9)
    config = tmp_path / "ssh_config"
    known = fleet.sandbox.ssh_config.read_text(encoding="utf-8")
    config.write_text(f"Host vps2\n  Port 1\n{known}", encoding="utf-8")
    away = {"WHARFINGER_SSH_CONFIG": str(config)}

    said = fleet.deployment.wharfinger("recover", "--env", "both", status=4, environ=away).stderr
    health = fleet.deployment.wharfinger("health", "--env", "both", "--json", status=1, environ=away).stdout
    shown = {
        command: fleet.deployment.wharfinger(command, "--env", "both", "--json", status=4, environ=away)
        for command in ("status", "releases", "certs.status")
    }

    assert "vps2" in said.partition("error: ")[2].splitlines()[0]
    assert "needs all of its servers" in said
    assert {"vps1", "vps2"} == {each["server"] for each in json.loads(health)["findings"]}
    assert {"vps1"} == {each["server"] for each in json.loads(shown["status"].stdout)["services"]}
    assert {"vps1"} == {each["server"] for each in json.loads(shown["releases"].stdout)}
    assert json.loads(shown["certs.status"].stdout) == [], "that of vps1, which has no certificate"
    for command, one in shown.items():
        assert "vps2" in one.stderr.partition("error: ")[2].splitlines()[0], command
    fleet.run("recover", "--env", "both")
    assert (fleet.serves(), fleet.current(), fleet.remains()) == ({before}, {release}, [])


@pytest.mark.long
def test_what_is_looked_at_names_the_server(fleet: Fleet) -> None:
    def listed(*words: str) -> Any:
        return json.loads(fleet.deployment.wharfinger(*words, "--env", "both", "--json").stdout)

    status, health = listed("status"), listed("health")
    assert {each["server"] for each in status["services"]} == set(SERVERS)
    assert {each["server"] for each in health["findings"]} == set(SERVERS)
    assert health["healthy"]
    assert {each["server"] for each in listed("releases")} == set(SERVERS)
    assert {each["server"] for each in listed("doctor")} == set(SERVERS)
    ports = json.loads(fleet.deployment.wharfinger("ports", "--json").stdout)
    assert {each["server"] for each in ports} == set(SERVERS)


@pytest.mark.long
def test_other_tasks_work_on_both(fleet: Fleet) -> None:
    version = fleet.change()
    fleet.run("deploy", "--env", "both")
    (newest,) = fleet.current()
    fleet.run("rollback", "--env", "both")
    assert version not in fleet.serves()
    assert len(fleet.current()) == 1
    fleet.run("rollback", "--env", "both", "--to", newest)
    assert (fleet.serves(), fleet.current()) == ({version}, {newest})
    for words in (("scale", "web=2"), ("restart",), ("scale", "reset"), ("maintenance", "on"), ("maintenance", "off")):
        fleet.run(*words, "--env", "both")
    assert (fleet.serves(), fleet.remains()) == ({version}, [])
    hosts = [
        fleet.deployment.wharfinger(*("exec", "--env", "both", "--service", "web", *on, "--", "hostname")).stdout
        for on in ((), ("--server", "vps1"), ("--server", "vps2"))
    ]
    assert hosts[0] == hosts[1] != hosts[2]


@pytest.mark.long
def test_what_both_servers_verified_is_promoted_to_both(fleet: Fleet) -> None:
    (version,) = fleet.serves()
    fleet.run("env.generate", "--env", "live")
    try:
        fleet.run("promote", "--from", "both", "--to", "live", "--yes")
        assert {fleet.asks(server, "live.example.com") for server in SERVERS} == {version}
    finally:
        fleet.run("down", "--env", "live")


@pytest.mark.long
def test_both_servers_are_set_up(fleet: Fleet) -> None:
    said = fleet.run("server.setup", "--env", "both", "--login", "root", "--plan")
    assert all(f"on {server}:" in said for server in SERVERS)
    assert said.count("there already: Docker Engine") == len(SERVERS)


@pytest.mark.long
def test_two_servers_take_hardly_longer_than_one(fleet: Fleet) -> None:
    """At most 1.3 times: the medians of deploys of one changed service, taken in turn."""
    times: dict[str, list[float]] = {"one": [], "both": []}
    fleet.run("env.generate", "--env", "one")
    fleet.run("deploy", "--env", "one")
    try:
        for number in range(ROUNDS + 1):
            for environment, taken in times.items():
                fleet.change()
                began = time.monotonic()
                fleet.run("deploy", "--env", environment)
                if number:  # the first is for the caches
                    taken.append(time.monotonic() - began)
    finally:
        fleet.run("down", "--env", "one")
    one, both = (statistics.median(times[name]) for name in ("one", "both"))
    assert both <= 1.3 * one, f"{both:.2f} s against {one:.2f} s: {times}"
