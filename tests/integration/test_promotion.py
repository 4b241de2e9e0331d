"""From local to staging to production, all on this machine: what production gets is what staging verified."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.deployments import PEBBLE, Deployment, docker

MIGRATE = """\
  check: [python, -c, "import os, sys; sys.exit(os.environ['MIGRATED'] != 'yes')"]
  pending: [python, -c, "print('0001_pebbles')"]
"""
SLEEP = "[python, -c, import time; time.sleep(3600)]"
PROMOTE = ("promote", "--from", "staging", "--to", "production")


def image(deployment: Deployment, environment: str) -> str:
    """Return the image that the service runs in an environment, as its container names it."""
    (found,) = (one["image"] for one in deployment.status(environment)["services"] if one["name"] == "web")
    return str(found)


def domain(deployment: Deployment, environment: str) -> str:
    return f"{environment}.{deployment.domain}"


def side(deployment: Deployment) -> str:
    """Return the tag of an image that the stack uses and does not build."""
    return f"127.0.0.1:{os.environ['WHARFINGER_REGISTRY_PORT']}/{deployment.name}/side:1"


def images(deployment: Deployment) -> set[str]:
    return set(docker("image", "ls", "--quiet", "--filter", f"reference=*/{deployment.name}/*").split())


@pytest.fixture(scope="module")
def pebble(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A pebble with staging and production beside each other; staging is deployed."""
    made = make_deployment(PEBBLE)
    text = (made.folder / "stack.yaml").read_text(encoding="utf-8")
    edge = next(line for line in text.splitlines() if line.startswith("    edge:"))
    for name in ("staging", "production"):
        text += f"  {name}:\n    server: local\n    domain: {domain(made, name)}\n{edge}\n"
    text = text.replace("  command: [python, app.py, migrate]\n", "  command: [python, app.py, migrate]\n" + MIGRATE)
    text = text.replace("\nenv:\n", "\nenv:\n  MIGRATED: {meaning: What the migrations say, default: 'yes'}\n")
    text = text.replace(
        "\nmigrate:\n", f"\n  side:\n    image: {side(made)}\n    mem_limit: 32m\n    command: {SLEEP}\nmigrate:\n"
    )
    docker("tag", "python:3.13-slim", side(made))
    docker("push", "--quiet", side(made))
    (made.folder / "stack.yaml").write_text(text, encoding="utf-8")
    made.wharfinger("deploy", "--env", "staging")
    return made


def test_production_gets_what_staging_runs_and_nothing_is_built(pebble: Deployment) -> None:
    before = images(pebble)
    with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "of the checkout"'):
        ran = pebble.wharfinger(*PROMOTE, "--yes")
    release = pebble.status("staging")["release"]
    assert f"what staging verified as release {release}" in ran.stderr
    assert "migrations: all of them, into new databases" in ran.stderr
    assert image(pebble, "production") == image(pebble, "staging")
    assert images(pebble) == before
    assert pebble.request("/", domain=domain(pebble, "production")).json()["version"] == "one"
    record = json.loads((pebble.server.parent / "production/current/release.json").read_text(encoding="utf-8"))
    assert record["promoted"] == f"staging:{release}"


def test_promoting_the_same_again_changes_nothing(pebble: Deployment) -> None:
    before = pebble.status("production")
    assert "already up to date" in pebble.wharfinger(*PROMOTE, "--yes").stderr
    assert pebble.status("production") == before


