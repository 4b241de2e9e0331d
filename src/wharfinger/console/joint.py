"""The steps of several servers as one list: each is shown once, and is done when all of them have done it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from wharfinger.console.steps import Progress, Step, StepList, Unit


def merged(plans: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the titles of all plans, what they share once, in an order that every plan keeps where that can be."""
    found = [*plans[0]] if plans else []
    for titles in plans[1:]:
        at = 0
        for title in titles:
            if title in found:
                at = found.index(title) + 1
            else:
                found.insert(at, title)
                at += 1
    return tuple(found)


class JointSteps:
    """What several servers do of one list of steps, from a thread each; `titles` are those of each server."""

    def __init__(self, steps: StepList, titles: Mapping[str, Sequence[str]]) -> None:
        self._steps = steps
        self._lock = threading.Lock()
        self._awaited = Counter(title for of_one in titles.values() for title in set(of_one))
        self._rows: dict[str, _Row] = {}

    def of(self, server: str) -> ServerSteps:
        """Return what one server's run tells of its steps to."""
        return ServerSteps(self, server)

    def enter(self, title: str) -> _Row:
        """Return the row of a step, which begins with the first server that comes to it."""
        with self._lock:
            if title not in self._rows:
                self._rows[title] = _Row(self._steps.step(title), self._awaited[title])
            return self._rows[title]

    def leave(self, row: _Row, error: BaseException | None) -> None:
        """End the row of a step with the last server, or the first that fails in it."""
        with self._lock:
            row.awaited -= 1
            if error is not None or row.awaited <= 0:
                row.end(error)

    def close(self) -> None:
        """End what some servers have done and others never came to."""
        with self._lock:
            for row in self._rows.values():
                row.end(KeyboardInterrupt())


class _Row:
    """One step as it is shown."""

    def __init__(self, context: AbstractContextManager[Step], awaited: int) -> None:
        self.awaited = awaited
        self.shown = context.__enter__()
        self.outcomes: dict[str, str] = {}
        self._context: AbstractContextManager[Step] | None = context

    def end(self, error: BaseException | None) -> None:
        """Show how it ended, once."""
        context, self._context = self._context, None
        if context is not None:
            context.__exit__(type(error) if error else None, error, None)


class ServerSteps:
    """The steps of one server among several."""

    def __init__(self, joint: JointSteps, server: str) -> None:
        self._joint = joint
        self._server = server

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run the block as this server's part of the step `title`."""
        row = self._joint.enter(title)
        error: BaseException | None = None
        try:
            yield _Told(row, title, self._server)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._joint.leave(row, error)


class _Told(Step):
    """A step of one server, whose remarks name it where they are shown."""

    def __init__(self, row: _Row, title: str, server: str) -> None:
        super().__init__(title, lambda: 0.0, threading.RLock())
        self._row = row
        self._server = server

    def note(self, text: str) -> None:
        self._row.shown.note(f"{self._server}: {text}")

    def conclude(self, text: str) -> None:
        self._row.outcomes[self._server] = text
        told = self._row.outcomes
        self._row.shown.conclude(
            text if len(set(told.values())) == 1 else "; ".join(f"{name}: {what}" for name, what in told.items())
        )

    def found(self, name: str, *, passed: bool, seen: str = "") -> None:
        super().found(name, passed=passed, seen=seen)
        self._row.shown.found(f"{self._server}: {name}", passed=passed, seen=seen)

    @contextmanager
    def progress(self, label: str, *, total: int | None, unit: Unit) -> Iterator[Progress]:
        with self._row.shown.progress(f"{self._server}: {label}", total=total, unit=unit) as bar:
            yield bar
