"""The clients of the load: HTTP/1.1 and WebSockets by hand, so that nothing is retried or hidden on the way."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import http
import json
import os
import ssl
from dataclasses import dataclass, field
from typing import Final

CHUNKS: Final = 16
CHUNK: Final = bytes(range(256)) * 64
_OK: Final = range(200, 300)
_SHA256: Final = hashlib.sha256(CHUNK * CHUNKS).hexdigest()
CLOSED: Final = "closed for maintenance"
"""The problem of a request that was refused, and told when to come again."""
_CLOSE: Final = 0x88
_TEXT: Final = 0x81


class Failed(Exception):
    """A request that was not answered as it should have been; says how in a word or two."""


@dataclass(frozen=True)
class Address:
    """Where the subject answers, and under which name."""

    host: str
    port: int
    name: str
    ca: str = ""
    """The PEM file of the CA whose certificate it has; without one it answers plain HTTP."""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection; raises OSError, as an untrusted certificate does."""
        if not self.ca:
            return await asyncio.open_connection(self.host, self.port)
        return await asyncio.open_connection(self.host, self.port, ssl=_trusting(self.ca), server_hostname=self.name)


@functools.cache
def _trusting(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


@dataclass
class Connection:
    """One connection to the subject."""

    address: Address
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, address: Address) -> Connection:
        """Connect, or raise Failed."""
        try:
            return cls(address, *await address.connect())
        except OSError as error:
            raise Failed("refused") from error

    @property
    def is_closed(self) -> bool:
        """Whether the other side is known to have ended it."""
        return self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing()

    def close(self) -> None:
        """End it."""
        self.writer.close()

    async def closed(self) -> None:
        """End it, and wait until it has ended."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def send(self, method: str, path: str, *headers: str) -> None:
        """Begin a request."""
        lines = (f"{method} {path} HTTP/1.1", f"Host: {self.address.name}", *headers)
        self.writer.write("\r\n".join((*lines, "", "")).encode())

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the next answer; raises Failed where the connection ends before it."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in head[1:-2])
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Failed("reset") from error
        return int(head[0].split()[1]), headers, body


@dataclass
class Http:
    """Plain requests; those on kept connections take an idle one, look whether it was closed, and never retry."""

    address: Address
    path: str = "/"
    idle: list[Connection] = field(default_factory=list)
    reconnects: int = 0
    """How often an idle connection was found closed."""

    async def kept(self) -> str:
        """Ask on a connection that is kept; return the version that answered."""
        while self.idle and self.idle[-1].is_closed:
            self.idle.pop().close()
            self.reconnects += 1
        connection = self.idle.pop() if self.idle else await Connection.open(self.address)
        try:
            connection.send("GET", self.path)
            version = _version(await connection.answer())
        except BaseException:
            connection.close()
            raise
        self.idle.append(connection)
        return version

    async def alone(self, path: str | None = None) -> str:
        """Ask on a connection of its own; return the version that answered."""
        connection = await Connection.open(self.address)
        try:
            connection.send("GET", path or self.path, "Connection: close")
            return _version(await connection.answer())
        finally:
            await connection.closed()

    async def close(self) -> None:
        """End every connection that is kept."""
        while self.idle:
            await self.idle.pop().closed()

    async def upload(self, path: str, seconds: float) -> str:
        """Send 256 KiB in chunks over so many seconds; return the version that got all of them."""
        connection = await Connection.open(self.address)
        try:
            connection.send("POST", path, "Transfer-Encoding: chunked", "Connection: close")
            for _ in range(CHUNKS):
                connection.writer.write(f"{len(CHUNK):x}\r\n".encode() + CHUNK + b"\r\n")
                await asyncio.sleep(seconds / CHUNKS)
            connection.writer.write(b"0\r\n\r\n")
            status, headers, body = await connection.answer()
            version = _version((status, headers, body))
            if json.loads(body)["sha256"] != _SHA256:
                raise Failed("corrupt")
            return version
        finally:
            connection.close()


@dataclass
class WebSocket:
    """A WebSocket that is opened at its first message and closed by us, with the closing handshake, when it is old."""

    address: Address
    asked: float = 0.0
    """When it was opened."""
    _connection: Connection | None = None
    _version: str = ""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def echo(self, lifetime: float) -> tuple[float, str]:
        """Send a message and get it back; return when this socket was opened, and the version at its other end."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            try:
                if self._connection is not None and loop.time() - self.asked > lifetime:
                    await self._close()
                if self._connection is None:
                    await self._open(loop.time())
                message = os.urandom(16)
                await self._send(_TEXT, message)
                if await self._receive() != (_TEXT, message):
                    raise Failed("wrong echo")
            except BaseException:
                self._drop()
                raise
            return self.asked, self._version

    async def close(self) -> None:
        """End it without a word."""
        if self._connection is not None:
            await self._connection.closed()

    async def _open(self, now: float) -> None:
        self.asked, self._connection = now, await Connection.open(self.address)
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        self._connection.send("GET", "/ws", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        status, headers, _ = await self._connection.answer()
        if status != 101:
            raise Failed(str(status))
        self._version = headers["x-version"]
        await self._receive()

    async def _close(self) -> None:
        await self._send(_CLOSE, (1000).to_bytes(2, "big"))
        kind, _ = await self._receive()
        if kind != _CLOSE:
            raise Failed("not closed")
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _send(self, kind: int, content: bytes) -> None:
        assert self._connection is not None
        # A mask of zeros is a mask: the content goes as it is.
        self._connection.writer.write(bytes((kind, 0x80 | len(content))) + bytes(4) + content)

    async def _receive(self) -> tuple[int, bytes]:
        assert self._connection is not None
        try:
            kind, size = await self._connection.reader.readexactly(2)
            return kind, await self._connection.reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Failed("reset") from error


def _version(answer: tuple[int, dict[str, str], bytes]) -> str:
    status, headers, _ = answer
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE and "retry-after" in headers:
        raise Failed(CLOSED)
    if status not in _OK:
        raise Failed(str(status))
    return headers.get("x-version", "")
