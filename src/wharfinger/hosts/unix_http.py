"""HTTP over Unix sockets: how an engine is asked, and an edge."""

from __future__ import annotations

import http.client
import os
import socket
from pathlib import PurePosixPath
from typing import Final

from wharfinger.errors import NotReady

_LONGEST: Final = 107
"""How many bytes the path of a socket may have: unix(7)."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, whose path may be of any length."""

    def __init__(self, path: str, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket: by way of its folder, where the path is too long."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        if len(os.fsencode(self._path)) <= _LONGEST:
            self.sock.connect(self._path)
            return
        folder, name = os.path.split(self._path)
        opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{opened}/{name}")
        finally:
            os.close(opened)


def ask(path: PurePosixPath, method: str, target: str, body: bytes, *, timeout: float, host: str) -> tuple[int, str]:
    """Return the status and text of one answer; raises NotReady where there is none."""
    connection = UnixConnection(str(path), timeout=timeout)
    try:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        said = getattr(error, "strerror", None) or error
        raise NotReady(f"{host}: nobody answers at {path}: {said}") from None
    finally:
        connection.close()
