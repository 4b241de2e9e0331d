"""The container's own health check: one request, no import that the request does not need."""

from __future__ import annotations

import socket

TIMEOUT_S = 2.5


def answers_healthy(port: int) -> bool:
    """Tell whether `GET /health` on this machine's `port` answers 200 within 2.5 seconds."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
            status_line = connection.makefile("rb").readline(256)
    except OSError:
        return False
    return status_line.split(b" ")[1:2] == [b"200"]
