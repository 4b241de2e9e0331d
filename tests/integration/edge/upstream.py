"""What stands behind the edge in its tests: `python upstream.py NAME`, on port 3000."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COUNT = itertools.count(1)
ANSWERS: dict[str, dict[str, str]] = {
    "/private": {"Cache-Control": "private"},
    "/no-store": {"Cache-Control": "no-store"},
    "/cookie": {"Set-Cookie": "seen=1"},
    "/csp": {"Content-Security-Policy": "default-src 'none'"},
    "/request-id": {"X-Request-ID": "the service's own"},
    "/events": {"Content-Type": "text/event-stream"},
    "/varied": {"Vary": "Accept-Language"},
}


class Handler(BaseHTTPRequestHandler):
    """Answers NAME and how many requests came before, so that a cached answer can be told from a new one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer by path: see ANSWERS, and below."""
        path = self.path.split("?")[0]
        if path == "/ws":
            self.echo_websocket()
        elif path == "/die":
            self.die()
        elif path == "/headers":
            self.answer(json.dumps({name.lower(): value for name, value in self.headers.items()}).encode())
        elif path == "/large":
            self.answer(json.dumps(["a line of a large listing"] * 100_000).encode())
        else:
            if path.startswith("/slow"):
                time.sleep(float(path.rpartition("/")[2]))
            self.answer(f"{sys.argv[1]} {next(COUNT)}".encode(), **ANSWERS.get(path, {}))

    def do_POST(self) -> None:
        """Answer how many bytes came."""
        if self.path == "/die":
            self.die()
            return
        left = int(self.headers["Content-Length"])
        while left and (read := self.rfile.read(min(left, 2**20))):
            left -= len(read)
        self.answer(f"{sys.argv[1]} {self.headers['Content-Length']}".encode())

    do_HEAD = do_GET  # noqa: N815 - http.server's name
    do_PUT = do_POST  # noqa: N815

    def die(self) -> None:
        """Take the request and close without an answer, as a process that is killed does."""
        print(f"{self.command} /die", flush=True)
        self.close_connection = True

    def answer(self, body: bytes, **headers: str) -> None:
        """Send 200 with `body`."""
        self.send_response(200)
        for name, value in {
            "Content-Type": "text/plain",
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def echo_websocket(self) -> None:
        """Shake hands and send the first short frame back, unmasked."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.send_header("Connection", self.headers["Connection"])
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        head = self.rfile.read(6)
        masked = self.rfile.read(head[1] & 0x7F)
        data = bytes(byte ^ head[2 + i % 4] for i, byte in enumerate(masked))
        self.wfile.write(bytes((0x81, len(data))) + data)
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Say nothing: requests are many."""


class Server(ThreadingHTTPServer):
    """Threads that do not outlive it, and room for a burst of connections."""

    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server(("", 3000), Handler) as server:
        server.serve_forever()
