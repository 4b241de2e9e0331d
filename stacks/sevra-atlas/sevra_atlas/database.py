"""The connection pool, and what counts as the database being away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from sevra_atlas.settings import Settings

    Database = asyncpg.Pool[asyncpg.Record]

AWAY = (
    OSError,  # TimeoutError is one too
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # starting up, shutting down
    asyncpg.TooManyConnectionsError,
)
"""What asyncpg raises while the server cannot be used: worth another try later, and no fault of the request."""


def open_database(settings: Settings) -> Database:
    """Return a pool to be entered with `async with`; it connects when first used, so a late server stops nobody."""
    return asyncpg.create_pool(
        settings.database_url,
        min_size=0,
        max_size=10,
        timeout=3,
        command_timeout=15,
        server_settings={"application_name": "sevra-atlas", "timezone": "UTC"},
    )


async def is_connected(database: Database, timeout_s: float = 2.0) -> bool:
    """Tell whether the database answers a query within `timeout_s` seconds."""
    try:
        async with database.acquire(timeout=timeout_s) as connection:
            await connection.execute("SELECT 1", timeout=timeout_s)
    except AWAY:
        return False
    return True
