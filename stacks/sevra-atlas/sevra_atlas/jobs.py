"""Jobs as the database knows them: it is the truth, the queue only says when to look.

A job is `queued`, `running`, then `done` or `failed`. A row is written in the same transaction as what the job
is about; if the queue is away at that moment, or loses it later, `lost_jobs` finds it again.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

    from sevra_atlas.database import Database

THUMBNAIL = "thumbnail"
COLUMNS = "id, kind, payload, state, attempts, result, error, created_at, finished_at"


class HopelessError(Exception):
    """The job cannot be done, and trying it again would not help; the message is shown to whoever asks."""


async def create_job(connection: Any, kind: str, payload: dict[str, Any]) -> str:
    """Store a queued job within the caller's transaction and return its id."""
    job_id = str(uuid.uuid4())
    await connection.execute(
        "INSERT INTO jobs (id, kind, payload) VALUES ($1, $2, $3)", job_id, kind, json.dumps(payload)
    )
    return job_id


async def find_job(database: Database, job_id: str) -> dict[str, Any] | None:
    """Return what is known of a job, ready for JSON, or None."""
    row = await database.fetchrow(f"SELECT {COLUMNS} FROM jobs WHERE id = $1", job_id)
    return describe(row) if row else None


def describe(row: asyncpg.Record) -> dict[str, Any]:
    """Return a row of `jobs` ready for JSON."""
    return {
        "id": str(row["id"]),
        "kind": row["kind"],
        "state": row["state"],
        "attempts": row["attempts"],
        "result": json.loads(row["result"]) if row["result"] else None,
        "error": row["error"],
        "created_at": row["created_at"].isoformat(),
        "finished_at": row["finished_at"].isoformat() if row["finished_at"] else None,
    }


async def begin_job(database: Database, job_id: str) -> asyncpg.Record | None:
    """Mark a job as running and return it; None if it is finished or never was, or the id is no id at all."""
    try:
        uuid.UUID(job_id)
    except ValueError:
        return None
    return await database.fetchrow(
        "UPDATE jobs SET state = 'running', attempts = attempts + 1, touched_at = now()"
        f" WHERE id = $1 AND state IN ('queued', 'running') RETURNING {COLUMNS}",
        job_id,
    )


async def end_job(connection: Any, job_id: str, result: dict[str, Any] | None, error: str | None) -> asyncpg.Record:
    """Record a job as done, or as failed if there is an `error`, and return it."""
    row: asyncpg.Record = await connection.fetchrow(
        "UPDATE jobs SET state = $2, result = $3, error = $4, touched_at = now(), finished_at = now()"
        f" WHERE id = $1 RETURNING {COLUMNS}",
        job_id, "failed" if error else "done", json.dumps(result) if result else None, error,
    )  # fmt: skip
    return row


async def lost_jobs(database: Database, older_than_s: float) -> list[str]:
    """Return unfinished jobs that nobody has touched for a while; two workers never get the same one."""
    rows = await database.fetch(
        "UPDATE jobs SET touched_at = now() WHERE id IN ("
        " SELECT id FROM jobs WHERE state IN ('queued', 'running')"
        "  AND touched_at < now() - make_interval(secs => $1)"
        " ORDER BY touched_at LIMIT 100 FOR UPDATE SKIP LOCKED) RETURNING id",
        older_than_s,
    )
    return [str(row["id"]) for row in rows]
