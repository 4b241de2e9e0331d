"""The worker: every job is done, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
from websockets.sync.client import connect

from sevra_atlas.queue import GROUP, STREAM, JobQueue
from sevra_atlas.worker import MAX_ATTEMPTS
from tests.conftest import Browser, Relay, Role, eventually, query
from tests.test_api import image, socket_url

Start = Callable[[str, dict[str, str]], Role]
MakeRelay = Callable[[str], tuple[Relay, str]]


@pytest.fixture
def api(start: Start, environ: dict[str, str]) -> Role:
    return start("api", environ)


def upload(api: Role, content: bytes | None = None) -> dict[str, Any]:
    answer = Browser(api.url).join().upload("the-long-bridge", content or image())
    assert answer.status == 202, answer.data
    body: dict[str, Any] = json.loads(answer.data)
    return body


def job_of(api: Role, uploaded: dict[str, Any]) -> dict[str, Any]:
    job: dict[str, Any] = json.loads(Browser(api.url).get(uploaded["job_url"]).data)
    return job


def finished(api: Role, uploaded: dict[str, Any]) -> dict[str, Any]:
    job: dict[str, Any] = eventually(
        lambda: (job := job_of(api, uploaded)) and job["state"] in {"done", "failed"} and job
    )
    return job


def hold_photos(url: str, until: Callable[[], None]) -> None:
    """Keep every worker from finishing a job while `until` runs."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            await connection.execute("SELECT FROM photos FOR UPDATE")
            await asyncio.to_thread(until)
        await connection.close()

    asyncio.run(run())


def test_an_upload_gets_its_thumbnail_and_everybody_hears_of_it(
    api: Role, start: Start, environ: dict[str, str], queue_client: redis.Redis
) -> None:
    with connect(socket_url(api)) as websocket:
        websocket.send("here")
        assert websocket.recv(timeout=5) == "here"
        start("worker", environ)
        uploaded = upload(api)
        job = finished(api, uploaded)
        assert (job["state"], job["attempts"], job["error"]) == ("done", 1, None)
        assert json.loads(websocket.recv(timeout=5)) == {"event": "job", "job": job}
    small = Browser(api.url).get(job["result"]["thumbnail"])
    assert (small.status, small.headers["Content-Type"]) == (200, "image/jpeg")
    assert len(small.data) < len(Browser(api.url).get(uploaded["url"]).data)
    assert job["result"]["thumbnail"] in Browser(api.url).get("/places/the-long-bridge").data.decode()
    assert eventually(lambda: queue_client.xlen(STREAM) == 0)


def test_media_are_in_the_bucket_that_is_named_and_in_no_folder(start: Start, in_bucket: dict[str, str]) -> None:
    api, content = start("api", in_bucket), image()
    start("worker", in_bucket)
    uploaded = upload(api, content)
    small = Browser(api.url).get(finished(api, uploaded)["result"]["thumbnail"])
    back = Browser(api.url).get(uploaded["url"])
    assert (back.status, back.headers["Content-Type"], back.data) == (200, "image/jpeg", content)
    assert (small.status, small.headers["Content-Length"]) == (200, str(len(small.data)))
    assert Browser(api.url).get(f"/uploads/{'0' * 40}.jpg").status == 404
    assert list(Path(in_bucket["UPLOADS_DIR"]).iterdir()) == []


def test_a_bucket_that_is_away_costs_no_job(start: Start, in_bucket: dict[str, str], relay: MakeRelay) -> None:
    api = start("api", in_bucket)
    cable, url = relay(in_bucket["S3_ENDPOINT"])
    cable.cut()
    cut_off = start("api", {**in_bucket, "S3_ENDPOINT": url})
    start("worker", {**in_bucket, "S3_ENDPOINT": url})
    uploaded = upload(api)
    assert Browser(cut_off.url).join().upload("the-long-bridge", image()).status == 503
    assert Browser(cut_off.url).get(uploaded["url"]).status == 503
    cable.mend()
    assert finished(api, uploaded)["state"] == "done"
    assert Browser(cut_off.url).get(uploaded["url"]).status == 200


