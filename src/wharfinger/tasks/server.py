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
