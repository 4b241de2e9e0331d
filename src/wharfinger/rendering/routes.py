"""The Nginx file of an environment's foreign routes: what else the same edge serves."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wharfinger.model.environment import Environment, ForeignRoute
from wharfinger.model.tls import Wish
from wharfinger.model.values import seconds
from wharfinger.rendering.site import nginx_size, nginx_time
from wharfinger.rendering.templates import Templates

SERVER_ITSELF: Final = "host.docker.internal"
"""The name by which the edge's container reaches its server; compose.yaml gives it."""
HTTP2_DIRECTIVE: Final = (1, 25, 1)
"""The first Nginx that has `http2 on`; those before say it in `listen`."""
_HTTPS: Final = 443


@dataclass(frozen=True, slots=True)
class RouteView:
    """What the template lays out of one route."""

    domain: str
    upstream: str
    by_name: bool
    """Whether it is looked up as requests come: a name that is not found must not keep Nginx from starting."""
    certificate: str | None
    listen: tuple[str, ...]
    https: str
    hsts: int | None
    upload_limit: str
    timeout: str


def render_routes(
    environment: Environment, wishes: Sequence[Wish], *, version: tuple[int, ...], templates: Templates
) -> str | None:
    """Return the file `sites/NAME.routes.conf` of an edge whose Nginx has `version`; None where there are no routes."""
    if not environment.edge.routes:
        return None
    names = {wish.domains[0]: wish.name for wish in wishes}
    routes = [_view(route, names.get(route.domain), environment, version) for route in environment.edge.routes]
    return templates.render("routes.conf.j2", routes=routes)


def listens(version: tuple[int, ...]) -> tuple[str, ...]:
    """Return the lines by which an Nginx of that version serves HTTPS, by HTTP/2 too."""
    return ("listen 443 ssl;", "http2 on;") if version >= HTTP2_DIRECTIVE else ("listen 443 ssl http2;",)


def _view(
    route: ForeignRoute, certificate: str | None, environment: Environment, version: tuple[int, ...]
) -> RouteView:
    host, _, port = route.to.rpartition(":")
    own = host == "localhost" or _is_loopback(host)
    tls = route.tls
    https_port = (tls.https_port if tls is not None else None) or environment.https_port
    return RouteView(
        domain=route.domain,
        upstream=f"{SERVER_ITSELF if own else host}:{port}",
        by_name=not own and not _is_address(host),
        certificate=certificate,
        listen=listens(version),
        https="" if https_port == _HTTPS else f":{https_port}",
        hsts=round(seconds(tls.hsts)) if tls is not None and tls.hsts is not None else None,
        upload_limit=nginx_size(route.upload_limit),
        timeout=nginx_time(route.timeout),
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_loopback
