"""Tasks that change what serves."""

from __future__ import annotations

from invoke.context import Context

from wharfinger.tasks.running import ENVIRONMENT, STACK, console, place, task

_PLAN = "show the plan and stop"
_YES = "do not ask"


@task(
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "plan": _PLAN,
        "yes": _YES,
        "from-environ": "take the values from this process's environment, as CI secrets give them",
        "no-cache": "build every image anew",
    }
)
def deploy(
    c: Context,
    env: str = "",
    stack: str | None = None,
    plan: bool = False,
    yes: bool = False,
    from_environ: bool = False,
    no_cache: bool = False,
) -> None:
    """Build, push, back up, migrate, start beside the old release, verify and switch to the new one."""
    from wharfinger import deploying
    from wharfinger.carrying_out import Consent

    consent = Consent(plan_only=plan or c.config.run.dry, assume_yes=yes)
    deploying.deploy(place(c, stack, env), console(), consent=consent, from_environ=from_environ, no_cache=no_cache)


@task(
    help={
        "from": "the environment whose release is taken over, such as staging",
        "to": "the environment that gets it, such as production",
        "release": "refuse if another release than this one serves there",
        "stack": STACK,
        "plan": _PLAN,
        "yes": _YES,
        "from-environ": "take the values from this process's environment, as CI secrets give them",
    }
)
def promote(
    c: Context,
    from_: str,
    to: str,
    release: str | None = None,
    stack: str | None = None,
    plan: bool = False,
    yes: bool = False,
    from_environ: bool = False,
) -> None:
    """Bring exactly the images that one environment verified to another; shows what changes, builds nothing."""
    from wharfinger import promoting
    from wharfinger.carrying_out import Consent

    consent = Consent(plan_only=plan or c.config.run.dry, assume_yes=yes)
    source, target = place(c, stack, from_), place(c, stack, to)
    promoting.promote(source, target, console(), release=release, consent=consent, from_environ=from_environ)


@task(
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "to": "a release of `invoke releases`",
        "plan": _PLAN,
        "yes": _YES,
    }
)
def rollback(
    c: Context,
    env: str = "",
    stack: str | None = None,
    to: str | None = None,
    plan: bool = False,
    yes: bool = False,
) -> None:
    """Bring back the last successful release, or the one named: images, files and values together."""
    from wharfinger import rolling_back
    from wharfinger.carrying_out import Consent

    consent = Consent(plan_only=plan or c.config.run.dry, assume_yes=yes)
    rolling_back.roll_back(place(c, stack, env), console(), to=to, consent=consent)


@task(help={"env": ENVIRONMENT, "stack": STACK, "plan": _PLAN, "yes": _YES})
def recover(c: Context, env: str, stack: str | None = None, plan: bool = False, yes: bool = False) -> None:
    """Finish or revert what a killed run left behind; deploy and rollback do so first by themselves."""
    from wharfinger import recovering
    from wharfinger.carrying_out import Consent

    consent = Consent(plan_only=plan or c.config.run.dry, assume_yes=yes)
    recovering.recover(place(c, stack, env), console(), consent=consent)


@task(
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "volumes": "remove the data too; asks, and names it",
        "yes": _YES,
    }
)
def down(c: Context, env: str = "", stack: str | None = None, volumes: bool = False, yes: bool = False) -> None:
    """Stop everything of an environment; data, uploads and backups stay."""
    from wharfinger import taking_down

    taking_down.take_down(place(c, stack, env), console(), volumes=volumes, assume_yes=yes, dry=c.config.run.dry)
