"""Places: how they are read, found, added and listed.

Every query names its columns: the release before this one keeps running while a migration adds one.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sevra_atlas.cache import Cache
    from sevra_atlas.database import Database

LISTING_LIMIT = 5000
LISTING_SECONDS = 60

COLUMNS = "id, slug, name, region, story, latitude, longitude, created_at"
SEARCH = "to_tsvector('english', name || ' ' || region || ' ' || story)"
"""Word for word the expression of the index places_search, or PostgreSQL would not use it."""


class PlaceError(Exception):
    """What was entered does not make a place; `problems` says everything that is wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@dataclass(frozen=True)
class NewPlace:
    """A place as somebody described it, found valid."""

    name: str
    region: str
    story: str
    latitude: float
    longitude: float

    @classmethod
    def from_form(cls, form: Mapping[str, object]) -> NewPlace:
        """Return the place that `form` describes; raise PlaceError with everything that is wrong with it."""
        problems: list[str] = []

        def text(field: str, shortest: int, longest: int) -> str:
            value = str(form.get(field, "")).strip()
            if not shortest <= len(value) <= longest or "\0" in value:
                problems.append(f"{field} must have {shortest} to {longest} characters")
            return value

        def degrees(field: str, most: int) -> float:
            try:
                value = float(str(form.get(field, "")))
            except ValueError:
                value = float("nan")
            if not -most <= value <= most:
                problems.append(f"{field} must be a number from -{most} to {most}")
            return value

        place = cls(
            text("name", 2, 80), text("region", 2, 60), text("story", 20, 4000),
            degrees("latitude", 90), degrees("longitude", 180),
        )  # fmt: skip
        if problems:
            raise PlaceError(tuple(problems))
        return place


def make_slug(name: str) -> str:
    """Return `name` as a part of a URL: lower case, no accents, hyphens between words."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "place"


async def add_place(database: Database, cache: Cache, account_id: int, place: NewPlace) -> str:
    """Store a place and return its slug, which gets a random end if the plain one is taken."""
    slug = make_slug(place.name)
    try:
        await _insert(database, slug, account_id, place)
    except asyncpg.UniqueViolationError:
        slug = f"{slug}-{secrets.token_hex(3)}"
        await _insert(database, slug, account_id, place)
    await forget_listings(cache)
    return slug


async def _insert(database: Database, slug: str, account_id: int, place: NewPlace) -> None:
    await database.execute(
        "INSERT INTO places (slug, name, region, story, latitude, longitude, added_by)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        slug, place.name, place.region, place.story, place.latitude, place.longitude, account_id,
    )  # fmt: skip


async def find_place(database: Database, slug: str) -> asyncpg.Record | None:
    """Return the place with this slug and the name of who added it, or None."""
    return await database.fetchrow(
        "SELECT p.id, p.slug, p.name, p.region, p.story, p.latitude, p.longitude, p.created_at, u.name AS keeper"
        " FROM places p LEFT JOIN users u ON u.id = p.added_by WHERE p.slug = $1",
        slug,
    )


async def newest_places(database: Database, count: int) -> list[asyncpg.Record]:
    """Return the places added last, newest first."""
    return await database.fetch(f"SELECT {COLUMNS} FROM places ORDER BY created_at DESC, id LIMIT $1", count)


async def places_of(database: Database, account_id: int) -> list[asyncpg.Record]:
    """Return the places that an account has added, newest first."""
    return await database.fetch(
        f"SELECT {COLUMNS} FROM places WHERE added_by = $1 ORDER BY created_at DESC, id LIMIT 200", account_id
    )


async def search_places(database: Database, words: str, count: int) -> list[asyncpg.Record]:
    """Return the places that match a search as people type it, best first."""
    return await database.fetch(
        f"SELECT {COLUMNS} FROM places, websearch_to_tsquery('english', $1) AS query"
        f" WHERE {SEARCH} @@ query ORDER BY ts_rank({SEARCH}, query) DESC, id LIMIT $2",
        words,
        count,
    )


async def regions(database: Database) -> list[asyncpg.Record]:
    """Return every region with its number of places."""
    return await database.fetch("SELECT region, count(*) AS places FROM places GROUP BY region ORDER BY region")


async def list_places(database: Database, cache: Cache, limit: int) -> bytes:
    """Return the listing as JSON, made by PostgreSQL, from the cache if it is there: at most a minute old."""
    cached = await cache.get(_listing_key(limit))
    if cached is not None:
        return cached
    text: str = await database.fetchval(
        "SELECT json_build_object('total', (SELECT count(*) FROM places), 'places', coalesce(json_agg(p), '[]'))::text"
        f" FROM (SELECT {COLUMNS} FROM places ORDER BY id LIMIT $1) AS p",
        limit,
    )
    listing = text.encode()
    await cache.put(_listing_key(limit), listing, LISTING_SECONDS)
    return listing


async def forget_listings(cache: Cache) -> None:
    """Make the next listing show what has just been stored."""
    await cache.drop(LISTINGS)


LISTINGS = "atlas:listing:1"
"""One hash with a field for every limit; the number changes with the listing's form, as two releases share a cache."""


def _listing_key(limit: int) -> tuple[str, str]:
    return LISTINGS, str(limit)
