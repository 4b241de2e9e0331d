"""Tasks on certificates."""

from __future__ import annotations

from invoke.context import Context

from wharfinger.tasks.running import AS_JSON, ENVIRONMENT, STACK, console, place, task


@task(help={"env": ENVIRONMENT, "stack": STACK, "json": AS_JSON})
def status(c: Context, env: str, stack: str | None = None, json: bool = False) -> None:
    """Show the certificates that serve, until when, and how their renewal goes."""
    from wharfinger import certifying

    certifying.status(place(c, stack, env), console(), as_json=json)


@task(
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "force": "also what is not due; ACME servers count how often they are asked",
    }
)
def renew(c: Context, env: str, stack: str | None = None, force: bool = False) -> None:
    """Renew certificates of ACME servers now, where they are due; they are renewed unattended as well."""
    from wharfinger import certifying

    certifying.renew(place(c, stack, env), console(), force=force, dry=c.config.run.dry)


@task(help={"env": ENVIRONMENT, "stack": STACK, "folder": "where fullchain.pem and privkey.pem lie"})
def put(c: Context, env: str, folder: str, stack: str | None = None) -> None:
    """Check a certificate of your own, put it in place and let Nginx load it."""
    from wharfinger import certifying

    certifying.put(place(c, stack, env), console(), folder, dry=c.config.run.dry)


@task(help={"yes": "run the commands without asking"})
def trust(c: Context, yes: bool = False) -> None:
    """Show the commands that make this machine trust the local CA, and run them if you agree."""
    from wharfinger import certifying

    certifying.trust(console(), assume_yes=yes, dry=c.config.run.dry)
