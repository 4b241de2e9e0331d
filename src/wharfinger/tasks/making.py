"""Tasks that make files and images on this machine."""

from __future__ import annotations

from invoke.context import Context

from wharfinger.tasks.running import ENVIRONMENT, STACK, console, place, task


@task(
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "check": "write nothing; exit 1 when the files in build/ differ",
        "diff": "write nothing; show how the files in build/ differ",
    }
)
def render(c: Context, env: str, stack: str | None = None, check: bool = False, diff: bool = False) -> None:
    """Write the Compose files and the Nginx site to build/STACK/ENV/."""
    from wharfinger import making

    making.render(place(c, stack, env), console(), check=check, diff=diff)


@task(help={"env": ENVIRONMENT, "stack": STACK, "no-cache": "build every image anew"})
def build(c: Context, env: str = "local", stack: str | None = None, no_cache: bool = False) -> None:
    """Build the images of a stack whose content has changed."""
    from wharfinger import making

    making.build(place(c, stack, env), console(), no_cache=no_cache, dry=c.config.run.dry)


@task(help={"env": ENVIRONMENT, "stack": STACK})
def push(c: Context, env: str = "local", stack: str | None = None) -> None:
    """Build what has changed, and push what the registry lacks; prints every image by digest."""
    from wharfinger import making

    making.push(place(c, stack, env), console(), dry=c.config.run.dry)


@task()
def schema(c: Context) -> None:
    """Print the JSON Schema of stack.yaml, for editors."""
    from wharfinger import stackfile

    console().json(stackfile.json_schema())