def test_what_changes_is_shown_and_asked_about_first(pebble: Deployment) -> None:
    old = image(pebble, "production")
    pebble.edit("app.py", 'VERSION = "one"', 'VERSION = "two"')
    pebble.edit(
        "stack.yaml",
        "    default: hello\n",
        "    default: hello\n  COLOUR:\n    meaning: Its colour\n    default: s3cret\n",
    )
    pebble.edit("stack.yaml", "    mem_limit: 64m\n", "    mem_limit: 65m\n")
    pebble.wharfinger("deploy", "--env", "staging")

    ran = pebble.wharfinger(*PROMOTE, status=8)

    new = image(pebble, "staging")
    short_old, short_new = (one.partition("sha256:")[2][:12] for one in (old, new))
    assert f"image app: {short_old}" in ran.stderr
    assert f"-> {short_new}" in ran.stderr
    assert "variables, new: COLOUR" in ran.stderr
    assert "s3cret" not in ran.stderr + ran.stdout
    assert "migrations: none, the database is at head" in ran.stderr
    assert "+    mem_limit: 65m" in ran.stdout
    assert image(pebble, "production") == old, "nobody agreed"
    assert "mem_limit: 65m" in pebble.wharfinger(*PROMOTE, "--plan").stdout
    assert image(pebble, "production") == old

    pebble.wharfinger(*PROMOTE, "--yes")
    assert image(pebble, "production") == new
    assert pebble.request("/", domain=domain(pebble, "production")).json()["version"] == "two"
    assert list((pebble.server.parent / "production/backups").glob("*.dump")), "backed up as by a deploy"


def test_a_checkout_that_has_moved_on_is_told_and_not_promoted(pebble: Deployment) -> None:
    with pebble.edited("stack.yaml", "    mem_limit: 65m\n", "    mem_limit: 66m\n"):
        ran = pebble.wharfinger(*PROMOTE, "--yes", "--release", pebble.status("staging")["release"])
    assert "stack.yaml differs from what staging runs in: services" in ran.stderr
    assert "already up to date" in ran.stderr


@pytest.mark.long
def test_migrations_that_wait_are_listed(pebble: Deployment) -> None:
    path = pebble.folder / ".env.production"
    before = path.read_bytes()
    path.write_bytes(before + b"MIGRATED=no\n")
    try:
        ran = pebble.wharfinger(*PROMOTE, "--plan")
    finally:
        path.write_bytes(before)
    assert "migrations: 1 to run" in ran.stderr
    assert "  0001_pebbles" in ran.stderr
    assert not docker("ps", "--all", "--quiet", "--filter", f"name={pebble.name}-production-asks")


@pytest.mark.long
def test_a_tag_that_is_not_built_here_is_pinned_and_one_that_moved_refused(pebble: Deployment) -> None:
    tag = side(pebble)
    compose = (pebble.server.parent / "production/current/compose.yaml").read_text(encoding="utf-8")
    assert f"{tag.rpartition(':')[0]}@sha256:" in compose
    docker("tag", "redis:8", tag)
    try:
        ran = pebble.wharfinger(*PROMOTE, "--yes", status=1)
    finally:
        docker("tag", "python:3.13-slim", tag)
    assert f"{tag} means" in ran.stderr


def test_another_release_than_the_one_that_is_named_is_refused(pebble: Deployment) -> None:
    ran = pebble.wharfinger(*PROMOTE, "--yes", "--release", "20010101000000", status=2)
    assert "not 20010101000000; only what runs there" in ran.stderr


def test_what_was_verified_too_long_ago_is_refused(pebble: Deployment) -> None:
    with pebble.edited("stack.yaml", "  keep: 2\n", "  keep: 2\n  promote_within: 1ms\n"):
        ran = pebble.wharfinger(*PROMOTE, "--yes", status=1)
    assert "`deploy.promote_within` allows" in ran.stderr


def test_what_was_never_verified_is_refused(pebble: Deployment) -> None:
    path = (pebble.server.parent / "staging/current/release.json").resolve()
    before = path.read_bytes()
    path.write_text(json.dumps({**json.loads(before), "succeeded": None}), encoding="utf-8")
    try:
        ran = pebble.wharfinger(*PROMOTE, "--yes", status=1)
    finally:
        path.write_bytes(before)
    assert "was never verified" in ran.stderr


@pytest.mark.long
def test_what_does_not_run_is_refused(pebble: Deployment) -> None:
    project = f"{pebble.name}-staging-{pebble.status('staging')['release']}"
    docker("stop", "--time", "1", f"{project}-web-1")
    try:
        ran = pebble.wharfinger(*PROMOTE, "--yes", status=1)
    finally:
        docker("start", f"{project}-web-1")
    assert "web: 0 of 1 containers are healthy" in ran.stderr
