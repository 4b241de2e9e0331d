"""Deploys of a small stack on this machine, from the first to a rollback, through the real command line."""

from __future__ import annotations

import dataclasses
import json
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.harness import docker_that
from tests.integration.deployments import PEBBLE, Deployment, docker


def containers(deployment: Deployment) -> list[str]:
    """Return the running containers of a deployment, its edge's among them."""
    return sorted(docker("ps", "--quiet", "--no-trunc", "--filter", f"name={deployment.name}").split())


@pytest.fixture(scope="module")
def pebble(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A deployed pebble, version one."""
    made = make_deployment(PEBBLE)
    made.deploy()
    return made


def test_the_first_deploy_begins_the_env_file_and_serves(pebble: Deployment) -> None:
    assert pebble.request("/").json() == {"version": "one", "greeting": "hello"}
    env_file = pebble.folder / ".env.local"
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert "POSTGRES_PASSWORD=" in env_file.read_text(encoding="utf-8")


def test_status_says_what_runs(pebble: Deployment) -> None:
    status = pebble.status()
    assert set(status) == {
        *("stack", "environment", "release", "url", "servers", "services"),
        *("scale", "maintenance", "certificates", "unfinished"),
    }
    assert status["url"] == f"http://{pebble.domain}:{pebble.http_port}"
    states = {service["name"]: (service["state"], service["health"]) for service in status["services"]}
    assert states == dict.fromkeys(("web", "postgres", "nginx"), ("running", "healthy"))
    (web,) = (service for service in status["services"] if service["name"] == "web")
    assert "@sha256:" in web["image"]


def test_deploying_the_same_again_changes_nothing(pebble: Deployment) -> None:
    before = containers(pebble)
    files = sorted(path for path in pebble.server.rglob("*"))
    assert "already up to date" in pebble.deploy().stderr
    assert containers(pebble) == before
    assert sorted(path for path in pebble.server.rglob("*")) == files


def test_another_checkout_on_this_machine_takes_over_the_secrets(pebble: Deployment, tmp_path: Path) -> None:
    """The database keeps the password that it was begun with: another one would lock every later deploy out."""
    shutil.copytree(pebble.project / "stacks", tmp_path / "stacks", ignore=shutil.ignore_patterns(".env.local"))
    clone = dataclasses.replace(pebble, project=tmp_path)
    ran = clone.deploy(environ={"WHARFINGER_ROOT": str(pebble.project / "server")})
    assert "take POSTGRES_PASSWORD from what is deployed here" in ran.stderr
    assert "already up to date" in ran.stderr, "not one value differs"
    files = [each.folder / ".env.local" for each in (pebble, clone)]
    ours, theirs = (file.read_text(encoding="utf-8").partition("\nPOSTGRES_PASSWORD=")[2][:32] for file in files)
    assert ours == theirs
    assert stat.S_IMODE(files[1].stat().st_mode) == 0o600


@pytest.mark.parametrize("flags", [("--plan",), ()])
def test_a_plan_changes_nothing(pebble: Deployment, flags: tuple[str, ...]) -> None:
    before, files = containers(pebble), sorted(pebble.server.rglob("*"))
    with pebble.edited("app.py", '"one"', '"planned"'):
        words = ("deploy", "--env", "local", *flags)
        ran = pebble.wharfinger(*words) if flags else pebble.wharfinger("--dry", *words)
    assert "switch to" in ran.stderr
    assert "image app changed" in ran.stderr
    assert containers(pebble) == before
    assert sorted(pebble.server.rglob("*")) == files


def test_a_changed_line_is_served_and_a_rollback_brings_the_old_one_back(pebble: Deployment, tmp_path: Path) -> None:
    """Neither starts a process in the edge's container: the site's file is the same."""
    first = pebble.status()["release"]
    database = docker("ps", "--quiet", "--filter", f"name={pebble.name}-local-postgres")
    heard = docker_that(tmp_path, "*", f'echo "$*" >> {tmp_path}/calls')
    with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "two"'):
        ran = pebble.deploy(environ=heard)
    assert pebble.request("/").json()["version"] == "two"
    assert first in ran.stderr, "the retired release is named"
    assert list((pebble.server / "backups").glob("*.dump")), "a backup was taken"
    assert docker("ps", "--quiet", "--filter", f"name={pebble.name}-local-postgres") == database
    assert not docker("ps", "--all", "--quiet", "--filter", f"label=org.wharfinger.release={first}")

    pebble.wharfinger("rollback", "--env", "local", environ=heard)
    assert pebble.request("/").json()["version"] == "one"
    assert pebble.status()["release"] == first
    assert (pebble.server / "current").resolve().name == first
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert [call for call in calls if call.startswith("exec ") and "pg_dump" in call], "a backup is a command"
    assert not [call for call in calls if pebble.edge in call]


def test_a_rollback_brings_back_values_and_site_too(pebble: Deployment) -> None:
    with (
        pebble.edited(".env.local", "#GREETING=hello", "GREETING='good $day'"),
        pebble.edited("stack.yaml", "  cache: {enabled: false}", "  cache: {enabled: false}\n  upload_limit: 3m"),
    ):
        assert "values changed: GREETING" in pebble.deploy().stderr
    assert pebble.request("/").json()["greeting"] == "good $day"
    site = pebble.edge_folder / "sites" / f"{pebble.name}-local.conf"
    assert "client_max_body_size 3m" in site.read_text(encoding="utf-8")

    pebble.wharfinger("rollback", "--env", "local")
    assert pebble.request("/").json()["greeting"] == "hello"
    assert "client_max_body_size 3m" not in site.read_text(encoding="utf-8")


def test_a_rollback_starts_an_edge_that_is_down(pebble: Deployment) -> None:
    before = pebble.request("/").json()
    docker("rm", "--force", f"{pebble.edge}-nginx-1")
    ran = pebble.wharfinger("rollback", "--env", "local", "--to", pebble.status()["release"])
    assert "start the edge" in ran.stderr
    assert pebble.request("/").json() == before


@pytest.mark.long
def test_an_edge_whose_control_socket_is_out_of_reach_is_replaced_by_a_deploy(pebble: Deployment) -> None:
    """As one that was started before the socket could be reached from the server."""
    compose = pebble.edge_folder / "compose.yaml"
    mount = next(line for line in compose.read_text(encoding="utf-8").splitlines() if "./run/nginx" in line)
    compose.write_text(compose.read_text(encoding="utf-8").replace(mount, ""), encoding="utf-8")
    tmpfs = "/run:mode=755,size=1m"
    compose.write_text(compose.read_text().replace(f"- {tmpfs}", f"- {tmpfs}\n      - /run/wharfinger"))
    docker("compose", "--project-name", pebble.edge, "--file", str(compose), "up", "--detach", "--wait")
    shutil.rmtree(pebble.edge_folder / "run")
    assert pebble.request("/").json()["version"] == "one"

    assert pebble.status()["release"] == pebble.server.joinpath("current").resolve().name
    with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "two"'):
        assert "start the edge" in pebble.deploy().stderr
    assert pebble.request("/").json()["version"] == "two"
    assert stat.S_IMODE((pebble.edge_folder / "run").stat().st_mode) == 0o700
    pebble.deploy()
    assert pebble.request("/").json()["version"] == "one"


def test_a_change_to_ignored_files_only_deploys_nothing_and_is_named(pebble: Deployment) -> None:
    notes = pebble.folder / "docs" / "notes.md"
    notes.parent.mkdir()
    notes.write_text("one\n", encoding="utf-8")
    pebble.edit(".dockerignore", "!app.py", "!app.py\n!docs")
    pebble.edit("stack.yaml", "  keep: 2\n", "  keep: 2\n  ignore: [docs/**]\n")
    pebble.edit("app.py", '"""The smallest app', '"""Still the smallest app')  # a release that notes what it ignores
    pebble.deploy()
    before = containers(pebble)

    notes.write_text("two\n", encoding="utf-8")
    ran = pebble.deploy()

    assert "only ignored paths changed: docs/notes.md" in ran.stderr
    assert "already up to date" in ran.stderr
    assert containers(pebble) == before


def test_releases_are_listed_and_an_unknown_one_is_refused(pebble: Deployment) -> None:
    listed = json.loads(pebble.wharfinger("releases", "--env", "local", "--json").stdout)
    current = pebble.status()["release"]
    assert [release["release"] for release in listed if release["current"]] == [current]
    ran = pebble.wharfinger("rollback", "--env", "local", "--to", "20010101000000", status=2)
    assert "no successful release 20010101000000" in ran.stderr
    assert pebble.status()["release"] == current


@pytest.mark.long
def test_only_so_many_successful_releases_are_kept(pebble: Deployment) -> None:
    stray = f"{pebble.status()['services'][0]['image'].partition('@')[0]}:of-a-deploy-that-failed"
    subprocess.run(("docker", "build", "--quiet", "--tag", stray, "-"), input=b"FROM scratch\nLABEL a=b\n", check=True)
    docker("push", "--quiet", stray)
    for number in range(3):
        with pebble.edited("app.py", 'VERSION = "one"', f'VERSION = "kept {number}"'):
            pebble.deploy()
    kept = sorted(path.name for path in (pebble.server / "releases").iterdir())
    assert len(kept) == 2, "deploy.keep is 2"
    tags = docker("image", "ls", "--filter", f"reference=*/{pebble.name}/*", "--format", "{{.Tag}}").split()
    assert len([tag for tag in tags if tag != "<none>"]) == 2, "so are their images"
    assert pebble.status()["release"] == kept[-1]


def test_the_logs_of_a_service_are_shown(pebble: Deployment) -> None:
    assert "database system is ready" in pebble.wharfinger("logs", "--env", "local", "--service", "postgres").stdout
    ran = pebble.wharfinger("logs", "--env", "local", "--service", "wep", status=2)
    assert "there is: web, postgres" in ran.stderr


def test_the_release_folder_runs_without_wharfinger(pebble: Deployment) -> None:
    """Plain `docker compose`, in the folder that is `current`, finds nothing to change."""
    current = pebble.server / "current"
    docker("compose", "--file", str(current / "compose.yaml"), "config", "--quiet")
    before = containers(pebble)
    docker("compose", "--file", str((current / "compose.yaml").resolve()), "up", "--detach", "--pull", "never")
    assert containers(pebble) == before


def test_down_keeps_the_data_and_a_deploy_brings_it_back(pebble: Deployment) -> None:
    table = ("exec", f"{pebble.name}-local-postgres", "psql", "-U", "postgres", "-Atc")
    docker(*table, "create table pebbles as select 'granite' as kind")
    pebble.wharfinger("down", "--env", "local")
    assert not docker("ps", "--quiet", "--filter", f"name={pebble.name}")
    pebble.deploy()
    assert docker(*table, "select kind from pebbles") == "granite"
    assert pebble.request("/").status == 200


def test_removing_the_data_needs_a_yes(pebble: Deployment) -> None:
    ran = pebble.wharfinger("down", "--env", "local", "--volumes", status=8)
    assert f"{pebble.name}-local-postgres" in ran.stderr, "what would be removed is named"
    assert pebble.request("/").status == 200
