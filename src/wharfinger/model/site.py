"""The `site` section of a stack file: what the edge does with the requests of one stack."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from wharfinger.model.values import Duration, Model, Name, Size, seconds

# What cannot end an Nginx word or a quoted string, begin a comment or name a variable.
_PATH: Final = r"^/[A-Za-z0-9._~/-]*$"
# RFC 9110's token: header field names and cookie names alike.
_TOKEN: Final = r"^[A-Za-z0-9!#%&'*+.^_`|~-]+$"  # noqa: S105 - a grammar's word, not a credential

UrlPath = Annotated[str, StringConstraints(pattern=_PATH)]
"""The path of a URL, from its first slash on."""

CookieName = Annotated[str, StringConstraints(pattern=_TOKEN)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")]


def _literal(value: str) -> str:
    if "$" in value or not value.isprintable():
        raise ValueError("a header's value is one line, without `$`: Nginx would take it for a variable")
    return value


def _whole_seconds(duration: str) -> str:
    if seconds(duration) < 1 or not seconds(duration).is_integer():
        raise ValueError("Nginx counts this in whole seconds, from 1s")
    return duration


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


HeaderValue = Annotated[str, StringConstraints(min_length=1), AfterValidator(_literal)]
WholeSeconds = Annotated[Duration, AfterValidator(_whole_seconds)]


class Route(Model):
    """Where requests go whose path begins with `path`; the longest path wins."""

    path: UrlPath
    service: Name
    upload_limit: Size | None = None
    """Absent: the site's own."""
    timeout: Duration | None = None
    """How long the service may be silent, WebSockets included; absent: the site's `timeouts.read`."""
    streaming: bool = False
    """Pass bodies on as they come, both ways and uncached: for server-sent events and very large uploads."""


class Cache(Model):
    """The micro-cache of what anonymous visitors GET; nothing private and no `Set-Cookie` enters it."""

    enabled: bool = True
    ttl: WholeSeconds = "1s"
    """How long an answer is fresh where the service itself does not say."""
    stale: WholeSeconds = "30s"
    """How long an answer that nobody asks for may still be shown once, while a new one is fetched."""
    session_cookies: Annotated[tuple[CookieName, ...], BeforeValidator(_tupled)] = ()
    """Cookies that mark a visitor as signed in; absent: any cookie does."""
    size: Size = "64m"


class Timeouts(Model):
    """How long the edge waits for a service."""

    connect: Duration = "1s"
    read: Duration = "60s"


class Site(Model):
    """How the stack is reached through the edge."""

    routes: Annotated[tuple[Route, ...], BeforeValidator(_tupled), Field(min_length=1)]
    health: UrlPath = "/health"
    """Never cached, and logged only where it fails."""
    cache: Cache = Cache()
    upload_limit: Size = "12m"
    headers: dict[HeaderName, HeaderValue | None] = Field(default_factory=dict)
    """Security headers beside or instead of the default ones; null drops one. A service's own header wins."""
    timeouts: Timeouts = Timeouts()
    snippet: str = ""
    """Raw Nginx lines for the end of the server block."""

    @model_validator(mode="after")
    def _paths_must_differ(self) -> Self:
        paths = [route.path for route in self.routes]
        if twice := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"more than one route for {', '.join(twice)}")
        return self
