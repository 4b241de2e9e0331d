"""The only loop that runs steps: it journals each, and on a failure undoes what was done, in reverse."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NoReturn

from wharfinger.console import Console, StepList
from wharfinger.console import Step as Shown
from wharfinger.errors import ConnectionLost, Interrupted, StepFailed, WharfingerError
from wharfinger.journal import Journal
from wharfinger.planning import Plan
from wharfinger.steps import Step, World


def run(plan: Plan, world: World, journal: Journal, console: Console, *, by: str) -> tuple[tuple[str, float], ...]:
    """Carry out a plan; return the title and seconds of every step.

    Raises StepFailed (or Interrupted) after undoing what was done; a failure of a step that only tidies is a
    warning, since the new release already counts.
    """
    journal.planned(plan.steps, by=by, action=plan.action)
    begun: list[Step] = []
    done = 0
    with console.steps([step.title for step in plan.steps]) as shown:
        try:
            for step in plan.steps:
                begun.append(step)
                _carry_out(step, world, journal, console, shown)
                done += 1
        except (Exception, KeyboardInterrupt) as error:
            _refuse_if_lost(world, plan, begun, error)
            if all(step.tidies for step in plan.steps[done:]):  # the release counts: nothing is undone any more
                raise Interrupted("interrupted while tidying up", fix="invoke recover goes on with it") from error
            _compensate(plan, begun, error, world, journal, console, shown)
    journal.finished("succeeded")
    return shown.timings


def _refuse_if_lost(world: World, plan: Plan, begun: Sequence[Step], error: BaseException) -> None:
    """Raise ConnectionLost where the server no longer answers: what it did is not known, and nothing can be undone."""
    if isinstance(error, ConnectionLost) or not world.host.is_reached():
        raise ConnectionLost(
            f"{world.host.name}: the connection was lost in `{begun[-1].title}`",
            details=[_serving_meanwhile(plan, begun)],
            fix="invoke recover, once the server answers; the next deploy does so by itself",
        ) from error


def _serving_meanwhile(plan: Plan, begun: Sequence[Step]) -> str:
    """Return what serves while nobody can look, by what was begun."""
    verbs = [type(step).__name__ for step in begun]
    if "Switch" not in verbs:
        return plan.serving
    if verbs[-1] == "Switch":
        return f"{plan.serving}, or release {plan.release} does already; both run"
    return f"release {plan.release} serves"


def _carry_out(step: Step, world: World, journal: Journal, console: Console, shown: StepList) -> None:
    row: Shown | None = None
    try:
        journal.step("started", step)
        with shown.step(step.title) as row:
            step.run(world, row)
        journal.step("done", step, **_checklist(row))
    except (Exception, KeyboardInterrupt) as error:
        with _even_if_the_disk_is_full():
            _awaited(journal).step("failed", step, problem=_problem(error), **_checklist(row))
        if not step.tidies or not world.host.is_reached():
            raise
        console.warn(f"{step.title} failed: {_problem(error)}; the next deploy tries again{_more(error)}")


def _compensate(
    plan: Plan,
    begun: Sequence[Step],
    error: BaseException,
    world: World,
    journal: Journal,
    console: Console,
    shown: StepList,
) -> NoReturn:
    """Undo what was begun, in reverse, and raise the failure; a second Ctrl-C ends that at once, recoverably."""
    journal = _awaited(journal)
    try:
        _undo(begun, world, journal, console)
        _run_hooks(plan.on_failure, world, journal, shown, console)
        with _even_if_the_disk_is_full():
            journal.finished("reverted")
    except KeyboardInterrupt:
        with _even_if_the_disk_is_full():
            journal.abandoned()
        raise Interrupted(
            f"interrupted while undoing `{begun[-1].title}`: not all of it is undone",
            details=[plan.serving],
            fix="invoke recover puts it right, and so does the next deploy",
        ) from error
    raise _failure(plan, begun[-1], error) from error


def _awaited(journal: Journal) -> Journal:
    """Return the journal for undoing: a line of it that cannot be written must not keep anything from being undone."""
    return replace(journal, awaited=True)


def _undo(steps: Sequence[Step], world: World, journal: Journal, console: Console) -> None:
    for step in reversed(steps):
        try:
            step.undo(world)
        except Exception as error:
            facts = {"event": "undo failed", "problem": _problem(error)}
            with contextlib.suppress(OSError):  # a terminal that is gone must not end the undoing
                console.warn(f"could not undo `{step.title}`: {_problem(error)}")
        else:
            facts = {"event": "undone"}
        with _even_if_the_disk_is_full():
            journal.step(step=step, **facts)


def _run_hooks(steps: Sequence[Step], world: World, journal: Journal, shown: StepList, console: Console) -> None:
    """Run what is to be run after a failure; nothing that happens here hides why it failed."""
    for step in steps:
        facts: dict[str, Any] = {"event": "done"}
        try:
            with shown.step(step.title) as row:
                step.run(world, row)
        except KeyboardInterrupt:
            return  # again: whoever waits has waited enough
        except Exception as error:
            facts = {"event": "failed", "problem": _problem(error)}
            console.warn(f"{step.title} failed: {_problem(error)}{_more(error)}")
        with _even_if_the_disk_is_full():
            journal.step(step=step, **facts)


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
    return "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"


def _failure(plan: Plan, step: Step, error: BaseException) -> WharfingerError:
    known = error if isinstance(error, WharfingerError) else None
    kind = Interrupted if isinstance(error, KeyboardInterrupt) else StepFailed
    return kind(
        f"`{step.title}` failed: {_problem(error)}" if kind is StepFailed else f"interrupted in `{step.title}`",
        details=[*(known.details if known else ()), plan.serving],
        fix=known.fix if known and known.fix else f"invoke {plan.action} starts afresh",
    )
