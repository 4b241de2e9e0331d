"""Tasks that write what a CI service runs."""

from __future__ import annotations

from invoke.context import Context

from wharfinger.tasks.running import STACK, console, place, task


@task(
    help={
        "stack": STACK,
        "from": "the environment that every push to the branch goes to (default: staging)",
        "to": "the environment that follows once somebody approves (default: production)",
        "branch": "the branch that is deployed",
        "check": "write nothing; exit 1 when the workflow differs",
    }
)
def github(
    c: Context,
    stack: str | None = None,
    from_: str = "staging",
    to: str = "production",
    branch: str = "main",
    check: bool = False,
) -> None:
    """Write .github/workflows/deploy.yaml: test, build, deploy to staging, promote to production with an approval."""
    from wharfinger import ci

    source, target = place(c, stack, from_), place(c, stack, to)
    ci.github(source, target, console(), branch=branch, check=check, dry=c.config.run.dry)
