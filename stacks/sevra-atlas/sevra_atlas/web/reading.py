"""Reading the atlas: the pages that everybody may see, and the listing for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

from sevra_atlas.photos import photos_of
from sevra_atlas.places import LISTING_LIMIT, find_place, list_places, newest_places, regions, search_places
from sevra_atlas.web.context import account_of, atlas_of, caching, page

if TYPE_CHECKING:
    from starlette.requests import Request


async def home(request: Request) -> Response:
    """`/`: the newest places and all regions."""
    database = atlas_of(request).database
    return page(
        request,
        "home.html",
        caching(request),
        account=await account_of(request),
        places=await newest_places(database, 24),
        regions=await regions(database),
    )


async def search(request: Request) -> Response:
    """`/search?q=`: the places that match."""
    words = request.query_params.get("q", "").replace("\0", "").strip()[:200]
    found = await search_places(atlas_of(request).database, words, 50) if words else []
    return page(request, "search.html", caching(request), account=await account_of(request), words=words, places=found)


async def place(request: Request) -> Response:
    """`/places/{slug}`: one place with its story and photos."""
    database = atlas_of(request).database
    found = await find_place(database, request.path_params["slug"])
    if found is None:
        raise HTTPException(404, "There is no such place")
    return page(
        request,
        "place.html",
        caching(request),
        account=await account_of(request),
        place=found,
        photos=await photos_of(database, found["id"]),
    )


async def listing(request: Request) -> Response:
    """`/api/places?limit=`: up to 5000 places as JSON, 100 unless told."""
    limit = request.query_params.get("limit", "100")
    if not (limit.isdecimal() and 1 <= int(limit) <= LISTING_LIMIT):
        raise HTTPException(400, f"limit must be a number from 1 to {LISTING_LIMIT}")
    atlas = atlas_of(request)
    content = await list_places(atlas.database, atlas.cache, int(limit))
    return Response(content, media_type="application/json", headers=caching(request))
