"""What every task that changes a server does with its plan: show, confirm, lock, look again, run, sum up."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wharfinger import runner
from wharfinger.commands import compose
from wharfinger.connecting import Server
from wharfinger.console import Console
from wharfinger.console.steps import Finding
from wharfinger.errors import ConnectionLost, WharfingerError
from wharfinger.facts import observe
from wharfinger.journal import Journal
from wharfinger.lock import deploy_lock, deploying, remove_stale
from wharfinger.model.stack import Stack
from wharfinger.planning import Plan
from wharfinger.planning.recovery import plan_recovery
from wharfinger.project import Place
from wharfinger.showing import agree, show

_SETTLED_WITHIN: Final = 15.0
_AGAIN_WITHIN: Final = 30.0


@dataclass(frozen=True, slots=True)
class Consent:
    """How far a task may go."""

    plan_only: bool = False
    """Stop after the plan."""
    assume_yes: bool = False
    """Do not ask."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a plan: `timings` are the title and seconds of every step, none where none was run."""

    plan: Plan
    timings: tuple[tuple[str, float], ...] = ()
    checks: tuple[Finding, ...] = ()
    """The checklist that the release passed."""

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """The checklist as rows of a summary."""
        return tuple(("check", str(check)) for check in self.checks)


def now() -> str:
    """Return the time, ISO 8601 in UTC, to the millisecond."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def settle(server: Server) -> None:
    """Return once the commands of a run that was killed have ended, or have had time to: a plan needs a still picture.

    Raises LockHeld where the run goes on.
    """
    if server.host.read(server.layout.lock) is None:
        return
    busy = deploying(server.host, server.layout)
    if busy is not None:
        remove_stale(server.host, server.layout)
    if server.host.read(server.layout.lock) is not None:
        releases = server.host.names_in(server.layout.releases)
        target = server.layout.target
        projects = (target.name, *(target.app_project(release) for release in releases))
        server.host.left_running(tuple(map(compose.words, projects)), within=_SETTLED_WITHIN)


def carry_out(
    make_plan: Callable[[], Plan],
    place: Place,
    stack: Stack,
    server: Server,
    console: Console,
    consent: Consent,
) -> Outcome:
    """Show the plan that `make_plan` makes of what is observed, and carry it out.

    Where somebody is asked, it is made anew once the lock is held; raises WharfingerError when it has changed in the
    meantime. Its steps are run unless it has none or `consent` stops after it.
    """
    settle(server)
    where, agreed = f"{place.target.name} on {server.host.name}", None
    ask = place.must_be_confirmed and not consent.assume_yes
    if consent.plan_only or ask:
        agreed = make_plan()
        _present(agreed, console, where, with_changes=consent.plan_only)
        if consent.plan_only:
            return Outcome(agreed)
        if agreed.steps:
            agree(agreed, console, place=where)
    try:
        with deploy_lock(server.host, server.layout, server.host.operator(), since=now()) as taken_over:
            plan = make_plan()
            if agreed is None:
                _present(plan, console, where, with_changes=False)
            elif plan != agreed:
                raise WharfingerError(
                    f"{where} changed while the plan was being agreed to; nothing was done",
                    fix=f"invoke {plan.action}",
                )
            if not plan.steps:
                if taken_over:
                    console.say(f"the lock of a run of {where} that was cut off is gone")
                return Outcome(plan)
            return _run(plan, stack, server, console)
    except ConnectionLost as loss:
        raise _after(loss, stack, server, console) from loss


def _present(plan: Plan, console: Console, where: str, *, with_changes: bool) -> None:
    """Show a plan that has steps; of any other only its warnings."""
    if plan.steps:
        show(plan, console, place=where, with_changes=with_changes or plan.action == "promote")
    else:
        for warning in plan.warnings:
            console.warn(warning)


def _run(plan: Plan, stack: Stack, server: Server, console: Console) -> Outcome:
    journal = Journal(server.host, server.layout.journal / f"{now()[:23]}-{plan.action}.jsonl", now)
    ran = runner.run(plan, server.world(stack), journal, console, by=str(server.host.operator()))
    return Outcome(plan, ran.timings, ran.checks)


def _after(loss: ConnectionLost, stack: Stack, server: Server, console: Console) -> ConnectionLost:
    """Connect anew and put right what was cut off, from its journal as every next run would; return what to tell."""
    console.warn(f"{loss.problem}; connecting again, {_AGAIN_WITHIN:g} s at most")
    try:
        server.reach_again(within=_AGAIN_WITHIN)
        settle(server)
        plan = recovery(server)
        if plan.steps:
            with deploy_lock(server.host, server.layout, server.host.operator(), since=now()):
                _run(plan, stack, server, console)
        remove_stale(server.host, server.layout)
    except WharfingerError as error:
        return ConnectionLost(loss.problem, details=[error.problem, *loss.details], fix=loss.fix)
    done = plan.reasons or ("nothing of it was done",)
    serves = f"release {plan.release} serves" if plan.release else "nothing is deployed"
    return ConnectionLost(loss.problem, details=[*done, serves], fix="the server answers again: the same command")


def recovery(server: Server) -> Plan:
    """Return the plan that puts right what was cut off."""
    layout = server.layout
    paths = (layout.site, layout.live, layout.current / "site.conf")
    return plan_recovery(observe(server.host, server.engine, server.edge, layout, paths), layout)
