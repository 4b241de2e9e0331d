"""Tasks that only look."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit

from wharfinger.tasks.running import AS_JSON, ENVIRONMENT, SERVER, STACK, console, place, task


@task(help={"env": ENVIRONMENT, "stack": STACK, "json": AS_JSON})
def status(c: Context, env: str = "", stack: str | None = None, json: bool = False) -> None:
    """Show the release that serves, its address, and the state of every container."""
    from wharfinger import status as use_case

    use_case.status(place(c, stack, env), console(), as_json=json)


@task(help={"env": ENVIRONMENT, "stack": STACK, "json": AS_JSON})
def releases(c: Context, env: str = "", stack: str | None = None, json: bool = False) -> None:
    """List the releases on the server, the newest first."""
    from wharfinger import status as use_case

    use_case.releases(place(c, stack, env), console(), as_json=json)


@task(help={"env": ENVIRONMENT, "stack": STACK, "json": AS_JSON})
def health(c: Context, env: str, stack: str | None = None, json: bool = False) -> None:
    """Ask every container, the edge and the public address; exit 0 where all are well, else 1."""
    from wharfinger import examining

    if not examining.examine(place(c, stack, env), console(), as_json=json):
        raise Exit(code=1)


@task(
    iterable=["service"],
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "service": "a service or data service; may be repeated (default: all services)",
        "lines": "how many of the last lines",
        "follow": "go on as lines come",
        "server": SERVER,
    },
)
def logs(
    c: Context,
    service: list[str],
    env: str = "",
    stack: str | None = None,
    lines: int = 100,
    follow: bool = False,
    server: str = "",
) -> None:
    """Show the logs of the current release, or of data services."""
    from wharfinger import status as use_case

    code = use_case.logs(place(c, stack, env), tuple(service), lines=lines, follow=follow, on=server)
    if code:
        raise Exit(code=code)


@task(help={"json": AS_JSON})
def ports(c: Context, json: bool = False) -> None:
    """Show which ports all stacks use on their servers; exit 3 where two would meet or a route leads nowhere."""
    from wharfinger import ports as use_case
    from wharfinger.project import find_project

    use_case.show(find_project(Path.cwd()), console(), as_json=json)


@task(help={"env": ENVIRONMENT, "stack": STACK, "json": AS_JSON})
def doctor(c: Context, env: str = "local", stack: str | None = None, json: bool = False) -> None:
    """Check everything that a deploy needs, and say what mends each failure."""
    from wharfinger import doctor as use_case

    use_case.examine(place(c, stack, env), console(), as_json=json)
