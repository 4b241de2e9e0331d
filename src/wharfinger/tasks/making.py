"""Tasks that make files and images on this machine."""

from __future__ import annotations

from invoke.context import Context

from wharfinger.tasks.running import AS_JSON, ENVIRONMENT, STACK, console, place, task


@task(
    help={
        "env": ENVIRONMENT,
        "stack": STACK,
        "check": "write nothing; exit 1 when the files in build/ differ",
        "diff": "write nothing; show how the files in build/ differ",
    }
)
def render(c: Context, env: str = "", stack: str | None = None, check: bool = False, diff: bool = False) -> None:
    """Write the Compose files and the Nginx site to build/STACK/ENV/."""
    from wharfinger import making

    making.render(place(c, stack, env), console(), check=check, diff=diff)


@task(help={"env": ENVIRONMENT, "stack": STACK, "no-cache": "build every image anew", "json": AS_JSON})
def build(c: Context, env: str = "local", stack: str | None = None, no_cache: bool = False, json: bool = False) -> None:
    """Build the images of a stack whose content has changed; print each by its content."""
    from wharfinger import making

    making.build(place(c, stack, env), console(), no_cache=no_cache, dry=c.config.run.dry, as_json=json)


@task(help={"env": ENVIRONMENT, "stack": STACK, "json": AS_JSON})
def push(c: Context, env: str = "local", stack: str | None = None, json: bool = False) -> None:
    """Push what the registry lacks, building what has changed; print every image by digest."""
    from wharfinger import making

    making.push(place(c, stack, env), console(), dry=c.config.run.dry, as_json=json)


@task()
def schema(c: Context) -> None:
    """Print the JSON Schema of stack.yaml, for editors."""
    from wharfinger import stackfile

    console().json(stackfile.json_schema())
