"""Tasks on what serves, between deploys."""

from __future__ import annotations

import sys

from invoke.context import Context
from invoke.exceptions import Exit

from wharfinger.tasks.running import ENVIRONMENT, SERVER, STACK, console, place, task, words_after_dashes

_PLAN = "show the plan and stop"
_YES = "do not ask"


@task(
    positional=["counts"],
    help={
        "counts": "SERVICE=COUNT, or several with commas between; `reset` for what the stack file says",
        "env": ENVIRONMENT,
        "stack": STACK,
        "plan": _PLAN,
        "yes": _YES,
    },
)
def scale(c: Context, counts: str, env: str, stack: str | None = None, plan: bool = False, yes: bool = False) -> None:
    """Run that many replicas, such as api=3,worker=2, from now on; no request is dropped."""
    from wharfinger import scaling
    from wharfinger.carrying_out import Consent

    consent = Consent(plan_only=plan or c.config.run.dry, assume_yes=yes)
    scaling.scale(place(c, stack, env), console(), counts, consent=consent)


@task(
    iterable=["service"],
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "service": "only this one, where the edge does not lead to it; may be repeated (default: all services)",
        "plan": _PLAN,
        "yes": _YES,
    },
)
def restart(
    c: Context,
    env: str,
    service: list[str],
    stack: str | None = None,
    plan: bool = False,
    yes: bool = False,
) -> None:
    """Start the release that serves anew: new replicas are healthy before old ones stop, and no request is dropped."""
    from wharfinger import scaling
    from wharfinger.carrying_out import Consent

    consent = Consent(plan_only=plan or c.config.run.dry, assume_yes=yes)
    scaling.restart(place(c, stack, env), console(), tuple(service), consent=consent)


@task(
    positional=["state"],
    iterable=["allow"],
    help={
        "state": "on or off",
        "env": ENVIRONMENT,
        "stack": STACK,
        "allow": "an address or network that passes, such as 192.0.2.0/24; may be repeated",
    },
)
def maintenance(c: Context, state: str, env: str, allow: list[str], stack: str | None = None) -> None:
    """Answer 503 with a page and Retry-After, or end that; the health path and allowed addresses pass."""
    from wharfinger import maintaining

    maintaining.maintain(place(c, stack, env), console(), state, allow=allow, dry=c.config.run.dry)


@task(
    name="exec",
    help={"env": ENVIRONMENT, "stack": STACK, "service": "a service or data service", "server": SERVER},
)
def execute(c: Context, env: str, service: str, stack: str | None = None, server: str = "") -> None:
    """Run what follows `--` in a container of the service; its exit code is this task's."""
    from wharfinger import executing

    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    code = executing.run_inside(
        place(c, stack, env), service, words_after_dashes(c), interactive=interactive, on=server
    )
    if code:
        raise Exit(code=code)


@task(
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "watch": "rebuild services in place as their source changes, until Ctrl-C",
    }
)
def up(c: Context, env: str = "local", stack: str | None = None, watch: bool = False) -> None:
    """Run a developer's own stack on this machine: build, migrate, seed once, print the URL."""
    from wharfinger import developing

    developing.up(place(c, stack, env), console(), watch=watch)
