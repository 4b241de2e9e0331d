"""The backend's HTTP interface, all of it below /api/."""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

log = logging.getLogger(__name__)

_AWAY = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, TimeoutError)


def serve(url: str, port: int) -> int:
    """Serve until SIGTERM; requests in flight are answered first."""
    uvicorn.run(
        application(url),
        host="0.0.0.0",  # noqa: S104 - the container's own network decides who reaches it
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        # Longer than a proxy keeps an idle connection (Nginx: 60 s), or we might close one that it is about to use.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=20,
    )
    return 0


def application(url: str) -> Starlette:
    """Return the application on the database at `url`, which may come up after it."""

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        app.state.pool = asyncpg.create_pool(url, min_size=0, max_size=8, timeout=3, command_timeout=5)
        await app.state.pool
        yield
        app.state.pool.terminate()

    routes = [
        Route("/api/health", health),
        Route("/api/cars", cars, methods=["GET"]),
        Route("/api/bookings", bookings, methods=["GET"]),
        Route("/api/bookings", book, methods=["POST"]),
        Route("/api/bookings/{id:int}", cancel, methods=["DELETE"]),
    ]
    return Starlette(routes=routes, lifespan=life)


def _pool(request: Request) -> asyncpg.Pool[asyncpg.Record]:
    pool: asyncpg.Pool[asyncpg.Record] = request.app.state.pool
    return pool


async def health(request: Request) -> JSONResponse:
    """Say whether the database answers."""
    try:
        await _pool(request).fetchval("SELECT 1")
    except _AWAY as error:
        log.warning("the database does not answer: %s", type(error).__name__)
        return JSONResponse({"status": "unhealthy", "database": "disconnected"}, 503)
    return JSONResponse({"status": "healthy", "database": "connected"})


async def cars(request: Request) -> JSONResponse:
    """List the cars."""
    return JSONResponse(
        [dict(row) for row in await _pool(request).fetch("SELECT id, name, plate FROM cars ORDER BY id")]
    )


async def bookings(request: Request) -> JSONResponse:
    """List the bookings that are not over, the next one first."""
    rows = await _pool(request).fetch(
        "SELECT id, car, driver, starts, ends FROM bookings WHERE ends > now() ORDER BY starts, id LIMIT 200"
    )
    return JSONResponse([_shown(row) for row in rows])


async def book(request: Request) -> JSONResponse:
    """Promise a car to a driver; 409 where somebody else has it then, 422 where the request makes no sense."""
    try:
        wanted = _wanted(await request.json())
    except (ValueError, TypeError, KeyError, AttributeError):
        return JSONResponse({"error": "car, driver, starts and ends, with starts before ends"}, 422)
    insert = "INSERT INTO bookings (car, driver, starts, ends) VALUES ($1, $2, $3, $4) RETURNING *"
    try:
        row = await _pool(request).fetchrow(insert, *wanted)
    except asyncpg.ExclusionViolationError:
        return JSONResponse({"error": "somebody has that car then"}, 409)
    except asyncpg.ForeignKeyViolationError:
        return JSONResponse({"error": "there is no such car"}, 422)
    assert row is not None
    return JSONResponse(_shown(row), 201)


async def cancel(request: Request) -> Response:
    """Give a car back."""
    gone = await _pool(request).fetchval("DELETE FROM bookings WHERE id = $1 RETURNING id", request.path_params["id"])
    return Response(status_code=204 if gone is not None else 404)


def _wanted(given: Any) -> tuple[int, str, datetime.datetime, datetime.datetime]:
    starts, ends = (datetime.datetime.fromisoformat(given[name]) for name in ("starts", "ends"))
    driver = str(given["driver"]).strip()
    car = int(given["car"])
    if not driver or len(driver) > 100 or starts.tzinfo is None or ends.tzinfo is None or starts >= ends:
        raise ValueError
    if not 0 < car < 2**31:
        raise ValueError
    return car, driver, starts, ends


def _shown(row: asyncpg.Record) -> dict[str, Any]:
    return {**dict(row), "starts": row["starts"].isoformat(), "ends": row["ends"].isoformat()}
