"""The Compose files against those that we keep, and against Compose itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from tests.examples import IMAGES, LAYOUT, RELEASE, sevra

from wharfinger.commands import compose
from wharfinger.model.release import Layout, Target
from wharfinger.rendering.compose import render_app_tier, render_data_tier
from wharfinger.rendering.templates import Templates

GOLDEN: Final = Path(__file__).parent
CASES: Final = ("compose.yaml", "compose-staging.yaml", "compose-without-data.yaml", "data.yaml")


def app_tier(environment: str = "local", **changes: Any) -> str:
    return render_app_tier(
        sevra(**changes),
        environment,
        release=RELEASE,
        images=IMAGES,
        layout=Layout(LAYOUT.root, Target("sevra-atlas", environment)),
        engine_version=(26, 1),
        templates=Templates.of(),
    )


def rendered(case: str) -> dict[str, str]:
    """Return the files of a case; the one that we keep comes first."""
    match case:
        case "compose.yaml":
            return {case: app_tier()}
        case "compose-staging.yaml":
            return {case: app_tier("staging")}
        case "compose-without-data.yaml":
            return {case: app_tier(data={}, env={}, migrate=None)}
        case _:
            return render_data_tier(sevra(), "local", layout=LAYOUT, engine_version=(26, 1), templates=Templates.of())


def as_compose_reads(folder: Path, file: str, variables: str = "") -> dict[str, Any]:
    if variables:
        (folder / ".env").write_text(variables)
    argv = [word for word in compose.config(str(folder / file)) if word != "--quiet"]
    done = subprocess.run((*argv, "--format", "json"), capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("case", CASES)
def test_a_file_is_written_as_we_keep_it(case: str) -> None:
    """`UPDATE_GOLDEN=1 pytest tests/golden` writes the files anew; read the diff before you commit it."""
    path = GOLDEN / case
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(rendered(case)[case])

    assert rendered(case)[case] == path.read_text()


@pytest.mark.parametrize("case", CASES)
def test_compose_accepts_it_beside_no_other_file(case: str, tmp_path: Path) -> None:
    """Without us, without an `.env`, and without the networks and folders that it names."""
    for name, text in rendered(case).items():
        (tmp_path / name).write_text(text)

    done = subprocess.run(compose.config(str(tmp_path / case)), capture_output=True, check=False, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_compose_takes_values_and_slot_from_the_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(app_tier())

    document = as_compose_reads(
        tmp_path, "compose.yaml", "WHARFINGER_SLOT=green\nQUEUE_URL=redis://redis_queue:6380\nSTRAY=1\n"
    )

    api = document["services"]["api"]
    assert api["networks"]["edge"]["aliases"] == [
        "sevra-atlas-local-green-api",
        "sevra-atlas-local-green-20261120143000-api",
    ]
    assert api["labels"]["org.wharfinger.slot"] == "green"
    assert "sevra-atlas-local-green-worker:worker" in api["external_links"]
    assert api["environment"] == {
        "DATABASE_URL": None,
        "LOG_FORMAT": "json",
        "PRICE": "5$$ or $${MORE}",
        "QUEUE_URL": "redis://redis_queue:6380",
    }
    assert "migrate" not in document["services"]


def test_compose_gives_a_database_its_own_variables_only(tmp_path: Path) -> None:
    for name, text in rendered("data.yaml").items():
        (tmp_path / name).write_text(text)

    document = as_compose_reads(tmp_path, "data.yaml", "POSTGRES_USER=atlas\nPOSTGRES_PASSWORD=p\nQUEUE_URL=q\n")

    assert document["services"]["postgres"]["environment"] == {
        "POSTGRES_USER": "atlas",
        "POSTGRES_PASSWORD": "p",
        "POSTGRES_DB": None,
        "POSTGRES_INITDB_ARGS": "--data-checksums",
        "PGUSER": "atlas",
        "PGDATABASE": "atlas",
    }
    assert not document["services"]["redis_queue"].get("environment")
