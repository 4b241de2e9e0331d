"""What every task that changes a server does with its plan: show, confirm, lock, look again, run, sum up."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from wharfinger import runner
from wharfinger.connecting import Server, at_once
from wharfinger.console import Console
from wharfinger.console.steps import Finding
from wharfinger.errors import ConnectionLost, NotReady, WharfingerError
from wharfinger.fleet import look, names_of
from wharfinger.journal import Journal
from wharfinger.lock import deploy_lock, remove_stale, settle
from wharfinger.planning import Plan
from wharfinger.planning.recovery import plan_recovery
from wharfinger.project import Place
from wharfinger.runner import Part
from wharfinger.showing import agree, look_of, show

_AGAIN_WITHIN: Final = 30.0
_NEEDS_ALL: Final = "needs all of its servers; take one that is gone for good out of `server` in stack.yaml"


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


def carry_out(
    make_plans: Callable[[], Sequence[Plan]],
    place: Place,
    servers: Sequence[Server],
    console: Console,
    consent: Consent,
) -> Outcome:
    """Show the plans that `make_plans` makes of what is observed, one for each server, and carry them out together.

    Where somebody is asked, they are made anew once the locks are held; raises WharfingerError when they have changed
    in the meantime. Their steps are run unless there are none or `consent` stops after the plan.
    """
    agreed: tuple[Plan, ...] | None = None
    where = f"{place.target.name} on {names_of(servers)}"
    ask = place.must_be_confirmed and not consent.assume_yes
    if consent.plan_only or ask:
        _settle(servers)
        agreed = tuple(make_plans())
        _present(agreed, place, servers, console, with_changes=consent.plan_only)
        if consent.plan_only:
            return Outcome(_main(agreed))
        if any(plan.steps for plan in agreed):
            agree(_main(agreed), console, place=where)
    try:
        with locks(servers) as taken_over:
            plans = tuple(make_plans())
            if agreed is None:
                _present(plans, place, servers, console, with_changes=False)
            elif plans != agreed:
                raise WharfingerError(
                    f"{where} changed while the plan was being agreed to; nothing was done",
                    fix=f"invoke {plans[0].action}",
                )
            if not any(plan.steps for plan in plans):
                for server in taken_over:
                    console.say(
                        f"the lock of a run of {place.target.name} on {server.host.name} that was cut off is gone"
                    )
                return Outcome(plans[0])
            return _run(plans, place, servers, console)
    except ConnectionLost as loss:
        raise _after(loss, place, servers, console) from loss


def _main(plans: Sequence[Plan]) -> Plan:
    """Return the plan that stands for all: the first that has steps."""
    return next((plan for plan in plans if plan.steps), plans[0])


@contextmanager
def locks(servers: Sequence[Server]) -> Iterator[list[Server]]:
    """Hold the lock of every server as long as the block runs; yield those where a run that has ended had held it.

    They are taken in the order of the servers' names, so that two operators never wait for each other.
    """
    since = now()
    with ExitStack() as held:
        with _needing_all(servers):
            taken_over = [
                server
                for server in sorted(servers, key=lambda server: server.host.name)
                if held.enter_context(deploy_lock(server.host, server.layout, server.host.operator(), since=since))
            ]
        yield taken_over


def _settle(servers: Sequence[Server]) -> None:
    with _needing_all(servers):
        at_once(lambda server: settle(server.host, server.layout), servers)


@contextmanager
def _needing_all(servers: Sequence[Server]) -> Iterator[None]:
    """Say of one of several servers that is not ready what the others wait for."""
    try:
        yield
    except NotReady as error:
        if len(servers) > 1:
            error.details += (f"{servers[0].place.environment_name} {_NEEDS_ALL}",)
        raise


def _present(
    plans: Sequence[Plan], place: Place, servers: Sequence[Server], console: Console, *, with_changes: bool
) -> None:
    """Show the plans that have steps, those of servers on which the same holds as one; of any other only warnings."""
    looks: dict[object, dict[str, Plan]] = {}
    for server, plan in zip(servers, plans, strict=True):
        looks.setdefault(look_of(plan), {})[server.host.name] = plan
    for alike in looks.values():
        plan = next(iter(alike.values()))
        if plan.steps:
            changes = with_changes or plan.action == "promote"
            show(alike, console, place=place.target.name, with_changes=changes)
        else:
            for warning in plan.warnings:
                console.warn(warning)


def _run(plans: Sequence[Plan], place: Place, servers: Sequence[Server], console: Console) -> Outcome:
    name = f"{now()[:23]}-{_main(plans).action}.jsonl"  # the same on all: it is by its name that theirs are found
    parts = [
        Part(plan, server.world(plan.stack or place.stack), Journal(server.host, server.layout.journal / name, now))
        for plan, server in zip(plans, servers, strict=True)
        if plan.steps
    ]
    ran = runner.run(parts, console, by=str(servers[0].host.operator()))
    return Outcome(_main(plans), ran.timings, ran.checks)


def _after(loss: ConnectionLost, place: Place, servers: Sequence[Server], console: Console) -> ConnectionLost:
    """Connect anew and put right what was cut off, from its journal as every next run would; return what to tell."""
    console.warn(f"{loss.problem}; connecting again, {_AGAIN_WITHIN:g} s at most")
    try:
        at_once(_reach_again, servers)
        _settle(servers)
        plans = recovery(servers)
        if any(plan.steps for plan in plans):
            with locks(servers):
                _run(plans, place, servers, console)
        at_once(lambda server: remove_stale(server.host, server.layout), servers)
    except WharfingerError as error:
        return ConnectionLost(loss.problem, details=[error.problem, *loss.details], fix=loss.fix)
    reasons = tuple(dict.fromkeys(reason for plan in plans for reason in plan.reasons))
    releases = dict.fromkeys(plan.release for plan in plans)
    serves = [f"release {release} serves" if release else "nothing is deployed" for release in releases]
    again = "the server answers again: the same command"
    return ConnectionLost(loss.problem, details=[*(reasons or ("nothing of it was done",)), *serves], fix=again)


def _reach_again(server: Server) -> None:
    if not server.host.is_reached():
        server.reach_again(within=_AGAIN_WITHIN)


def recovery(servers: Sequence[Server]) -> tuple[Plan, ...]:
    """Return the plans that put right what was cut off, one for each server."""
    layout = servers[0].layout
    seen = look(servers, (layout.site, layout.live, layout.current / "site.conf"))
    return tuple(plan_recovery(observed, layout) for observed in seen)
