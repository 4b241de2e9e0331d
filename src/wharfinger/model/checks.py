"""The `checks` section of a stack file: what must hold before a release counts."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StringConstraints, Tag

from wharfinger.model.values import Duration, Model, Name

ERROR_LINES: Final = r'\b(ERROR|CRITICAL|FATAL|PANIC)\b|^Traceback|^panic:|"level": ?"(error|critical|fatal|panic)"'
"""What a log line that tells of an error looks like in most programs, as a regular expression."""

# What can neither end a request's first line nor a header field.
_REQUEST_PATH: Final = r"^/[!-~]*$"
_HEADER_NAME: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
_HEADER_VALUE: Final = r"^[ -~]*$"
HeaderName = Annotated[str, StringConstraints(pattern=_HEADER_NAME)]
HeaderValue = Annotated[str, StringConstraints(pattern=_HEADER_VALUE)]


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _compiled(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error.msg}") from None
    return pattern


class Check(Model):
    """One request through the public address that must be answered as expected."""

    path: Annotated[str, Field(pattern=r"^/")]
    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, repr=False)
    """Sent with the request; public, so no credentials of people."""
    body: str | None = Field(default=None, repr=False)
    """Sent with the request, as UTF-8."""
    status: Annotated[int, Field(ge=100, le=599)] = 200
    expect: dict[str, Any] = Field(default_factory=dict, alias="json")
    """Members that the JSON answer must have, with these values."""
    contains: str | None = None
    timeout: Duration = "5s"
    """Asked again until then, unless asking twice may do something twice (POST, PUT, PATCH, DELETE)."""

    @property
    def name(self) -> str:
        """What the checklist calls it."""
        return f"{self.method} {self.path}"

    @property
    def is_safe(self) -> bool:
        """Whether it may be asked any number of times."""
        return self.method in {"GET", "HEAD", "OPTIONS"}


class Logs(Model):
    """What the logs of the new containers must not hold."""

    deny: Annotated[str, StringConstraints(min_length=1), AfterValidator(_compiled)] = ERROR_LINES
    """A regular expression, searched for in each line."""
    services: Annotated[tuple[Name, ...], BeforeValidator(_tupled)] = ()
    """Whose logs; absent: every service's."""


class LogCheck(Model):
    """No line of the new containers' logs tells of an error."""

    logs: Logs

    @property
    def name(self) -> str:
        """What the checklist calls it."""
        return f"logs of {', '.join(self.logs.services) or 'all services'}"


class Latency(Model):
    """How a short request's time is held against the release before."""

    path: Annotated[str, Field(pattern=_REQUEST_PATH)] | None = None
    """Asked with GET, answered with 200; absent: `site.health`, which the edge never caches."""
    samples: Annotated[int, Field(ge=3, le=500)] = 20
    factor: Annotated[float, Field(ge=1)] = 2.0
    """How many times the old median the new one may be."""
    floor: Duration = "5ms"
    """A median up to this passes in any case: so short, noise decides."""


class LatencyCheck(Model):
    """The median of a short request is not much worse than the release before had it."""

    latency: Latency

    @property
    def name(self) -> str:
        """What the checklist calls it."""
        return f"median of GET {self.latency.path}" if self.latency.path else "median of the health path"


def _kind(value: Any) -> str:
    """Return which check an entry of the list is: by its key, or a request."""
    if isinstance(value, LogCheck) or (isinstance(value, dict) and "logs" in value):
        return "log check"
    if isinstance(value, LatencyCheck) or (isinstance(value, dict) and "latency" in value):
        return "latency check"
    return "request check"


AnyCheck = Annotated[
    Annotated[Check, Tag("request check")]
    | Annotated[LogCheck, Tag("log check")]
    | Annotated[LatencyCheck, Tag("latency check")],
    Discriminator(_kind),
]
Checks = Annotated[tuple[AnyCheck, ...], BeforeValidator(_tupled)]
"""The checklist of a release, in its order."""
