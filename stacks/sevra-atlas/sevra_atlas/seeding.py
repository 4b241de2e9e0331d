"""More rows than a small atlas would have, for load tests."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from sevra_atlas.settings import Settings

log = logging.getLogger(__name__)


def seed(settings: Settings, count: int) -> int:
    """Copy places of the gazetteer until there are `count`, the same ones every time; return 0."""
    added = asyncio.run(_seed(settings.database_url, count))
    log.info("The gazetteer is filled", extra={"fields": {"added": added, "wanted": count}})
    return 0


async def _seed(url: str, count: int) -> int:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        status = await connection.execute(
            "INSERT INTO places (slug, name, region, story, latitude, longitude, created_at)"
            " SELECT slug || '-' || n, name || ' ' || n, region, story, latitude, longitude, created_at"
            " FROM places AS p, generate_series(2, 2 + $1 / 2400) AS n"
            " WHERE added_by IS NULL AND slug !~ '[0-9]$'"
            "  AND NOT EXISTS (SELECT FROM places AS q WHERE q.slug = p.slug || '-' || n)"
            " ORDER BY n, id LIMIT greatest(0, $1 - (SELECT count(*) FROM places))",
            count,
        )
    finally:
        await connection.close()
    return int(status.split()[-1])
