"""Asking a site whether it answers as it should."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import statistics
import time
from dataclasses import dataclass, field
from typing import Any, Final

from wharfinger.model.checks import Check
from wharfinger.model.maintenance import HEADER
from wharfinger.model.values import seconds

_PAUSE: Final = 0.1
_WARM_UP: Final = 3
_LARGEST_ANSWER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Address:
    """A public address, and where its server is to be found without asking DNS."""

    url: str
    host: str
    """The host name of the URL, sent as `Host`."""
    connect_to: str
    port: int
    tls: bool = False
    token: str | None = field(default=None, repr=False)
    """What lets a request pass while the site is under maintenance."""
    trust: str | None = field(default=None, repr=False)
    """CAs that are to be trusted beside the public ones, as PEM."""


def failure(address: Address, check: Check) -> str | None:
    """Return why a check fails, or None where it passes; tries until its time-out.

    A site tells nobody when it will answer, so this one asks again every 0.1 s; but only once where asking twice may
    do something twice. An attempt that the time-out cuts off says less than the one before it, whose problem is told
    then.
    """
    deadline = time.monotonic() + seconds(check.timeout)
    told = ""
    while (problem := _ask(address, check, deadline)) is not None:
        told = problem if not told or time.monotonic() < deadline else told
        if not check.is_safe or time.monotonic() + _PAUSE >= deadline:
            return told
        time.sleep(_PAUSE)
    return None


def median_latency(address: Address, path: str, *, samples: int) -> float | None:
    """Return the median seconds of so many GETs, each on a connection of its own; None where one does not answer 200.

    A few more come first and do not count: they meet cold caches.
    """
    check, taken = Check(path=path), []
    for _ in range(_WARM_UP + samples):
        began = time.perf_counter()
        if _ask(address, check, time.monotonic() + seconds(check.timeout)) is not None:
            return None
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[_WARM_UP:])


def _ask(address: Address, check: Check, deadline: float) -> str | None:
    try:
        status, body = _request(address, check, deadline)
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is refused: {error.verify_message}"
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        return str(error) or type(error).__name__
    if status != check.status:
        return f"status {status}, expected {check.status}"
    if check.contains is not None and check.contains.encode() not in body:
        return f"the answer does not contain {check.contains!r}"
    return _differs(check.expect, body) if check.expect else None


def _request(address: Address, check: Check, deadline: float) -> tuple[int, bytes]:
    timeout = max(0.1, deadline - time.monotonic())
    connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    connection.sock = socket.create_connection((address.connect_to, address.port), timeout)
    try:
        if address.tls:
            connection.sock = _context(address).wrap_socket(connection.sock, server_hostname=address.host)
        headers = {"User-Agent": "wharfinger", "Cache-Control": "no-cache", **check.headers}
        if address.token is not None:
            headers[HEADER] = address.token
        body = None if check.body is None else check.body.encode()
        connection.request(check.method, check.path, body, headers)
        response = connection.getresponse()
        return response.status, _body(response, deadline)
    finally:
        connection.close()


def _context(address: Address) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if address.trust is not None:
        context.load_verify_locations(cadata=address.trust)
    return context


def _body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Read an answer to its end, or as much as counts; one that trickles on and on ends at the deadline."""
    body = b""
    while len(body) < _LARGEST_ANSWER and (chunk := response.read1(_LARGEST_ANSWER)):
        body += chunk
        if time.monotonic() >= deadline:
            raise TimeoutError("the answer did not end in time")
    return body


def _differs(expected: dict[str, Any], body: bytes) -> str | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return "the answer is not JSON"
    if not isinstance(answer, dict):
        return "the answer is not a JSON object"
    wrong = [
        f"{name} is {answer.get(name)!r}, expected {value!r}"
        for name, value in expected.items()
        if answer.get(name) != value
    ]
    return "; ".join(wrong) or None
