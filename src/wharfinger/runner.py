"""The only loop that runs steps: it journals each, and on a failure undoes what was done, in reverse.

Several servers run at once, each in a thread, and meet where one must not go on without the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal, NoReturn, Protocol

from wharfinger.console import Console
from wharfinger.console import Step as Shown
from wharfinger.console.joint import JointSteps, merged
from wharfinger.console.steps import Finding
from wharfinger.errors import ConnectionLost, Interrupted, StepFailed, WharfingerError
from wharfinger.journal import Journal
from wharfinger.meeting import Meeting, Stopped, side_by_side
from wharfinger.planning import Plan
from wharfinger.planning.together import COUNTING, stages
from wharfinger.steps import Step, World

End = Literal["done", "undone", "abandoned", "left", "lost"]
"""`left`: it counts and was not tidied up to the end; `lost`: what the server did is not known."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be run on one server."""

    plan: Plan
    world: World
    journal: Journal


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a plan's steps: the title and seconds of each, and the checklist that the release passed."""

    timings: tuple[tuple[str, float], ...]
    checks: tuple[Finding, ...]


def run(parts: Sequence[Part], console: Console, *, by: str) -> Ran:
    """Carry out a plan, or one on each server together; return how long every step took and what was found.

    Raises StepFailed (or Interrupted) after undoing what was done, on all servers; a failure of a step that only
    tidies is a warning, since the new release already counts.
    """
    titles = {part.world.host.name: [step.title for step in part.plan.steps] for part in parts}
    meeting = Meeting(len(parts), lambda: _agree(parts))
    with console.steps(merged([*titles.values()])) as shown:
        joint = JointSteps(shown, titles)
        runs = [
            _Run(part, number, meeting, joint.of(part.world.host.name) if len(parts) > 1 else shown, console)
            for number, part in enumerate(parts)
        ]
        servers = tuple(titles) if len(parts) > 1 else ()
        side_by_side([partial(each.carry_out, by, servers) for each in runs], meeting)
        joint.close()
        if any(each.error is not None for each in runs):
            _refuse(runs, meeting, shown, console)
    for each in runs:
        each.part.journal.finished("succeeded")
    return Ran(shown.timings, shown.findings)


def _agree(parts: Sequence[Part]) -> None:
    """Write down that the release counts: one journal that has it is enough, and none must go on without."""
    if len(parts) == 1:
        return
    failures = []
    for part in parts:
        try:
            part.journal.agreed()
        except Exception as error:
            failures.append(error)
    if len(failures) == len(parts):
        raise next((error for error in failures if isinstance(error, ConnectionLost)), failures[0])


class _Steps(Protocol):
    def step(self, title: str) -> AbstractContextManager[Shown]:
        """Run the block as a step."""


class _Run:
    """One server's run, and how it ended."""

    def __init__(self, part: Part, number: int, meeting: Meeting, shown: _Steps, console: Console) -> None:
        self.part = part
        self.begun: list[Step] = []
        self.error: BaseException | None = None
        self.end: End = "done"
        self._number = number
        self._meeting = meeting
        self._shown = shown
        self._console = console

    @property
    def name(self) -> str:
        """The server."""
        return self.part.world.host.name

    @property
    def where(self) -> str:
        """What names it in front of what is told, where there are others."""
        return f"{self.name}: " if self._meeting.is_of_several else ""

    def carry_out(self, by: str, servers: tuple[str, ...]) -> None:
        """Run the steps; where one fails, or a run on another server does, undo them."""
        plan, journal = self.part.plan, self.part.journal
        try:
            journal.planned(plan.steps, by=by, action=plan.action, servers=servers)
            for step, stage in zip(plan.steps, stages(plan.steps), strict=True):
                self._meeting.arrive(self._number, stage)
                self.begun.append(step)
                self._do(step)
            self._meeting.arrive(self._number, COUNTING)
        except (Exception, KeyboardInterrupt) as error:
            self.error = error
            self._meeting.fail(self._number, error)
            self.end = self._after(error)

    def _after(self, error: BaseException) -> End:
        if isinstance(error, ConnectionLost) or not self.part.world.host.is_reached() or self._meeting.in_doubt:
            return "lost"
        if self._meeting.counts:
            return "left"
        try:
            self._undo()
        except KeyboardInterrupt:
            with _even_if_the_disk_is_full():
                _awaited(self.part.journal).abandoned()
            return "abandoned"
        return "undone"

    def _do(self, step: Step) -> None:
        world, journal = self.part.world, self.part.journal
        row: Shown | None = None
        try:
            journal.step("started", step)
            with self._shown.step(step.title) as row:
                step.run(world, row)
            journal.step("done", step, **_checklist(row))
        except (Exception, KeyboardInterrupt) as error:
            with _even_if_the_disk_is_full():
                _awaited(journal).step("failed", step, problem=_problem(error), **_checklist(row))
            if not step.tidies or not world.host.is_reached():
                raise
            told = f"{self.where}{step.title} failed: {_problem(error)}; the next deploy tries again"
            self._console.warn(f"{told}{_more(error)}")

    def _undo(self) -> None:
        journal = _awaited(self.part.journal)
        for step in reversed(self.begun):
            if self._meeting.abandoned:
                raise KeyboardInterrupt
            try:
                step.undo(self.part.world)
            except Exception as error:
                facts = {"event": "undo failed", "problem": _problem(error)}
                with contextlib.suppress(OSError):  # a terminal that is gone must not end the undoing
                    self._console.warn(f"{self.where}could not undo `{step.title}`: {_problem(error)}")
            else:
                facts = {"event": "undone"}
            with _even_if_the_disk_is_full():
                journal.step(step=step, **facts)

    @property
    def step(self) -> str:
        """The step that it came to."""
        return self.begun[-1].title if self.begun else "begin"

    @property
    def serving(self) -> str:
        """What serves on the server."""
        plan, verbs = self.part.plan, [type(step).__name__ for step in self.begun]
        if self.end in {"done", "left"}:
            return f"release {plan.release} serves"
        if self.end != "lost" or "Switch" not in verbs:
            return plan.serving
        if verbs[-1] == "Switch":
            return f"{plan.serving}, or release {plan.release} does already; both run"
        return f"release {plan.release} serves"


