"""Tasks for the values of an environment."""

from __future__ import annotations

import os
from pathlib import Path

from invoke.context import Context

from wharfinger.tasks.running import AS_JSON, ENVIRONMENT, STACK, console, place, task


@task(
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "from-environ": "check this process's environment, as CI secrets fill it, instead of the file",
        "json": AS_JSON,
    }
)
def check(c: Context, env: str = "", stack: str | None = None, from_environ: bool = False, json: bool = False) -> None:
    """Report every value that is missing, malformed, unknown or a placeholder, and show none."""
    from wharfinger import env_files

    env_files.check(place(c, stack, env), console(), os.environ, from_environ=from_environ, as_json=json)


@task(help={"env": ENVIRONMENT, "stack": STACK})
def generate(c: Context, env: str = "", stack: str | None = None) -> None:
    """Make the secrets that an environment lacks, beginning its file where there is none."""
    from wharfinger import env_files

    env_files.generate(place(c, stack, env), console(), dry=c.config.run.dry)


@task(help={"check": "write nothing; exit 1 when env.example differs"})
def example(c: Context, check: bool = False) -> None:
    """Write env.example, which explains every variable, from the contracts of all stacks."""
    from wharfinger import env_files, project

    folder = project.find_project(Path.cwd())
    env_files.write_example(folder, console(), check=check, dry=c.config.run.dry)
