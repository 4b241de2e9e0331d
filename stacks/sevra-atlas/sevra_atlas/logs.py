"""Logs as one JSON object a line on standard output, each with the id of the request it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request or job in hand; empty outside of one."""


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; members of `extra={"fields": {…}}` become its own members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its newline."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def start_logging(level: str) -> None:
    """Send everything from `level` up to standard output, uvicorn's and Alembic's lines included."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # What uvicorn says at start and stop is of use; what these say is not.
    for noisy in ("websockets", "asyncio", "PIL", "alembic.runtime.plugins"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
