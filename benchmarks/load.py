"""The open-loop generator: requests come when they are due, whatever became of those before.

    python -m benchmarks.load --port 8080 --name bench.localhost --shape kept --rate 500 --seconds 600 > samples

runs until its time is up, its standard input ends or it gets SIGTERM, and writes one JSON array a request:
[due, asked, ended, kind, version, problem], times in seconds since the epoch.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.clients import Address, Failed, Http, WebSocket

GIVE_UP: Final = 20.0
SLOW_SHARE: Final = 25
UPLOAD_SHARE: Final = 50
UPLOAD_TAKES: Final = 1.6
SOCKETS: Final = 50
SOCKET_LIVES: Final = 4.0
SHAPES: Final = ("kept", "alone", "slow", "uploads", "websockets")


@dataclass(frozen=True)
class Request:
    """One kind of request: what is done, and how long it takes by its nature."""

    kind: str
    ask: Callable[[], Awaitable[str | tuple[float, str]]]
    """Returns the version, or when the connection was made and the version."""


class Generator:
    """Sends one shape of load at a constant rate, and keeps what became of every request."""

    def __init__(self, address: Address, shape: str, rate: float, path: str = "/") -> None:
        self._http = Http(address, path)
        self._sockets = [WebSocket(address) for _ in range(SOCKETS)]
        self._shape = shape
        self._rate = rate
        self._tasks: set[asyncio.Task[None]] = set()
        self._epoch = 0.0
        self.samples: list[tuple[float, float, float, str, str, str]] = []

    async def run(self, seconds: float, stop: asyncio.Event) -> None:
        """Send until the time is up or `stop` is set, then wait for what is in flight."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._epoch = time.time() - began
        number, count = 0, round(seconds * self._rate)
        while number < count and not stop.is_set():
            # All that is due by now goes out, however late the loop came round: that is what keeps the rate.
            while number < count and number <= (loop.time() - began) * self._rate:
                task = loop.create_task(self._send(began + number / self._rate, self._request(number)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                number += 1
            await asyncio.sleep(max(0.0, began + number / self._rate - loop.time()))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GIVE_UP + 1)
        await asyncio.gather(self._http.close(), *(socket.close() for socket in self._sockets))

    async def _send(self, due: float, request: Request) -> None:
        loop = asyncio.get_running_loop()
        asked, version, problem = loop.time(), "", ""
        try:
            async with asyncio.timeout(GIVE_UP):
                told = await request.ask()
            asked, version = told if isinstance(told, tuple) else (asked, told)
        except Failed as failure:
            problem = str(failure)
        except TimeoutError:
            problem = "no answer"
        times = (round(moment + self._epoch, 4) for moment in (due, asked, loop.time()))
        self.samples.append((*times, request.kind, version, problem))  # type: ignore[arg-type]

    def _request(self, number: int) -> Request:
        """Return the request whose turn it is; most are kept-alive ones, the others are what gives a shape its name."""
        http = self._http
        if self._shape == "alone":
            return Request("alone", http.alone)
        if self._shape == "slow" and number % SLOW_SHARE == 0:
            return Request("slow", lambda: http.alone("/slow"))
        if self._shape == "uploads" and number % UPLOAD_SHARE == 0:
            path = "/stream" if number // UPLOAD_SHARE % 2 else "/upload"
            return Request(path.strip("/"), lambda: http.upload(path, UPLOAD_TAKES))
        if self._shape == "websockets":
            # Sockets end at different times, so that they do not all reconnect at once.
            lifetime = SOCKET_LIVES * (0.75 + 0.5 * (number % SOCKETS) / SOCKETS)
            return Request("echo", lambda: self._sockets[number % SOCKETS].echo(lifetime))
        return Request("kept", http.kept)


async def _main(options: argparse.Namespace) -> Generator:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    address = Address(options.host, options.port, options.name, options.ca)
    generator = Generator(address, options.shape, options.rate, options.path)
    await generator.run(options.seconds, stop)
    return generator


def main() -> None:
    """Run one shape of load from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", required=True, help="the Host header")
    parser.add_argument("--ca", default="", help="ask over TLS, and trust this CA alone")
    parser.add_argument("--path", default="/")
    parser.add_argument("--shape", choices=SHAPES, default="kept")
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    # A collection of all that was kept so far would stop the clock for longer than an answer takes.
    gc.freeze()
    gc.disable()
    generator = asyncio.run(_main(parser.parse_args()))
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.writelines(f"{json.dumps(sample)}\n" for sample in sorted(generator.samples))


if __name__ == "__main__":
    main()
