"""Migrations: SQL files in the order of their names, each in a transaction of its own, one run at a time.

Expand first and contract a release later: the release before keeps serving while a migration runs, and after it.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import asyncpg

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "migrations"
LOCK_KEY = 5_173_300_015  # any number, as long as no other program locks the same in this database


def run(url: str, mode: str = "") -> int:
    """Apply what is pending; `--check` returns 1 where something is, `--list` prints it, and both change nothing."""
    try:
        return asyncio.run(_run(url, mode))
    except (OSError, asyncpg.PostgresError) as error:
        log.error("the migration failed: %s: %s", type(error).__name__, error)
        return 1


async def _run(url: str, mode: str) -> int:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        if mode:
            waiting = await pending(connection)
            for name in waiting if mode == "--list" else ():
                print(name)
            return 1 if waiting and mode == "--check" else 0
        await connection.execute("SET lock_timeout = '5s'")
        await connection.fetchval("SELECT pg_advisory_lock($1)", LOCK_KEY, timeout=300)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"
        )
        for name in await pending(connection):
            async with connection.transaction():
                await connection.execute((FOLDER / f"{name}.sql").read_text(encoding="utf-8"))
                await connection.execute("INSERT INTO migrations (name) VALUES ($1)", name)
            log.info("applied %s", name)
        return 0
    finally:
        await connection.close()


async def pending(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    """Return the names of the migrations that a database has not seen, in their order."""
    there = await connection.fetchval("SELECT to_regclass('migrations') IS NOT NULL")
    rows = await connection.fetch("SELECT name FROM migrations") if there else []
    applied = {row["name"] for row in rows}
    return [path.stem for path in sorted(FOLDER.glob("*.sql")) if path.stem not in applied]
