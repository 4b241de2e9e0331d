"""Photos: images named after their content, wherever media are kept, and a row each.

Such an image never changes, so it may be cached for ever, and shared by two places.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sevra_atlas.jobs import THUMBNAIL, create_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg
    from starlette.responses import Response

    from sevra_atlas.database import Database
    from sevra_atlas.media import Media

MAX_BYTES = 10 * 1024 * 1024
NAME = re.compile(r"[0-9a-f]{40}(-small)?\.(jpg|png|webp|gif)")
MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}


class NotAnImageError(Exception):
    """The content is none of the image formats that the atlas takes."""


def suffix_of(head: bytes) -> str:
    """Return the file suffix of the image that starts with `head` (12 bytes); what a client claims counts nothing."""
    if head.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[:6] in {b"GIF87a", b"GIF89a"}:
        return ".gif"
    raise NotAnImageError("Only JPEG, PNG, WebP and GIF images are taken")


def store_image(media: Media, content: BinaryIO) -> str:
    """Keep an image durably and return its name; raise NotAnImageError for anything else."""
    data = content.read()
    name = hashlib.sha256(data).hexdigest()[:40] + suffix_of(data[:12])
    media.put(name, data)
    return name


async def find_image(media: Media, name: str, headers: Mapping[str, str]) -> Response | None:
    """Return the answer that sends the image of a public name, or None; no name leads to anything but an image."""
    if not NAME.fullmatch(name):
        return None
    return await media.respond(name, MEDIA_TYPES[Path(name).suffix], headers)


async def add_photo(database: Database, place_id: int, account_id: int, name: str) -> str:
    """Record a stored image as a photo of a place and return the id of the job that makes its thumbnail."""
    async with database.acquire() as connection, connection.transaction():
        photo_id = await connection.fetchval(
            "INSERT INTO photos (place_id, added_by, name) VALUES ($1, $2, $3)"
            " ON CONFLICT (place_id, name) DO UPDATE SET name = excluded.name RETURNING id",
            place_id, account_id, name,
        )  # fmt: skip
        return await create_job(connection, THUMBNAIL, {"photo_id": photo_id})


async def photos_of(database: Database, place_id: int) -> list[asyncpg.Record]:
    """Return the photos of a place, oldest first."""
    return await database.fetch(
        "SELECT name, coalesce(thumbnail, name) AS small, width, height FROM photos WHERE place_id = $1 ORDER BY id",
        place_id,
    )
