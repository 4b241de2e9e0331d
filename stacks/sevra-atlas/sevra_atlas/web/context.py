"""What every handler works with, and the rules by which its answers may be cached."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

from sevra_atlas.accounts import Account, find_account, read_session

if TYPE_CHECKING:
    import jinja2
    from starlette.requests import HTTPConnection, Request

    from sevra_atlas.cache import Cache
    from sevra_atlas.database import Database
    from sevra_atlas.media import Media
    from sevra_atlas.queue import JobQueue
    from sevra_atlas.settings import Settings
    from sevra_atlas.web.live import Live

SESSION_COOKIE = "session"

CONTENT_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
PRIVATE = {"Cache-Control": "private, no-store"}
PUBLIC = {"Cache-Control": "public, max-age=1", "Vary": "Cookie"}
"""A second is enough for a proxy to answer a rush from its cache, and too short for anybody to see an old page."""


@dataclass(frozen=True)
class Atlas:
    """The parts that the application is made of."""

    settings: Settings
    database: Database
    cache: Cache
    queue: JobQueue
    live: Live
    media: Media
    templates: jinja2.Environment


def atlas_of(connection: HTTPConnection) -> Atlas:
    """Return the application's parts from any request or WebSocket."""
    atlas: Atlas = connection.app.state.atlas
    return atlas


def caching(request: Request) -> dict[str, str]:
    """Return the caching headers of a page that everybody may see: private as soon as the request has a session."""
    known = SESSION_COOKIE in request.cookies or "authorization" in request.headers
    return PRIVATE if known else PUBLIC


async def account_of(request: Request) -> Account | None:
    """Return who is signed in, or None."""
    atlas = atlas_of(request)
    cookie = request.cookies.get(SESSION_COOKIE, "")
    account_id = read_session(cookie, time.time(), atlas.settings.session_key)
    return await find_account(atlas.database, account_id) if account_id is not None else None


def wants_json(request: Request) -> bool:
    """Tell whether the client asked for JSON, as a program does and a browser's page load does not."""
    return "application/json" in request.headers.get("accept", "") or request.url.path.startswith(("/api/", "/jobs/"))


def page(request: Request, template: str, headers: dict[str, str], status: int = 200, **values: Any) -> HTMLResponse:
    """Return the page that `template` makes of `values`."""
    atlas = atlas_of(request)
    html = atlas.templates.get_template(template).render(
        version=atlas.settings.version, canonical=atlas.settings.public_url + request.url.path, **values
    )
    return HTMLResponse(html, status, {"Content-Security-Policy": CONTENT_POLICY, **headers})
