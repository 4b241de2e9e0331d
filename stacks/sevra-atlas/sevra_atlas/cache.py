"""The cache in redis_cache: it makes pages faster, and nothing depends on it."""

from __future__ import annotations

import logging
import time

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

PAUSE_S = 5.0
"""How long a cache that failed is left alone, so that not every request waits for it."""


class Cache:
    """Bytes by (key, field); while the server is away it holds nothing and takes nothing, and raises nothing."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            socket_connect_timeout=0.25,
            socket_timeout=0.5,
            retry=Retry(NoBackoff(), 1),  # once, for a connection that a restarted server has forgotten
        )
        self._paused_until = 0.0

    async def get(self, key: tuple[str, str]) -> bytes | None:
        """Return what is kept under `key`, or None."""
        if self._paused:
            return None
        try:
            value: bytes | None = await self._redis.hget(*key)  # type: ignore[misc]  # redis-py types it for both worlds
        except (RedisError, OSError) as error:
            self._pause(error)
            return None
        return value

    async def put(self, key: tuple[str, str], content: bytes, seconds: int) -> None:
        """Keep `content` under `key`; everything under the key's first part is gone after `seconds`."""
        if self._paused:
            return
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(key[0], mapping={key[1]: content})
                pipe.expire(key[0], seconds, nx=True)
                await pipe.execute()
        except (RedisError, OSError) as error:
            self._pause(error)

    async def drop(self, key: str) -> None:
        """Forget everything under the first part `key`; tried even during a pause, for a stale page is worse."""
        try:
            await self._redis.unlink(key)
        except (RedisError, OSError) as error:
            self._pause(error)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()

    @property
    def _paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _pause(self, error: Exception) -> None:
        self._paused_until = time.monotonic() + PAUSE_S
        log.warning("The cache is away; going on without it", extra={"fields": {"error": type(error).__name__}})
