"""The steps of a run and what is known of each; a view shows them.

Safe to use from several threads. The state's lock is never held while a view is called, since a view's own
thread reads the state under the view's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from wharfinger.console.text import one_line

Unit = Literal["bytes", "steps"]
State = Literal["pending", "running", "done", "failed", "interrupted", "skipped"]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a checklist: what was looked at, whether it is as it should be, and what was seen."""

    name: str
    passed: bool
    seen: str = ""

    def __str__(self) -> str:
        return f"{self.name} {'✓' if self.passed else '✗'} {self.seen}".rstrip()


class Progress:
    """How far one piece of work is; `total` is None as long as nobody knows it."""

    def __init__(self, label: str, total: int | None, unit: Unit, lock: threading.RLock) -> None:
        self.label = one_line(label)
        self.unit = unit
        self.completed = 0
        self.total = total
        self._lock = lock

    def advance(self, n: int = 1) -> None:
        """Add `n` bytes or steps to what is completed."""
        with self._lock:
            self.completed += n

    def update(self, completed: int, total: int | None = None) -> None:
        """Set what is completed, and the total where it became known or changed."""
        with self._lock:
            self.completed = completed
            self.total = self.total if total is None else total

    @property
    def fraction(self) -> float | None:
        """The part completed, 0 to 1; None while the total is unknown."""
        with self._lock:
            return min(1.0, max(0.0, self.completed / self.total)) if self.total else None


class Step:
    """One step of the list; made by `StepList.step`."""

    def __init__(self, title: str, clock: Clock, lock: threading.RLock) -> None:
        self.title = one_line(title)
        self.state: State = "pending"
        self.remark = ""
        self.outcome = ""
        self._bars: list[Progress] = []
        self._findings: list[Finding] = []
        self._clock = clock
        self._lock = lock
        self._began = self._ended = 0.0

    def note(self, text: str) -> None:
        """Show a short changing remark behind the running step, such as `2 of 3 healthy`."""
        with self._lock:
            self.remark = one_line(text)

    def conclude(self, text: str) -> None:
        """Say what came of the step; it stays behind the finished step, unlike a note."""
        with self._lock:
            self.outcome = one_line(text)

    def found(self, name: str, *, passed: bool, seen: str = "") -> None:
        """Add a line to the step's checklist, which stays below the finished step."""
        with self._lock:
            self._findings.append(Finding(one_line(name), passed, one_line(seen)))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The step's checklist so far."""
        with self._lock:
            return tuple(self._findings)

    @contextmanager
    def progress(self, label: str, *, total: int | None, unit: Unit) -> Iterator[Progress]:
        """Show how far `label` is as long as the block runs; several at once are shown beneath each other."""
        bar = Progress(label, total, unit, self._lock)
        with self._lock:
            self._bars.append(bar)
        try:
            yield bar
        finally:
            with self._lock:
                self._bars.remove(bar)

    @property
    def bars(self) -> tuple[Progress, ...]:
        """What is in progress just now."""
        with self._lock:
            return tuple(self._bars)

    @property
    def seconds(self) -> float:
        """How long the step has run, or ran."""
        return (self._clock() if self.state == "running" else self._ended) - self._began

    def begin(self) -> None:
        """Start the clock of this step."""
        with self._lock:
            self._began, self.state = self._clock(), "running"

    def end(self, state: State) -> None:
        """Stop the clock of this step."""
        with self._lock:
            self._ended, self.state = self._clock(), state


class View(Protocol):
    """What shows a list of steps: a live region of a terminal, or plain lines."""

    def start(self, steps: StepList) -> None:
        """Begin to show `steps`."""

    def finished(self, step: Step) -> None:
        """Show for good that a step is done, failed, interrupted or skipped."""

    def above(self, text: str) -> None:
        """Write lines among the steps without disturbing them."""

    def stop(self) -> None:
        """Show no more and leave the terminal as it was."""


class StepList:
    """The steps of one run, in order; those that were not announced are added where they begin."""

    def __init__(self, titles: Sequence[str], view: View, clock: Clock) -> None:
        self._lock = threading.RLock()
        self._view = view
        self._clock = clock
        self._steps = [self._new(title) for title in titles]

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run the block as the step `title`; an exception marks it failed and goes on its way."""
        step = self._claim(title)
        state: State = "failed"
        try:
            yield step
            state = "done"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            step.end(state)
            self._view.finished(step)

    def skip(self, title: str, why: str) -> None:
        """Show that the step `title` is not needed, and why."""
        step = self._claim(title)
        step.note(why)
        step.end("skipped")
        self._view.finished(step)

    def add(self, titles: Sequence[str]) -> None:
        """Announce further steps."""
        with self._lock:
            self._steps += [self._new(title) for title in titles]

    def in_state(self, state: State) -> tuple[Step, ...]:
        """Return the steps that are in `state` just now, in order."""
        with self._lock:
            return tuple(step for step in self._steps if step.state == state)

    @property
    def timings(self) -> tuple[tuple[str, float], ...]:
        """Title and seconds of every step that ran to its end, for `Console.summary`."""
        with self._lock:
            ran = ("done", "failed", "interrupted")
            return tuple((step.title, step.seconds) for step in self._steps if step.state in ran)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The checklists of all steps so far, as one."""
        with self._lock:
            return tuple(finding for step in self._steps for finding in step.findings)

    def _new(self, title: str) -> Step:
        return Step(title, self._clock, self._lock)

    def _claim(self, title: str) -> Step:
        wanted = one_line(title)
        with self._lock:
            pending = (step for step in self._steps if step.state == "pending" and step.title == wanted)
            step = next(pending, None)
            if step is None:
                step = self._new(title)
                self._steps.append(step)
            step.begin()
            return step
