"""Migrations: one at a time, however many are started.

Rules for a migration, because the release before it keeps serving while it runs and after it:
expand first (add what the new release needs, never rename or drop what the old one uses), contract a release
later; take no lock for long (`lock_timeout` makes a blocked migration fail rather than block the site).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

LOCK_KEY = 7_382_015_544  # any number, as long as no other program locks the same in this database
LOCK_WITHIN_S = 300.0
ALEMBIC_INI = Path(__file__).parent.parent / "alembic.ini"


class LockHeldError(Exception):
    """Another migration holds the lock and does not come to an end."""


def migrate(revision: str) -> int:
    """Bring the database of DATABASE_URL up to `head`, or down to any other `revision`.

    Returns 0, or 1 with the reason in the log.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy.exc import DBAPIError

    try:
        config = Config(ALEMBIC_INI)
        if revision == "head":
            command.upgrade(config, revision)
        else:
            command.downgrade(config, revision)
    except (CommandError, DBAPIError, LockHeldError, OSError, asyncpg.PostgresError) as error:
        log.error("The migration failed", extra={"fields": {"reason": str(error), "error": type(error).__name__}})
        return 1
    log.info("The database is at the wanted revision", extra={"fields": {"revision": revision}})
    return 0


def check() -> int:
    """Return 0 where the database of DATABASE_URL is at the newest revision, and 1 where it is not; change nothing."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    heads = set(ScriptDirectory.from_config(Config(ALEMBIC_INI)).get_heads())
    try:
        current = asyncio.run(_revisions(os.environ["DATABASE_URL"]))
    except (OSError, asyncpg.PostgresError) as error:
        log.error("The revision is not known", extra={"fields": {"reason": str(error), "error": type(error).__name__}})
        return 1
    known = {"current": sorted(current), "newest": sorted(heads)}
    if current == heads:
        log.info("The database is at the newest revision", extra={"fields": known})
        return 0
    log.error("The database is not at the newest revision", extra={"fields": known})
    return 1


async def _revisions(url: str) -> set[str]:
    """Return the revisions that a database is at; none where it was never migrated."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        rows = await connection.fetch("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return set()
    finally:
        await connection.close()
    return {row["version_num"] for row in rows}


def with_locked_connection(work: Callable[[Connection], None]) -> None:
    """Run `work` on a connection to DATABASE_URL that alone may migrate; the lock goes with the connection."""
    asyncio.run(_with_locked_connection(os.environ["DATABASE_URL"], work))


async def _with_locked_connection(url: str, work: Callable[[Connection], None]) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def connect() -> asyncpg.Connection[asyncpg.Record]:
        connection = await asyncpg.connect(url, timeout=10, server_settings={"lock_timeout": "5s", "timezone": "UTC"})
        await _lock(connection)
        return connection

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(work)
    finally:
        await engine.dispose()


async def _lock(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Try again and again rather than wait in PostgreSQL: a waiting statement blocks CREATE INDEX CONCURRENTLY."""
    deadline = time.monotonic() + LOCK_WITHIN_S
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
        if time.monotonic() > deadline:
            raise LockHeldError(f"another migration has held the lock for {LOCK_WITHIN_S:.0f} s")
        await asyncio.sleep(0.25)
