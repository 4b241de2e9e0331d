"""A plan as a person reads it before agreeing to it."""

from __future__ import annotations

from wharfinger.console import Console
from wharfinger.errors import NotConfirmed
from wharfinger.planning import Plan


def show(plan: Plan, console: Console, *, place: str, with_changes: bool) -> None:
    """Say what is going to be done to `place`, and why; the changes of files go to stdout."""
    for warning in plan.warnings:
        console.warn(warning)
    console.say(f"{plan.action} {place}: {'; '.join(plan.reasons)}")
    for line in plan.details:
        console.say(f"      {line}")
    for number, step in enumerate(plan.steps, start=1):
        console.say(f"  {number:>2}  {step.title}")
    for step in plan.on_failure:
        console.say(f"      if it fails, {step.title}")
    if with_changes and plan.changes:
        console.data("\n".join(plan.changes))


def agree(plan: Plan, console: Console, *, place: str) -> None:
    """Return when the plan was agreed to; raises NotConfirmed when it was declined or nobody could be asked."""
    if not console.confirm(f"{plan.action} {place}?"):
        raise NotConfirmed(f"{plan.action} {place}: not confirmed; nothing was changed", fix="--yes agrees beforehand")
