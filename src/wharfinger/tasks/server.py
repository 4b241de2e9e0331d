"""Tasks on the server of an environment."""

from __future__ import annotations

from invoke.context import Context

from wharfinger.tasks.running import ENVIRONMENT, STACK, console, place, task


@task(
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "replace": "take a key in the place of another that is known",
        "yes": "do not ask: the fingerprint was compared already",
    }
)
def trust(c: Context, env: str, stack: str | None = None, replace: bool = False, yes: bool = False) -> None:
    """Show the key that the server offers, and accept it: into your own known_hosts, as ssh does."""
    from wharfinger import trusting

    trusting.trust(place(c, stack, env), console(), replace=replace, assume_yes=yes, dry=c.config.run.dry)


@task(
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "login": "who may become root there, where that is not the user who deploys, such as root",
        "plan": "show what would be done, and do nothing",
        "yes": "do not ask",
    }
)
def setup(
    c: Context, env: str, stack: str | None = None, login: str = "", plan: bool = False, yes: bool = False
) -> None:
    """Install Docker and what else a server lacks, let its user deploy, and start the edge; safe to repeat."""
    from wharfinger import setting_up
    from wharfinger.carrying_out import Consent

    consent = Consent(plan_only=plan or c.config.run.dry, assume_yes=yes)
    setting_up.set_up(place(c, stack, env), console(), login=login, consent=consent)