def test_health_tells_of_queue_and_database(start: Start, environ: dict[str, str], relay: MakeRelay) -> None:
    cable, url = relay(environ["REDIS_QUEUE_URL"])
    worker = start("worker", {**environ, "REDIS_QUEUE_URL": url})
    body = json.loads(Browser(worker.url).get("/health").data)
    assert (body["status"], body["database"], body["queue"], body["queue_depth"]) == (
        "healthy", "connected", "connected", 0,
    )  # fmt: skip
    cable.cut()
    down = Browser(worker.url).get("/health")
    assert (down.status, json.loads(down.data)["queue"]) == (503, "disconnected")
    cable.mend()
    # A question that was on its way when the line was cut ends with the queue's time-out of five seconds.
    assert eventually(lambda: Browser(worker.url).get("/health").status == 200, within_s=10)


def test_sigterm_finishes_the_job_in_hand_and_takes_no_other(
    api: Role, start: Start, environ: dict[str, str], queue_client: redis.Redis
) -> None:
    worker = start("worker", environ)

    def stop_in_the_middle() -> None:
        worker.process.send_signal(signal.SIGTERM)
        with pytest.raises(Exception, match="timed out"):
            worker.process.wait(1.5)
        assert Browser(worker.url).get("/health").status == 200

    first = upload(api, image((700, 500)))
    assert finished(api, first)["state"] == "done"
    uploads: list[dict[str, Any]] = []

    def upload_two_and_stop() -> None:
        # The same photo again, so that the row is there to be held; its job cannot end before we let go.
        uploads.extend((upload_again(api, environ, first), upload_again(api, environ, first)))
        eventually(lambda: job_of(api, uploads[0])["state"] == "running")
        stop_in_the_middle()

    hold_photos(environ["DATABASE_URL"], upload_two_and_stop)
    assert worker.process.wait(20) == 0
    assert job_of(api, uploads[0])["state"] == "done"
    assert job_of(api, uploads[1])["state"] == "queued"
    assert queue_client.xinfo_consumers(STREAM, GROUP) == []
    start("worker", environ)
    assert finished(api, uploads[1])["state"] == "done"


def upload_again(api: Role, environ: dict[str, str], first: dict[str, Any]) -> dict[str, Any]:
    """Queue another thumbnail of a stored photo, as a second upload would (whose INSERT the held row would block)."""
    ((photo_id,),) = query(environ["DATABASE_URL"], "SELECT id FROM photos WHERE name = $1", first["photo"])
    job_id = str(uuid.uuid4())
    query(
        environ["DATABASE_URL"], "INSERT INTO jobs (id, kind, payload) VALUES ($1, 'thumbnail', $2)",
        job_id, json.dumps({"photo_id": photo_id}),
    )  # fmt: skip
    with redis.Redis.from_url(environ["REDIS_QUEUE_URL"]) as client:
        client.xadd(STREAM, {"job": job_id})
    return {"job_url": f"/jobs/{job_id}"}


def test_a_job_of_a_killed_worker_is_done_after_its_restart(
    api: Role, start: Start, environ: dict[str, str], queue_client: redis.Redis
) -> None:
    worker = start("worker", environ)
    first = upload(api)
    assert finished(api, first)["state"] == "done"
    again: list[dict[str, Any]] = []

    def kill_in_the_middle() -> None:
        again.append(upload_again(api, environ, first))
        eventually(lambda: job_of(api, again[0])["state"] == "running")
        assert worker.stop(signal.SIGKILL) == -signal.SIGKILL

    hold_photos(environ["DATABASE_URL"], kill_in_the_middle)
    assert job_of(api, again[0])["state"] == "running"
    start("worker", environ)
    job = finished(api, again[0])
    assert (job["state"], job["attempts"]) == ("done", 2)
    assert eventually(lambda: queue_client.xlen(STREAM) == 0)


def test_a_job_whose_answer_was_lost_is_done(
    api: Role, start: Start, environ: dict[str, str], queue_client: redis.Redis
) -> None:
    start("worker", environ)
    first = upload(api)
    assert finished(api, first)["state"] == "done"
    again: list[dict[str, Any]] = []

    def lose_the_answer() -> None:
        again.append(upload_again(api, environ, first))
        eventually(lambda: job_of(api, again[0])["state"] == "running")
        again.append(upload_again(api, environ, first))
        assert queue_client.xreadgroup(GROUP, socket.gethostname(), {STREAM: ">"}, count=1)

    hold_photos(environ["DATABASE_URL"], lose_the_answer)
    assert [finished(api, job)["state"] for job in again] == ["done", "done"]


