"""The worker: takes one job at a time from the queue, and never loses one."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from sevra_atlas import database as db
from sevra_atlas import queue as jobs_queue
from sevra_atlas.jobs import THUMBNAIL, HopelessError, begin_job, describe, end_job, lost_jobs
from sevra_atlas.logs import request_id
from sevra_atlas.media import open_media
from sevra_atlas.queue import Delivery, JobQueue
from sevra_atlas.serving import nothing, run, serve, stop_on_signals
from sevra_atlas.thumbnails import make_thumbnail

if TYPE_CHECKING:
    import asyncpg
    from starlette.requests import Request

    from sevra_atlas.database import Database
    from sevra_atlas.media import Media
    from sevra_atlas.settings import Settings

log = logging.getLogger(__name__)

AWAY = (*db.AWAY, *jobs_queue.AWAY)
MAX_ATTEMPTS = 5
TAKE_WAIT_MS = 500  # a worker told to stop while it waits is gone within this time
SWEEP_EVERY_S = 15.0


class Worker:
    """Does jobs until `stop` is set; the job in hand at that moment is finished, no further one is taken."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        media: Media,
        stop: asyncio.Event,
        lost_after_s: float = 60,
    ) -> None:
        self._database = database
        self._queue = queue
        self._media = media
        self._stop = stop
        self._lost_after_s = lost_after_s
        self._prepared = False
        self._swept_at = float("-inf")

    async def work(self) -> None:
        """Take and do jobs; whatever server is away is waited for."""
        while not self._stop.is_set():
            try:
                delivery = await self._next()
            except AWAY as error:
                self._prepared = False
                await self._wait_out(error, 1)
                continue
            if delivery:
                request_id.set(f"job-{delivery.job_id}")
                await self._do(delivery)
                request_id.set("")
        try:
            await self._queue.leave()
        except jobs_queue.AWAY:
            log.info("The queue is away; leaving without a word")

    async def _next(self) -> Delivery | None:
        if not self._prepared:
            await self._queue.prepare()
            self._prepared = True
        if time.monotonic() - self._swept_at >= SWEEP_EVERY_S:
            await self._requeue_lost()
            self._swept_at = time.monotonic()
        return await self._queue.take(TAKE_WAIT_MS)

    async def _requeue_lost(self) -> None:
        """Queue again what only the database knows of: with an empty queue, an unfinished old job is a lost one."""
        if await self._queue.depth():
            return
        for job_id in await lost_jobs(self._database, self._lost_after_s):
            log.warning("Found a job that the queue had lost", extra={"fields": {"job": job_id}})
            await self._queue.add(job_id)

    async def _do(self, delivery: Delivery) -> None:
        """See one job through; give it up only to a stop, and then it stays on the queue for another worker."""
        delay_s = 1
        while True:
            try:
                await self._attempt(delivery)
            except AWAY as error:
                await self._wait_out(error, delay_s)
                if self._stop.is_set():
                    return
                delay_s = min(delay_s * 2, 15)
            except Exception:  # a fault of ours: the job is claimed again later, MAX_ATTEMPTS times at most
                log.exception("A job failed unexpectedly")
                return
            else:
                return

    async def _attempt(self, delivery: Delivery) -> None:
        row = await begin_job(self._database, delivery.job_id)
        if row is None:
            log.info("There is nothing to do for this entry of the queue")
            await self._queue.done(delivery)
            return
        try:
            if row["attempts"] > MAX_ATTEMPTS:
                raise HopelessError(f"given up after {MAX_ATTEMPTS} attempts")
            row = await self._perform(row)
        except HopelessError as error:
            row = await end_job(self._database, row["id"], None, str(error))
        await self._queue.done(delivery)
        log.info("Finished a job", extra={"fields": {"kind": row["kind"], "state": row["state"]}})
        await self._queue.announce(json.dumps({"event": "job", "job": describe(row)}))

    async def _perform(self, row: asyncpg.Record) -> asyncpg.Record:
        if row["kind"] != THUMBNAIL:
            raise HopelessError(f"this version knows no job of the kind {row['kind']}")
        photo_id = json.loads(row["payload"])["photo_id"]
        name = await self._database.fetchval("SELECT name FROM photos WHERE id = $1", photo_id)
        if name is None:
            raise HopelessError("the photo is gone")
        small, width, height = await asyncio.to_thread(make_thumbnail, self._media, name)
        async with self._database.acquire() as connection, connection.transaction():
            await connection.execute(
                "UPDATE photos SET thumbnail = $2, width = $3, height = $4 WHERE id = $1",
                photo_id, small, width, height,
            )  # fmt: skip
            result = {"thumbnail": f"/uploads/{small}", "width": width, "height": height}
            return await end_job(connection, row["id"], result, None)

    async def _wait_out(self, error: BaseException, seconds: float) -> None:
        log.warning("Waiting for a server", extra={"fields": {"error": type(error).__name__, "seconds": seconds}})
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return


def health_app(database: Database, queue: JobQueue, version: str) -> Starlette:
    """Return the application behind the worker's port: /health, 503 while it could not do a job."""

    async def health(_request: Request) -> JSONResponse:
        connected = await db.is_connected(database)
        try:
            depth: int | None = await queue.depth()
        except jobs_queue.AWAY:
            depth = None
        healthy = connected and depth is not None
        body: dict[str, Any] = {
            "status": "healthy" if healthy else "unhealthy",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "database": "connected" if connected else "disconnected",
            "queue": "disconnected" if depth is None else "connected",
            "queue_depth": depth,
            "version": version,
        }
        return JSONResponse(body, 200 if healthy else 503, {"Cache-Control": "no-store"})

    return Starlette(routes=[Route("/health", health)])


async def _run(settings: Settings) -> None:
    stop, all_done = stop_on_signals(), asyncio.Event()
    queue = JobQueue(settings.redis_queue_url, consumer=socket.gethostname())
    async with db.open_database(settings) as database:
        app = health_app(database, queue, settings.version)
        serving = asyncio.create_task(serve(app, settings.port, all_done, nothing))
        try:
            await Worker(database, queue, open_media(settings), stop).work()
        finally:
            all_done.set()  # the health answers until the last job is done
            await serving
            await queue.close()


def run_worker(settings: Settings) -> int:
    """Do jobs until SIGTERM; return 0."""
    return run(_run(settings))
