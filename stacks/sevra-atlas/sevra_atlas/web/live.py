"""`/ws`: says back what it is told, and passes on the news of finished jobs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from starlette.websockets import WebSocket, WebSocketDisconnect

from sevra_atlas.web.context import atlas_of

if TYPE_CHECKING:
    from sevra_atlas.queue import JobQueue

GOING_AWAY = 1001
UNSUPPORTED = 1003
TRY_LATER = 1013
MAX_LISTENERS = 1000
BACKLOG = 100
"""News that one slow listener may be behind before it misses some."""

News = asyncio.Queue[str | None]


class Live:
    """Everybody who listens to the news; None in a listener's queue means goodbye."""

    def __init__(self) -> None:
        self._listeners: set[News] = set()
        self._all_gone = asyncio.Event()
        self._closing = False

    def join(self) -> News:
        """Return a new listener's queue."""
        news: News = asyncio.Queue(BACKLOG)
        self._listeners.add(news)
        if self._closing:
            news.put_nowait(None)
        return news

    def leave(self, news: News) -> None:
        """Forget a listener."""
        self._listeners.discard(news)
        if not self._listeners:
            self._all_gone.set()

    @property
    def full(self) -> bool:
        """Whether there are as many listeners as one process should have."""
        return len(self._listeners) > MAX_LISTENERS

    async def follow(self, queue: JobQueue) -> None:
        """Pass the news of finished jobs to all listeners until cancelled."""
        async for item in queue.finished():
            for news in self._listeners:
                with contextlib.suppress(asyncio.QueueFull):
                    news.put_nowait(item)

    async def say_goodbye(self) -> None:
        """Close every WebSocket with 1001, and wait up to 2 seconds for them to be gone."""
        self._closing = True
        for news in self._listeners:
            if news.full():
                news.get_nowait()
            news.put_nowait(None)
        if self._listeners:
            self._all_gone.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), 2)


async def live_feed(websocket: WebSocket) -> None:
    """`/ws`: text comes back as it is; finished jobs arrive as `{"event": "job", "job": {…}}`."""
    live = atlas_of(websocket).live
    await websocket.accept()
    news = live.join()
    if live.full:
        news.put_nowait(None)
    sending = asyncio.create_task(_send_news(websocket, news, TRY_LATER if live.full else GOING_AWAY))
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is None:
                await websocket.close(UNSUPPORTED)
                return
            await websocket.send_text(message["text"])
    except (WebSocketDisconnect, RuntimeError):
        return  # closed from our side between two messages
    finally:
        live.leave(news)
        sending.cancel()


async def _send_news(websocket: WebSocket, news: News, goodbye: int) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while (item := await news.get()) is not None:
            await websocket.send_text(item)
        await websocket.close(goodbye)
