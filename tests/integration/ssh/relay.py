"""The way between an operator and a server, in the test's hands: it can be slow, cut, and counts its bytes."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from dataclasses import dataclass, field

_CHUNK = 1 << 16


@dataclass
class Relay:
    """Passes connections to a port of loopback on to another."""

    to: int
    delay: float = 0.0
    """Seconds that everything takes, each way."""
    moved: int = 0
    """Bytes that went through, both ways together."""
    open: threading.Event = field(default_factory=threading.Event)
    """Cleared: nothing goes through, as when a cable is pulled; what was sent meanwhile comes afterwards."""
    _sockets: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End every connection."""
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """End the connections there are."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
                for each in (near, far):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    chunks: queue.Queue[tuple[float, bytes]] = queue.Queue()
                    threading.Thread(target=self._read, args=(one, chunks), daemon=True).start()
                    threading.Thread(target=self._write, args=(other, chunks), daemon=True).start()

    def _read(self, source: socket.socket, chunks: queue.Queue[tuple[float, bytes]]) -> None:
        chunk = b"first"
        while chunk:
            try:
                chunk = source.recv(_CHUNK)
            except OSError:
                chunk = b""
            self.moved += len(chunk)
            chunks.put((time.monotonic() + self.delay, chunk))

    def _write(self, target: socket.socket, chunks: queue.Queue[tuple[float, bytes]]) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, chunk = chunks.get()
                time.sleep(max(0.0, due - time.monotonic()))
                self.open.wait()
                if not chunk:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(chunk)
