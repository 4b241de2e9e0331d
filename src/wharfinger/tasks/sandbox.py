"""Tasks for the sandbox: disposable servers on this machine."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context

from wharfinger.tasks.running import AS_JSON, console, task

_NAME = "another sandbox beside the usual one, on free ports"


@task(help={"name": _NAME, "bare": "also a server with nothing installed, for trying server.setup"})
def up(c: Context, name: str = "sandbox", bare: bool = False) -> None:
    """Start two servers with their own Docker, a registry, an ACME and an S3 server on this machine."""
    from wharfinger import sandboxing
    from wharfinger.project import find_project

    sandboxing.up(find_project(Path.cwd()), console(), name=name, bare=bare, dry=c.config.run.dry)


@task(help={"name": _NAME})
def down(c: Context, name: str = "sandbox") -> None:
    """Remove the sandbox with all it holds."""
    from wharfinger import sandboxing
    from wharfinger.project import find_project

    sandboxing.down(find_project(Path.cwd()), console(), name=name, dry=c.config.run.dry)


@task(help={"name": _NAME, "json": AS_JSON})
def status(_: Context, name: str = "sandbox", json: bool = False) -> None:
    """Show what of the sandbox runs, and where."""
    from wharfinger import sandboxing
    from wharfinger.project import find_project

    sandboxing.status(find_project(Path.cwd()), console(), name=name, as_json=json)
