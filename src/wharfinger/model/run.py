"""A run that was cut off, as its journal tells of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

FINISHED: Final = tuple(f'"event": "finished", "outcome": "{end}"}}\n'.encode() for end in ("succeeded", "reverted"))
"""How the last line of a journal ends that tells of the end of its run; what is written there by `Journal`."""


@dataclass(frozen=True, slots=True)
class CutOff:
    """A run whose journal says neither that it succeeded nor that it was reverted."""

    journal: str
    """The name of its journal's file."""
    action: str
    by: str
    since: str
    """When it began, ISO 8601 in UTC."""
    steps: tuple[Mapping[str, Any], ...]
    """What it was going to do: verbs with their fields, as `steps.recorded` gives them."""
    begun: tuple[str, ...]
    """The verbs that it began, in order."""
    done: tuple[str, ...]
    """The verbs that it brought to their end."""

    def __str__(self) -> str:
        where = f" in {self.begun[-1]}" if self.begun else ""
        what = f" of release {self.release}" if self.release else ""
        return f"the {self.action or 'run'}{what} by {self.by or 'somebody'} was cut off{where}"

    @property
    def release(self) -> str | None:
        """The release that was to become current."""
        return self.planned("Record", "release", None)  # type: ignore[no-any-return]

    def planned(self, verb: str, field: str, default: Any) -> Any:
        """Return a field of the planned step of a verb, or `default` where there is none."""
        return next((step.get(field, default) for step in self.steps if step.get("verb") == verb), default)

    def is_committed(self, current: str | None) -> bool:
        """Whether its release counts, so that the run is to be finished; else it is to be reverted."""
        return "Record" in self.done or ("Record" in self.begun and current == self.release)


def cut_off(name: str, content: bytes) -> CutOff | None:
    """Return the run that a journal tells of, or None where it came to an end; a torn line counts as none."""
    lines = [line for raw in content.splitlines() if (line := _read(raw)) is not None]
    if any(line.get("event") == "finished" for line in lines):
        return None
    plan = next((line for line in lines if line.get("event") == "planned"), {})

    def verbs(event: str) -> tuple[str, ...]:
        return tuple(line.get("verb", "") for line in lines if line.get("event") == event)

    return CutOff(
        journal=name,
        action=plan.get("action", ""),
        by=plan.get("by", ""),
        since=plan.get("at", ""),
        steps=tuple(plan.get("steps", ())),
        begun=verbs("started"),
        done=verbs("done"),
    )


def _read(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
