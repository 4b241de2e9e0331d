"""Migrations: up, down and up again, and never two at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sevra_atlas.places import SEARCH
from tests.conftest import ROOT, migrate, query

REVISIONS = ["base", "0001", "0002", "0003", "0004"]

SCHEMA = """
    SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
      FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL SELECT 'constraint ' || conname || pg_get_constraintdef(oid) FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    ORDER BY 1"""


def schema(url: str) -> list[str]:
    return [row[0] for row in query(url, SCHEMA)]


def test_every_migration_can_be_undone_and_done_again(empty_database: str) -> None:
    alembic = (sys.executable, "-m", "alembic", "upgrade")
    seen: dict[str, list[str]] = {"base": []}
    for revision in REVISIONS[1:]:
        subprocess.run(
            (*alembic, revision), cwd=ROOT, env={"DATABASE_URL": empty_database}, check=True, timeout=60,
            capture_output=True,
        )  # fmt: skip
        seen[revision] = schema(empty_database)
    assert seen["0001"] != seen["0002"] != seen["0003"]
    places = query(empty_database, "SELECT slug, story FROM places ORDER BY slug")
    assert len(places) == 2412

    for revision in reversed(REVISIONS[:-1]):
        assert migrate(empty_database, revision).returncode == 0
        assert schema(empty_database) == seen[revision]
    assert migrate(empty_database).returncode == 0
    assert schema(empty_database) == seen["0004"]
    assert query(empty_database, "SELECT slug, story FROM places ORDER BY slug") == places


def test_two_at_once_both_succeed_and_migrate_once(empty_database: str) -> None:
    started = [
        subprocess.Popen(
            (sys.executable, "-m", "sevra_atlas", "migrate"), cwd=ROOT, env={"DATABASE_URL": empty_database},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    logs = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], logs
    assert sum(log.count("Running upgrade") for log in logs) == 4
    assert query(empty_database, "SELECT count(*) FROM places")[0][0] == 2412


def test_migrating_again_changes_nothing(database: str) -> None:
    before = schema(database)
    assert migrate(database).returncode == 0
    assert schema(database) == before


def test_check_tells_whether_the_newest_revision_is_applied(empty_database: str) -> None:
    assert migrate(empty_database, "--check").returncode == 1
    assert schema(empty_database) == [], "it changes nothing"
    assert migrate(empty_database).returncode == 0
    assert migrate(empty_database, "--check").returncode == 0
    assert migrate(empty_database, "0003").returncode == 0
    ended = migrate(empty_database, "--check")
    assert ended.returncode == 1
    assert '"current": ["0003"], "newest": ["0004"]' in ended.stdout


def test_places_with_photos_survive_the_way_down(database: str) -> None:
    query(
        database,
        "INSERT INTO photos (place_id, name) SELECT id, 'x.jpg' FROM places WHERE slug = 'upper-heron-bridge'",
    )
    assert migrate(database, "0003").returncode == 0
    assert query(database, "SELECT count(*) FROM places")[0][0] == 13


@pytest.mark.parametrize(
    "url", ["postgresql://nobody:hunter2@127.0.0.1:1/none", "postgresql://nobody:hunter2@nowhere.invalid/none"]
)
def test_a_database_that_is_away_is_an_error_of_one_line(url: str) -> None:
    ended = migrate(url)
    assert ended.returncode == 1
    assert len(ended.stdout.splitlines()) == 1
    assert "hunter2" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_the_search_can_use_its_index(database: str) -> None:
    plan = query(
        database + "?enable_seqscan=off",  # or a table this small would just be read
        f"EXPLAIN SELECT id FROM places WHERE {SEARCH} @@ websearch_to_tsquery('english', 'ferryman soup')",
    )
    assert "places_search" in "\n".join(row[0] for row in plan)
