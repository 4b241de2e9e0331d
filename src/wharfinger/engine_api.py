"""The Docker Engine's HTTP API, read without the Docker SDK: to import that takes longer than all that a deploy asks.

Only what is asked here is spoken: GET, JSON, and streams of it. https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from wharfinger.errors import NotReady
from wharfinger.hosts.unix_http import UnixConnection

Answered = Callable[[str], tuple[int, str, bytes]]

_DEFAULT: Final = "unix:///var/run/docker.sock"
_FRAME: Final = struct.Struct(">BxxxL")
_MULTIPLEXED: Final = "application/vnd.docker.multiplexed-stream"
_PLAIN_PORT, _TLS_PORT = 2375, 2376


class EngineApi:
    """A connection to one engine: each question takes an idle connection or opens one, so threads may share it."""

    def __init__(
        self, find: Callable[[], str | None], *, host: str, timeout: float, answered: Answered | None = None
    ) -> None:
        """Remember how to find the engine's URL (None: what $DOCKER_HOST says), and the seconds for one question.

        `answered` asks all but streams by another way: see `Afar.answered`.
        """
        self._find = find
        self._host = host
        self._timeout = timeout
        self._answered = answered or self._here
        self._idle: list[http.client.HTTPConnection] = []

    @property
    def _url(self) -> str:
        return self._find() or os.environ.get("DOCKER_HOST") or _DEFAULT

    def close(self) -> None:
        """End all idle connections; the next question opens another."""
        while self._idle:
            self._idle.pop().close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the answer's JSON, or None where the engine knows no such thing; raises NotReady."""
        content = self.get_bytes(path, query)
        return None if content is None else json.loads(content)

    def get_bytes(self, path: str, query: Mapping[str, Any] | None = None) -> bytes | None:
        """Return the answer, or None where the engine knows no such thing; raises NotReady."""
        status, kind, content = self._answered(_target(path, query))
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise NotReady(
                f"{self._host}: the Docker Engine answers {status} to {path}: {_message(content)}",
                fix="docker version and docker info say more",
            )
        return _joined(content) if kind == _MULTIPLEXED else content

    def stream(self, path: str, query: Mapping[str, Any] | None = None) -> Stream:
        """Return the answer as it comes, one JSON document a line; raises NotReady."""
        connection, answer = self._ask(_target(path, query))
        return Stream(connection, answer)

    def _here(self, target: str) -> tuple[int, str, bytes]:
        connection, answer = self._ask(target)
        content = answer.read()
        self._idle.append(connection)
        return answer.status, answer.headers.get("Content-Type", ""), content

    def _ask(self, target: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        try:
            while self._idle:
                connection = self._idle.pop()
                try:
                    return connection, _answer(connection, target)
                except (OSError, http.client.HTTPException):
                    connection.close()  # the engine has ended it meanwhile
            connection = self._connection()
            try:
                return connection, _answer(connection, target)
            except BaseException:
                connection.close()
                raise
        except (OSError, http.client.HTTPException) as error:
            raise NotReady(
                f"{self._host}: no Docker Engine answers: {getattr(error, 'strerror', None) or error}",
                fix="./run deploy installs and starts one; invoke doctor says more",
            ) from None

    def _connection(self) -> http.client.HTTPConnection:
        url = self._url
        address = urlsplit(url)
        if address.scheme == "unix":
            return UnixConnection(address.path, timeout=self._timeout)
        if address.scheme not in {"tcp", "http", "https"} or not address.hostname:
            raise NotReady(
                f"{self._host}: DOCKER_HOST={url}: only unix:// and tcp:// are understood",
                fix="for a server reached over SSH, name it in stack.yaml: environments.NAME.server",
            )
        if address.scheme == "https" or os.environ.get("DOCKER_TLS_VERIFY"):
            return http.client.HTTPSConnection(
                address.hostname, address.port or _TLS_PORT, timeout=self._timeout, context=_tls()
            )
        return http.client.HTTPConnection(address.hostname, address.port or _PLAIN_PORT, timeout=self._timeout)


class Stream:
    """An answer that goes on; `close`, from any thread, ends it."""

    def __init__(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self._socket = connection.sock
        self._socket.settimeout(None)
        self._connection = connection
        self._answer = answer

    def __iter__(self) -> Iterator[Any]:
        """Yield the documents."""
        while line := self._answer.readline():
            yield json.loads(line)

    def close(self) -> None:
        """End it: who waits for the next document waits no longer."""
        with contextlib.suppress(OSError):  # the engine was first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _target(path: str, query: Mapping[str, Any] | None) -> str:
    words = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (query or {}).items()}
    return f"{path}?{urlencode(words)}" if words else path


def _answer(connection: http.client.HTTPConnection, target: str) -> http.client.HTTPResponse:
    connection.request("GET", target)
    return connection.getresponse()


def _tls() -> ssl.SSLContext:
    """Return what `docker` itself uses: the three files of $DOCKER_CERT_PATH."""
    folder = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")


def _joined(content: bytes) -> bytes:
    """Return both streams of a container's log as one; each frame's head tells its stream and length."""
    parts, start = [], 0
    while start + _FRAME.size <= len(content):
        _, length = _FRAME.unpack_from(content, start)
        start += _FRAME.size
        parts.append(content[start : start + length])
        start += length
    return b"".join(parts)