def test_a_job_of_a_dead_worker_goes_to_another(environ: dict[str, str], queue_client: redis.Redis) -> None:
    async def run() -> None:
        dead = JobQueue(environ["REDIS_QUEUE_URL"], "dead")
        other = JobQueue(environ["REDIS_QUEUE_URL"], "other", claim_after_s=0.05)
        await dead.prepare()
        await dead.prepare()
        await dead.add("job-1")
        taken = await dead.take(10)
        assert taken is not None
        await dead.leave()  # it holds a job, so it must not be forgotten
        assert await other.take(10) is None
        await asyncio.sleep(0.1)
        other._looked_at = float("-inf")
        claimed = await other.take(10)
        assert claimed == taken
        await other.done(claimed)
        assert await other.depth() == 0
        await other.leave()
        await dead.leave()
        await dead.close()
        await other.close()

    asyncio.run(run())
    assert queue_client.xinfo_consumers(STREAM, GROUP) == []


def test_an_upload_while_the_queue_is_away_is_done_later(
    start: Start, environ: dict[str, str], relay: MakeRelay
) -> None:
    cable, url = relay(environ["REDIS_QUEUE_URL"])
    api = start("api", {**environ, "REDIS_QUEUE_URL": url})
    cable.cut()
    uploaded = upload(api)
    assert job_of(api, uploaded)["state"] == "queued"
    query(environ["DATABASE_URL"], "UPDATE jobs SET touched_at = now() - interval '2 minutes'")
    start("worker", environ)
    assert finished(api, uploaded)["state"] == "done"


def test_the_worker_outlives_its_servers(
    api: Role, start: Start, environ: dict[str, str], relay: MakeRelay, queue_client: redis.Redis
) -> None:
    queue_cable, queue_url = relay(environ["REDIS_QUEUE_URL"])
    database_cable, database_url = relay(environ["DATABASE_URL"])
    worker = start("worker", {**environ, "REDIS_QUEUE_URL": queue_url, "DATABASE_URL": database_url})
    database_cable.cut()
    uploaded = upload(api)
    eventually(lambda: queue_client.xpending_range(STREAM, GROUP, "-", "+", 1))
    queue_cable.cut()
    database_cable.mend()
    queue_cable.mend()
    assert finished(api, uploaded)["state"] == "done"
    queue_client.flushdb()  # a Redis that has lost everything, the group included
    assert finished(api, upload(api, image((300, 300))))["state"] == "done"
    assert worker.stop() == 0


def test_a_job_queued_twice_is_done_once(
    api: Role, start: Start, environ: dict[str, str], queue_client: redis.Redis
) -> None:
    uploaded = upload(api)
    queue_client.xadd(STREAM, {"job": uploaded["job"]})
    start("worker", environ)
    assert eventually(lambda: queue_client.xlen(STREAM) == 0)
    job = job_of(api, uploaded)
    assert (job["state"], job["attempts"]) == ("done", 1)


def test_a_hopeless_job_fails_and_says_why(
    api: Role, start: Start, environ: dict[str, str], queue_client: redis.Redis
) -> None:
    start("worker", environ)
    job = finished(api, upload(api, b"\xff\xd8\xff and nothing more of it"))
    assert (job["state"], job["error"], job["result"]) == ("failed", "not a readable image", None)
    exhausted = upload(api)
    assert finished(api, exhausted)["state"] == "done"
    query(environ["DATABASE_URL"], "UPDATE jobs SET state = 'running', attempts = $1", MAX_ATTEMPTS)
    queue_client.xadd(STREAM, {"job": exhausted["job"]})
    assert finished(api, exhausted)["error"] == "given up after 5 attempts"
    assert eventually(lambda: queue_client.xlen(STREAM) == 0)


@pytest.mark.parametrize("nonsense", ["", "not-a-uuid", "71527b81-9052-4bd1-bf84-6c2a2e070636"])
def test_nonsense_on_the_queue_stops_nobody(
    nonsense: str, api: Role, start: Start, environ: dict[str, str], queue_client: redis.Redis
) -> None:
    queue_client.xadd(STREAM, {"job": nonsense})
    start("worker", environ)
    assert finished(api, upload(api))["state"] == "done"
    assert eventually(lambda: queue_client.xlen(STREAM) == 0)


def test_uploads_folder_holds_nothing_half_written(api: Role, start: Start, environ: dict[str, str]) -> None:
    start("worker", environ)
    finished(api, upload(api))
    assert sorted(path.name[40:] for path in Path(environ["UPLOADS_DIR"]).iterdir()) == ["-small.jpg", ".jpg"]