def _awaited(journal: Journal) -> Journal:
    """Return the journal for undoing: a line of it that cannot be written must not keep anything from being undone."""
    return replace(journal, awaited=True)


def _refuse(runs: Sequence[_Run], meeting: Meeting, shown: _Steps, console: Console) -> NoReturn:
    """Raise why the runs ended, once what was undone is closed."""
    ends = {each.end for each in runs}
    for each in runs:
        if each.end == "done":
            with _even_if_the_disk_is_full():
                _awaited(each.part.journal).finished("succeeded")
    if "lost" not in ends and "abandoned" not in ends:
        try:
            for each in runs:
                _run_hooks(each.part.plan.on_failure if each.end == "undone" else (), each.part, shown, console)
            _close(runs)
        except KeyboardInterrupt:
            for each in runs:
                with _even_if_the_disk_is_full():
                    _awaited(each.part.journal).abandoned()
            ends.add("abandoned")
    else:
        _close(runs)
    cause = runs[meeting.first or 0]
    raise _failure(cause, runs, meeting, ends) from cause.error


def _close(runs: Iterable[_Run]) -> None:
    for each in runs:
        if each.end == "undone":
            with _even_if_the_disk_is_full():
                _awaited(each.part.journal).finished("reverted")


def _run_hooks(steps: Sequence[Step], part: Part, shown: _Steps, console: Console) -> None:
    """Run what is to be run after a failure; nothing that happens here hides why it failed."""
    for step in steps:
        facts: dict[str, Any] = {"event": "done"}
        try:
            with shown.step(step.title) as row:
                step.run(part.world, row)
        except KeyboardInterrupt:
            return  # again: whoever waits has waited enough
        except Exception as error:
            facts = {"event": "failed", "problem": _problem(error)}
            console.warn(f"{step.title} failed: {_problem(error)}{_more(error)}")
        with _even_if_the_disk_is_full():
            _awaited(part.journal).step(step=step, **facts)


def _failure(cause: _Run, runs: Sequence[_Run], meeting: Meeting, ends: Iterable[End]) -> BaseException:
    """Return the error that tells what failed, where, and what serves on each server."""
    error = cause.error
    assert error is not None  # noqa: S101 - it is asked for where there is one
    if not cause.begun and len(runs) == 1:
        return error
    known = error if isinstance(error, WharfingerError) else None
    step, serving = cause.step, _serving(runs)
    details = (*(known.details if known else ()), *serving)
    if "lost" in ends:
        return _lost([each for each in runs if each.end == "lost"], serving)
    if "abandoned" in ends:
        return Interrupted(
            f"interrupted while undoing `{step}`: not all of it is undone",
            details=serving,
            fix="invoke recover puts it right, and so does the next deploy",
        )
    interrupted = isinstance(error, KeyboardInterrupt) or meeting.interrupted
    if interrupted and "left" in ends:
        return Interrupted("interrupted while tidying up", fix="invoke recover goes on with it")
    if interrupted:
        return Interrupted(
            f"interrupted in `{step}`", details=details, fix=f"invoke {cause.part.plan.action} starts afresh"
        )
    afresh = "invoke recover goes on" if "left" in ends else f"invoke {cause.part.plan.action} starts afresh"
    fix = known.fix if known and known.fix else afresh
    return StepFailed(f"{cause.where}`{step}` failed: {_problem(error)}", details=details, fix=fix)


def _lost(runs: Sequence[_Run], serving: Sequence[str]) -> ConnectionLost:
    return ConnectionLost(
        f"{', '.join(each.name for each in runs)}: the connection was lost in `{runs[0].step}`",
        details=serving,
        fix="invoke recover, once the server answers; the next deploy does so by itself",
    )


def _serving(runs: Sequence[_Run]) -> tuple[str, ...]:
    """Return what serves, a line for all servers on which the same does."""
    if len(runs) == 1:
        return (runs[0].serving,)
    found: dict[str, list[str]] = {}
    for each in runs:
        found.setdefault(each.serving, []).append(each.name)
    return tuple(f"{', '.join(names)}: {serving}" for serving, names in found.items())


def _more(error: BaseException) -> str:
    """Return an error's details as further lines."""
    details = error.details if isinstance(error, WharfingerError) else ()
    return "".join(f"\n  {line}" for line in details)


def _checklist(row: Shown | None) -> dict[str, Any]:
    """Return what a step found, as the journal holds it; nothing for a step that looks at nothing."""
    found = row.findings if row is not None else ()
    return {"checks": [asdict(finding) for finding in found]} if found else {}


def _even_if_the_disk_is_full() -> contextlib.suppress:
    """Return what lets undoing go on where the journal can no longer be written."""
    return contextlib.suppress(Exception)


def _problem(error: BaseException) -> str:
    if isinstance(error, WharfingerError):
        return error.problem
    if isinstance(error, Stopped):
        return "another server's run failed"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
