"""What the benchmarks deploy: one file, 0.9 s to start, and every kind of request that a switch could break.

GET /        the version, at once; /slow after two seconds; /work after ten milliseconds of waiting, cacheable
POST /upload, /stream    how much came, and its SHA-256
GET /ws      a WebSocket that says its version, then echoes
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
import struct
import time

VERSION = "one"
PORT = 3000
START_UP = 0.9  # seconds: what importing a framework and connecting to a database take
SLOW = 2.0
WORK = 0.01
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE = 0x1, 0x8

Headers = dict[str, str]


class Gone(Exception):
    """The client has closed the connection."""


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection, one after the other."""
    with contextlib.suppress(Gone, ConnectionError, asyncio.IncompleteReadError):
        while True:
            method, path, headers = await read_head(reader)
            if headers.get("upgrade", "").lower() == "websocket":
                await echo(reader, writer, headers)
                break
            content = await read_body(reader, headers)
            await answer(writer, method, path, content)
    writer.close()


async def read_head(reader: asyncio.StreamReader) -> tuple[str, str, Headers]:
    """Return method, path and headers of the next request."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    return method, path, {name.lower(): value.strip() for name, _, value in pairs}


async def read_body(reader: asyncio.StreamReader, headers: Headers) -> bytes:
    """Return a request's body, chunked or not."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


async def answer(writer: asyncio.StreamWriter, method: str, path: str, content: bytes) -> None:
    """Write the answer to one request."""
    path, store = path.partition("?")[0], "no-store"
    told = {"status": "healthy", "version": VERSION}
    if path == "/slow":
        await asyncio.sleep(SLOW)
    elif path == "/work":
        await asyncio.sleep(WORK)
        store = "public"
    elif method == "POST":
        told |= {"size": str(len(content)), "sha256": hashlib.sha256(content).hexdigest()}
    body = json.dumps(told).encode()
    writer.write(
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Version: {VERSION}\r\nCache-Control: {store}\r\n\r\n".encode()
        + body
    )
    await writer.drain()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Headers) -> None:
    """Speak the WebSocket protocol (RFC 6455): the version first, then every message back."""
    key = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + _GUID).digest()).decode()
    writer.write(
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"X-Version: {VERSION}\r\nSec-WebSocket-Accept: {key}\r\n\r\n".encode()
    )
    writer.write(frame(_TEXT, VERSION.encode()))
    while True:
        kind, message = await read_frame(reader)
        writer.write(frame(kind, message))
        await writer.drain()
        if kind == _CLOSE:
            return


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return kind and content of a client's next frame, which is short and masked."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    mask = await reader.readexactly(4)
    content = await reader.readexactly(size)
    return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(content))


def frame(kind: int, content: bytes) -> bytes:
    """Return a server's frame of up to 125 bytes."""
    return bytes((0x80 | kind, len(content))) + content


async def main() -> None:
    """Serve until told to stop; then, as a careless app does, be gone at once."""
    time.sleep(max(0.0, START_UP))
    server = await asyncio.start_server(serve, "0.0.0.0", PORT, backlog=1024, limit=1 << 20)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
    server.close()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
