"""A run that was cut off, as its journal tells of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_OF_REPLICAS: Final = ("scale", "restart")
_LAST: Final = "RetireReplicas"
FINISHED: Final = tuple(f'"event": "finished", "outcome": "{end}"}}\n'.encode() for end in ("succeeded", "reverted"))
"""How the last line of a journal ends that tells of the end of its run; what is written there by `Journal`."""

AGREED: Final = "agreed"
"""The event from which on a run of several servers counts: a line of it in any server's journal is enough."""


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
    servers: tuple[str, ...] = ()
    """Those that it was to change together; none where it was one alone."""
    agreed: bool = False
    """Whether all of them had come so far that the release counts."""

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

    def first(self, verb: str) -> Mapping[str, Any] | None:
        """Return the first planned step of a verb, provided that the run began one of that verb."""
        return next((step for step in self.steps if step.get("verb") == verb), None) if verb in self.begun else None

    def is_committed(self, current: str | None) -> bool:
        """Whether its release counts, so that the run is to be finished; else it is to be reverted.

        On several servers it counts once all have agreed, whatever is done on one of them. A `scale` or `restart` that
        records nothing counts from the moment that only old replicas are left to stop.
        """
        if self.servers:
            return self.agreed
        if self.release is None and self.action in _OF_REPLICAS:
            planned = {str(step.get("verb")) for step in self.steps} - {_LAST}
            return bool(planned) and planned <= set(self.done)
        return "Record" in self.done or ("Record" in self.begun and current == self.release)

    def moved_current(self, current: str | None) -> bool:
        """Whether it is to be reverted although its release is `current` already: other servers had not come so far."""
        return bool(self.servers) and not self.agreed and "Record" in self.begun and current == self.release


def has_agreed(content: bytes) -> bool:
    """Whether a journal says that all servers of its run had come so far that the release counts."""
    return any((_read(line) or {}).get("event") == AGREED for line in content.splitlines())


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
        servers=tuple(plan.get("servers", ())),
        agreed=has_agreed(content),
    )


def _read(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
