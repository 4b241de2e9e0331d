"""An app tier on a real engine, beside others that use the same names on the same edge."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pytest
from tests.examples import sevra
from tests.integration.tiers import HOST, docker, engine, status_of

from wharfinger.commands import compose
from wharfinger.errors import CommandFailed
from wharfinger.model.release import Layout, Target
from wharfinger.rendering.compose import MIGRATE, render_app_tier
from wharfinger.rendering.templates import Templates

IMAGE: Final = "debian:trixie-slim"
SLEEP: Final = {"image": IMAGE, "command": ["sleep", "600"], "user": "10001:10001", "mem_limit": "32m"}
SERVICES: Final[dict[str, Any]] = {
    "api": {**SLEEP, "port": 3000, "read_only": True, "environment": {"PRICE": "5$ or ${MORE}"}},
    "worker": {**SLEEP, "port": 3001, "scale": 2},
}
DATA: Final = {"store": {"engine": "redis", "mode": "cache"}}
OLD, NEW = "20261120143000", "20261120150000"


@dataclass(frozen=True)
class Server:
    """One edge network, and environments of one stack that share it."""

    root: Path
    edge: str

    def layout(self, environment: str) -> Layout:
        return Layout(PurePosixPath(self.root), Target("wharfinger-test", environment))

    def start(self, environment: str, release: str, slot: str, **changes: Any) -> str:
        """Start a release, and return its project."""
        sections: dict[str, Any] = {
            "name": "wharfinger-test",
            "services": SERVICES,
            "data": DATA,
            "volumes": {},
            "env": {},
        }
        sections |= {"site": None, "migrate": {"image": IMAGE, "command": ["true"]}, **changes}
        place = {"server": "local", "domain": "localhost", "edge": {"project": self.edge}}
        layout = self.layout(environment)
        folder = Path(layout.release(release))
        folder.mkdir(parents=True)
        (folder / "compose.yaml").write_text(
            render_app_tier(
                sevra(**sections, environments={environment: place}),
                environment,
                release=release,
                images={},
                layout=layout,
                engine_version=engine().version(),
                templates=Templates.of(),
            )
        )
        (folder / ".env").write_text(f"WHARFINGER_SLOT={slot}\n")
        project = layout.target.app_project(release)
        HOST.run(compose.up(project, str(folder / "compose.yaml")), timeout=60)
        return project


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield a server with two environments' data networks, in each of which something is called `store`."""
    token = secrets.token_hex(4)
    place = Server(tmp_path, f"wharfinger-test-{token}")
    environments = [f"{letter}{token}" for letter in "ab"]
    with contextlib.ExitStack() as undo:
        docker("network", "create", place.edge)
        undo.callback(docker, "network", "rm", place.edge)
        for environment in environments:
            target = place.layout(environment).target
            docker("network", "create", "--internal", target.data_network)
            undo.callback(docker, "network", "rm", target.data_network)
            store = f"{target.name}-store"
            started = ("--detach", "--init", "--name", store, "--network", target.data_network)
            docker("run", *started, "--network-alias", "store", IMAGE, "sleep", "600")
            undo.callback(docker, "rm", "--force", store)
            for release in (OLD, NEW):
                down = compose.down(target.app_project(release), stop_within=0)
                undo.callback(HOST.run, down, timeout=60)
        yield place


def environments_of(server: Server) -> tuple[str, str]:
    token = server.edge.rpartition("-")[2]
    return f"a{token}", f"b{token}"


def addresses(container: str) -> set[str]:
    listed = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    return set(docker("container", "inspect", "--format", listed, container).split())


def resolved(container: str, name: str) -> set[str]:
    return {line.split()[0] for line in docker("exec", container, "getent", "ahostsv4", name).splitlines()}


