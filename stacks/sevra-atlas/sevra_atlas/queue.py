"""The queue in redis_queue: a stream with one consumer group, so that no job is lost with the worker that had it.

A worker that takes a job holds it until it says `done`. What a dead worker held is handed to another after
`claim_after_s`; a job may thus be taken twice, and jobs are written so that this does no harm.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

STREAM = "atlas:jobs"
GROUP = "workers"
FINISHED = "atlas:finished"
LOOK_EVERY_S = 5.0

AWAY = (RedisError, OSError)
"""What redis-py raises while the server cannot be used."""


@dataclass(frozen=True)
class Delivery:
    """One job in the hands of this worker."""

    entry: str
    job_id: str


class JobQueue:
    """Job ids in the order of their arrival, and the news of those that are finished."""

    def __init__(self, url: str, consumer: str = "", claim_after_s: float = 60.0) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            decode_responses=True,
            socket_connect_timeout=1,
            socket_timeout=5,  # longer than any blocking read
            retry=Retry(NoBackoff(), 1),
        )
        self._consumer = consumer
        self._claim_after_ms = int(claim_after_s * 1000)
        self._looked_at = float("-inf")

    async def prepare(self) -> None:
        """Make the stream and its group unless they are there; needed again after the server has lost its data."""
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # Redis's code for "exists"
                raise

    async def add(self, job_id: str) -> None:
        """Put a job at the end."""
        await self._redis.xadd(STREAM, {"job": job_id})

    async def take(self, wait_ms: int) -> Delivery | None:
        """Return a job that was left behind, else the next one, else None after `wait_ms`.

        To be called with no job in hand: what the queue thinks this consumer has is then left from an earlier life,
        or came in an answer that was lost.
        """
        if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            if left := await self._left_behind():
                return left
            self._looked_at = time.monotonic()
        read = await self._redis.xreadgroup(GROUP, self._consumer, {STREAM: ">"}, count=1, block=wait_ms)
        return _delivery(read[0][1][0]) if read else None

    async def _left_behind(self) -> Delivery | None:
        own = await self._redis.xreadgroup(GROUP, self._consumer, {STREAM: "0"}, count=1)
        if own and own[0][1]:
            return _delivery(own[0][1][0])
        claimed = await self._redis.xautoclaim(
            STREAM, GROUP, self._consumer, min_idle_time=self._claim_after_ms, count=1
        )
        return _delivery(claimed[1][0]) if claimed[1] else None

    async def done(self, delivery: Delivery) -> None:
        """Take a finished job off the queue for good."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(STREAM, GROUP, delivery.entry)
            pipe.xdel(STREAM, delivery.entry)
            await pipe.execute()

    async def depth(self) -> int:
        """Return the number of jobs that are waiting or in hand."""
        return int(await self._redis.xlen(STREAM))

    async def leave(self) -> None:
        """Forget this consumer, unless it still holds a job that another must be able to claim."""
        if not await self._redis.xpending_range(STREAM, GROUP, "-", "+", 1, consumername=self._consumer):
            await self._redis.xgroup_delconsumer(STREAM, GROUP, self._consumer)

    async def announce(self, news: str) -> None:
        """Tell everyone who listens now that a job is finished."""
        await self._redis.publish(FINISHED, news)

    async def finished(self) -> AsyncIterator[str]:
        """Yield the news of finished jobs for ever, through restarts of the server; what is said meanwhile is lost."""
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(FINISHED)
                    while True:
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=30)
                        if message:
                            yield str(message["data"])
            except AWAY:
                await asyncio.sleep(1)  # Redis has no event that says it is back

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()


def _delivery(entry: tuple[str, dict[str, str] | None]) -> Delivery:
    return Delivery(entry[0], (entry[1] or {}).get("job", ""))
