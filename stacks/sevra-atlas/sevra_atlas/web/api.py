"""The api: the routes, and what happens when one of them fails."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from sevra_atlas import database as db
from sevra_atlas.cache import Cache
from sevra_atlas.media import open_media
from sevra_atlas.queue import JobQueue
from sevra_atlas.serving import run, serve, stop_on_signals
from sevra_atlas.web import accounts, adding, reading
from sevra_atlas.web.context import PRIVATE, Atlas, atlas_of, page, wants_json
from sevra_atlas.web.live import Live, live_feed
from sevra_atlas.web.middleware import RequestLog, SameOrigin

if TYPE_CHECKING:
    from starlette.requests import Request

    from sevra_atlas.settings import Settings

log = logging.getLogger(__name__)

HERE = Path(__file__).parent.parent
MAX_FORM_BODY = 64 * 1024

ROUTES = [
    Route("/", reading.home),
    Route("/search", reading.search),
    Route("/places/{slug}", reading.place),
    Route("/api/places", reading.listing),
    Route("/sign-up", accounts.show_sign_up),
    Route("/sign-up", accounts.do_sign_up, methods=["POST"]),
    Route("/sign-in", accounts.show_sign_in),
    Route("/sign-in", accounts.do_sign_in, methods=["POST"]),
    Route("/sign-out", accounts.do_sign_out, methods=["POST"]),
    Route("/me", accounts.me),
    Route("/places", adding.create_place, methods=["POST"]),
    Route("/places/{slug}/photos", adding.upload_photo, methods=["POST"], max_body_size=adding.MAX_UPLOAD_BODY),
    Route("/uploads/{name}", adding.uploaded),
    Route("/jobs/{id}", adding.job),
    WebSocketRoute("/ws", live_feed),
    Mount("/static", StaticFiles(directory=HERE / "static")),
]


async def health(request: Request) -> Response:
    """`/health`: 200 while the database answers, else 503; the caches may be away, the atlas works without them."""
    atlas = atlas_of(request)
    connected = await db.is_connected(atlas.database)
    body = {
        "status": "healthy" if connected else "unhealthy",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "database": "connected" if connected else "disconnected",
        "version": atlas.settings.version,
    }
    return JSONResponse(body, 200 if connected else 503, {"Cache-Control": "no-store"})


def _problem(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    if wants_json(request):
        return JSONResponse({"problem": detail}, status, {**PRIVATE, **(headers or {})})
    if status == 401:
        return RedirectResponse("/sign-in", 303, PRIVATE)
    return page(
        request,
        "problem.html",
        {**PRIVATE, **(headers or {})},
        status,
        account=None,
        code=status,
        detail=detail,
    )


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(request, error.status_code, error.detail, dict(error.headers or {}))


async def _server_away(request: Request, error: Exception) -> Response:
    log.error("A server or the disk is away", extra={"fields": {"error": type(error).__name__}})
    return _problem(request, 503, "The atlas cannot be read just now", {"Retry-After": "5"})


async def _fault(request: Request, _error: Exception) -> Response:
    return _problem(request, 500, "Something went wrong on our side")


def build_app(atlas: Atlas) -> Starlette:
    """Return the application, ready to be served."""
    app = Starlette(
        routes=[Route("/health", health), *ROUTES],
        middleware=[Middleware(SameOrigin, public_url=atlas.settings.public_url)],
        exception_handlers={
            HTTPException: _http_problem,
            500: _fault,
            **dict.fromkeys(db.AWAY, _server_away),
        },
        max_body_size=MAX_FORM_BODY,
    )
    app.state.atlas = atlas
    return app


def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


async def _run(settings: Settings) -> None:
    stop, live = stop_on_signals(), Live()
    cache, queue = Cache(settings.redis_cache_url), JobQueue(settings.redis_queue_url)
    async with db.open_database(settings) as database:
        atlas = Atlas(settings, database, cache, queue, live, open_media(settings), _templates())
        following: asyncio.Task[Any] = asyncio.create_task(live.follow(queue))
        try:
            await serve(RequestLog(build_app(atlas)), settings.port, stop, live.say_goodbye)
        finally:
            following.cancel()
            await cache.close()
            await queue.close()


def run_api(settings: Settings) -> int:
    """Serve the atlas until SIGTERM; return 0."""
    return run(_run(settings))
