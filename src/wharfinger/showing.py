"""A plan as a person reads it before agreeing to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from wharfinger.console import Console
from wharfinger.console.joint import merged
from wharfinger.errors import NotConfirmed
from wharfinger.planning import Plan
from wharfinger.project import Place


def show(plans: Mapping[str, Plan], console: Console, *, place: str, with_changes: bool) -> None:
    """Say what is going to be done to `place`, and why; the changes of files go to stdout.

    The plans are those of servers by name, for all of which the same holds; steps of some of them alone are marked.
    """
    plan = next(iter(plans.values()))
    for warning in plan.warnings:
        console.warn(warning)
    console.say(f"{plan.action} {place} on {', '.join(plans)}: {'; '.join(plan.reasons)}")
    for line in plan.details:
        console.say(f"      {line}")
    titles = {name: [step.title for step in each.steps] for name, each in plans.items()}
    for number, title in enumerate(merged([*titles.values()]), start=1):
        on = [name for name, of_one in titles.items() if title in of_one]
        console.say(f"  {number:>2}  {title}" + (f" ({', '.join(on)} alone)" if len(on) < len(plans) else ""))
    for step in (step for each in plans.values() for step in each.on_failure):
        console.say(f"      if it fails, {step.title}")
    if with_changes and plan.changes:
        console.data("\n".join(plan.changes))


def look_of(plan: Plan) -> tuple[object, ...]:
    """Return what a person sees of a plan but for its steps, to tell which can be shown as one."""
    return plan.action, plan.reasons, plan.warnings, plan.details, plan.changes, bool(plan.steps)


def table(console: Console, place: Place, headers: Sequence[str], rows: Mapping[str, Iterable[Sequence[str]]]) -> None:
    """Print the rows of every server as one table, each with its server where the environment has several."""
    several = len(place.environment.servers) > 1
    named = [[server, *row] if several else [*row] for server, of_one in rows.items() for row in of_one]
    if named:
        console.table(["server", *headers] if several else headers, named)


def agree(plan: Plan, console: Console, *, place: str) -> None:
    """Return when the plan was agreed to; raises NotConfirmed when it was declined or nobody could be asked."""
    if not console.confirm(f"{plan.action} {place}?"):
        raise NotConfirmed(f"{plan.action} {place}: not confirmed; nothing was changed", fix="--yes agrees beforehand")
