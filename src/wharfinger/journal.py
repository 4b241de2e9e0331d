"""The JSON-lines record of what a deploy did, kept on the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from wharfinger.hosts import Host
from wharfinger.model.run import AGREED
from wharfinger.steps import Step, recorded


@dataclass(frozen=True, slots=True)
class Journal:
    """One deploy's record; every line is on disk before the next thing happens."""

    host: Host
    path: PurePosixPath
    now: Callable[[], str]
    """Returns the time, ISO 8601 in UTC."""
    awaited: bool = False
    """Whether a line that cannot be written is an error at once, rather than of what is done next."""

    def planned(self, steps: tuple[Step, ...], *, by: str, action: str, servers: Sequence[str] = ()) -> None:
        """Record what is going to be done, by whom, and on which servers together where there are several."""
        together = {"servers": list(servers)} if servers else {}
        steps_told = [recorded(step) for step in steps]
        self._write({"event": "planned", "action": action, "by": by, **together, "steps": steps_told})

    def step(self, event: str, step: Step, **facts: Any) -> None:
        """Record that a step began, was done, failed or was undone."""
        self._write({"event": event, "verb": type(step).__name__, **facts})

    def agreed(self) -> None:
        """Record that the release counts, since all servers have come this far; raises what keeps it from the disk."""
        replace(self, awaited=True)._write({"event": AGREED})

    def finished(self, outcome: str) -> None:
        """Record how it ended; a journal without this line was cut off."""
        self._write({"event": "finished", "outcome": outcome})

    def abandoned(self) -> None:
        """Record that undoing was stopped: the next run has to go on with it."""
        self._write({"event": "abandoned"})

    def _write(self, facts: dict[str, Any]) -> None:
        self.host.append(
            self.path, json.dumps({"at": self.now(), **facts}, ensure_ascii=False, default=str), awaited=self.awaited
        )