def test_a_name_means_the_own_release_although_others_share_it(server: Server) -> None:
    """Another environment's worker and store, and the old release's worker, are never what `worker` means."""
    first, second = environments_of(server)
    old = server.start(first, OLD, "blue")
    new = server.start(first, NEW, "green")
    # In the other environment a *service* is called as the first one's data service is.
    services = {**SERVICES, "store": {**SLEEP, "port": 6379}}
    other = server.start(second, OLD, "blue", services=services, data={"cache": DATA["store"]})
    store = addresses(f"{server.layout(first).target.name}-store")

    for project in (old, new, other):
        workers = addresses(f"{project}-worker-1") | addresses(f"{project}-worker-2")
        found = resolved(f"{project}-api-1", "worker")
        assert len(found) == 2, project
        assert found < workers, project
    assert resolved(f"{old}-api-1", "store") == resolved(f"{new}-api-1", "store") == store


def test_the_edge_reaches_each_slot_by_its_alias(server: Server) -> None:
    environment, _ = environments_of(server)
    blue, green = server.start(environment, OLD, "blue"), server.start(environment, NEW, "green")
    name = server.layout(environment).target.name
    ask = ("run", "--rm", "--network", server.edge, IMAGE, "getent", "ahostsv4")

    found = {slot: docker(*ask, f"{name}-{slot}-api").split()[0] for slot in ("blue", "green")}

    assert found["blue"] in addresses(f"{blue}-api-1")
    assert found["green"] in addresses(f"{green}-api-1")


def test_a_service_has_no_privileges_and_its_values_as_written(server: Server) -> None:
    project = server.start(environments_of(server)[0], OLD, "blue")
    status = docker("exec", f"{project}-api-1", "cat", "/proc/self/status").splitlines()
    facts = {name: value.split() for name, _, value in (line.partition(":") for line in status)}

    assert set(facts["Uid"]) == {"10001"}
    assert facts["CapBnd"] == ["0" * 16]
    assert facts["NoNewPrivs"] == ["1"]
    assert status_of("exec", f"{project}-api-1", "touch", "/tmp/x") != 0
    assert docker("exec", f"{project}-api-1", "printenv", "PRICE") == "5$ or ${MORE}"
    assert docker("container", "inspect", "--format", "{{.HostConfig.Memory}}", f"{project}-api-1") == str(2**25)


def test_the_migration_runs_once_when_asked_and_goes_away(server: Server) -> None:
    environment, _ = environments_of(server)
    command = {"image": IMAGE, "command": ["sh", "-c", "echo migrated"]}
    project = server.start(environment, OLD, "blue", migrate=command)
    assert f"{project}-migrate" not in docker("ps", "--all", "--format", "{{.Names}}")
    file = str(Path(server.layout(environment).release(OLD)) / "compose.yaml")

    done = HOST.run(compose.run_once(project, file, MIGRATE), timeout=60)

    assert done.stdout == "migrated\n"
    assert f"{project}-migrate" not in docker("ps", "--all", "--format", "{{.Names}}")
    with pytest.raises(CommandFailed):
        HOST.run((*compose.run_once(project, file, MIGRATE), "false"), timeout=60)


def test_a_missing_shared_folder_stops_the_start(server: Server) -> None:
    """Docker would make it, as root's, and uploads would fail later instead."""
    environment, _ = environments_of(server)
    services = {"api": {**SLEEP, "mounts": [{"source": "uploads", "target": "/uploads"}]}}

    with pytest.raises(CommandFailed, match="uploads"):
        server.start(environment, OLD, "blue", services=services, volumes={"uploads": {}})

    assert not Path(server.layout(environment).shared / "uploads").exists()


def test_down_leaves_what_other_projects_own(server: Server) -> None:
    environment, _ = environments_of(server)
    project = server.start(environment, OLD, "blue")

    HOST.run(compose.down(project, stop_within=0, volumes=True), timeout=60)

    names = docker("network", "ls", "--format", "{{.Name}}").splitlines()
    assert engine().project(project) == ()
    assert {server.edge, server.layout(environment).target.data_network} <= set(names)
