"""How api and worker serve HTTP and stop: nothing new is taken, what is in hand is finished, the exit code is 0."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import uvicorn
import uvloop

KEEP_ALIVE_S = 75
"""Longer than a proxy keeps an idle connection (Nginx: 60 s), or we might close one that it is about to use."""

FINISH_WITHIN_S = 20
"""Within the 30 s that Docker is told to wait before it kills."""


class Server(uvicorn.Server):
    """Uvicorn, but the caller decides when it stops, and `before_close` runs between the last accept and the end."""

    def __init__(self, config: uvicorn.Config, before_close: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._before_close = before_close

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: Uvicorn would end the process by the signal, and Docker would report a failure."""
        yield

    async def shutdown(self, sockets: Any = None) -> None:
        """Stop listening, let the application say goodbye, then finish what is in flight."""
        for server in self.servers:
            server.close()
        await self._before_close()
        await super().shutdown(sockets)


async def nothing() -> None:
    """Be the `before_close` of a server that has nobody to say goodbye to."""


async def serve(app: Any, port: int, stop: asyncio.Event, before_close: Callable[[], Awaitable[None]]) -> None:
    """Serve `app` on `port` until `stop` is set and the requests in flight are answered, at most 20 s later."""
    config = uvicorn.Config(
        app,
        host="0.0.0.0",  # noqa: S104 - the container's own network decides who reaches it
        port=port,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=FINISH_WITHIN_S,
        ws="websockets-sansio",
        ws_max_size=64 * 1024,
    )
    server = Server(config, before_close)

    async def end_when_asked() -> None:
        await stop.wait()
        server.should_exit = True

    waiting = asyncio.create_task(end_when_asked())
    try:
        await server.serve()
    finally:
        waiting.cancel()


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def run(main: Coroutine[Any, Any, None]) -> int:
    """Run a role to its end on uvloop and return exit code 0."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
    return 0
