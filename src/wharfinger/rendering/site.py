"""The Nginx file of one site: `site_view` decides, `templates/site.conf.j2` lays out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wharfinger.errors import InvalidInput
from wharfinger.model.release import LONGEST_NAME, SLOTS
from wharfinger.model.site import Cache, Route, Site
from wharfinger.model.tls import Tls
from wharfinger.model.values import seconds, size_in_bytes
from wharfinger.rendering.templates import Templates

# `resolve` in an upstream came with 1.27.3, $request_port with 1.29.3.
OLDEST_NGINX: Final = (1, 29, 3)
_HTTPS: Final = 443

DEFAULT_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "base-uri 'self'; frame-ancestors 'self'; object-src 'none'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """One service in one slot, as a group of Nginx."""

    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Header:
    """A header that an answer gets unless the service gave it, as `$variable` holds it."""

    name: str
    value: str
    variable: str
    from_service: str


@dataclass(frozen=True, slots=True)
class Location:
    """What happens to the requests below one path; None: as the server block says."""

    match: str
    service: str
    upload_limit: str | None = None
    timeout: str | None = None
    streaming: bool = False
    is_health: bool = False


@dataclass(frozen=True, slots=True)
class CacheView:
    """The micro-cache: `signed_in` is the pattern of a Cookie header that may not use it."""

    ttl: str
    stale: str
    size: str
    signed_in: str


@dataclass(frozen=True, slots=True)
class SiteView:
    """Everything that the template of a site lays out, each value as Nginx writes it."""

    name: str
    variable: str
    domains: tuple[str, ...]
    ports: Mapping[str, int]
    by_name: bool
    """Whether every service has a name of its own in each slot and release; it may be too long for one."""
    upstreams: tuple[Upstream, ...]
    headers: tuple[Header, ...]
    locations: tuple[Location, ...]
    cache: CacheView | None
    upload_limit: str
    connect_timeout: str
    read_timeout: str
    snippet: str
    certificate: str | None
    health: str
    https: str
    """Where plain HTTP is sent on to, without host: `` or `:8443`."""


def render_site(
    site: Site,
    *,
    environment_name: str,
    ports: Mapping[str, int],
    domains: Sequence[str],
    tls: Tls | None,
    version: tuple[int, ...],
    templates: Templates,
    certificate: str | None = None,
) -> str:
    """Return the file `sites/NAME.conf` of an edge whose Nginx has `version`.

    `environment_name` is STACK-ENV, `ports` where each service listens (all can be probed, routed or not),
    `domains` the host names, `certificate` the folder of one that `tls` itself does not name. Raises InvalidInput for
    an Nginx that is too old and for a broken template.
    """
    if version < OLDEST_NGINX:
        raise InvalidInput(
            f"the edge runs Nginx {_dotted(version)}, and a site needs {_dotted(OLDEST_NGINX)}",
            fix="let the edge run nginx:1.30",
        )
    view = site_view(
        site, environment_name=environment_name, ports=ports, domains=domains, tls=tls, certificate=certificate
    )
    return templates.render("site.conf.j2", site=view)


def site_view(
    site: Site,
    *,
    environment_name: str,
    ports: Mapping[str, int],
    domains: Sequence[str],
    tls: Tls | None,
    certificate: str | None = None,
) -> SiteView:
    """Decide everything about a site that its template lays out."""
    return SiteView(
        name=environment_name,
        variable=_variable(environment_name),
        domains=tuple(domains),
        ports=ports,
        by_name=all(len(f"{environment_name}-green-{'0' * 14}-{name}") <= LONGEST_NAME for name in ports),
        upstreams=tuple(
            Upstream(f"{environment_name}-{slot}-{service}", port) for service, port in ports.items() for slot in SLOTS
        ),
        headers=_headers(site.headers, _variable(environment_name), tls),
        locations=_locations(site),
        cache=_cache(site.cache) if site.cache.enabled else None,
        upload_limit=nginx_size(site.upload_limit),
        connect_timeout=nginx_time(site.timeouts.connect),
        read_timeout=nginx_time(site.timeouts.read),
        snippet=site.snippet.strip("\n"),
        certificate=(certificate or tls.certificate) if tls else None,
        health=site.health,
        https="" if tls is None or tls.https_port in {None, _HTTPS} else f":{tls.https_port}",
    )


def _headers(own: Mapping[str, str | None], site: str, tls: Tls | None) -> tuple[Header, ...]:
    """Merge the stack's headers over the default ones; names match in any case, as they do in HTTP."""
    wanted: dict[str, tuple[str, str | None]] = {name.lower(): (name, value) for name, value in DEFAULT_HEADERS.items()}
    if tls is not None and tls.hsts is not None:
        value = f"max-age={round(seconds(tls.hsts))}"
        wanted["strict-transport-security"] = ("Strict-Transport-Security", value)
    wanted |= {name.lower(): (name, value) for name, value in own.items()}
    return tuple(
        Header(
            name=name,
            value=_quoted(value),
            variable=f"{site}_{lower.replace('-', '_')}",
            from_service=f"upstream_http_{lower.replace('-', '_')}",
        )
        for lower, (name, value) in sorted(wanted.items())
        if value is not None
    )


def _locations(site: Site) -> tuple[Location, ...]:
    """Put the health path first; it goes wherever the longest route leads that covers it."""
    below = [route for route in site.routes if site.health.startswith(route.path)]
    health = max(below, key=lambda route: len(route.path), default=None)
    first = () if health is None else (Location(f"= {site.health}", health.service, is_health=True),)
    return (*first, *(_location(route) for route in sorted(site.routes, key=lambda route: route.path)))


def _location(route: Route) -> Location:
    return Location(
        match=route.path,
        service=route.service,
        upload_limit=None if route.upload_limit is None else nginx_size(route.upload_limit),
        timeout=None if route.timeout is None else nginx_time(route.timeout),
        streaming=route.streaming,
    )


def _cache(cache: Cache) -> CacheView:
    names = "|".join(re.escape(name) for name in cache.session_cookies)
    return CacheView(
        ttl=nginx_time(cache.ttl),
        stale=nginx_time(cache.stale),
        size=nginx_size(cache.size),
        # The whole header is searched: of two cookies of one name a service may take either.
        signed_in=_quoted(rf"~(^|[;,\s])({names})=") if names else _quoted("~."),
    )


def _variable(name: str) -> str:
    """Return a site's name as part of a variable's, differently for every name."""
    return name.replace("_", "__").replace("-", "_")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def nginx_time(duration: str) -> str:
    """Return a duration as Nginx writes it."""
    exact = seconds(duration)
    return f"{int(exact)}s" if exact.is_integer() and exact >= 1 else f"{max(1, math.ceil(exact * 1000))}ms"


def nginx_size(size: str) -> str:
    """Return a size as Nginx writes it."""
    count = size_in_bytes(size)
    for unit, factor in (("m", 2**20), ("k", 2**10)):
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
