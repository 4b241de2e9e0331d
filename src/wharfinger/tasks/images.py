"""Tasks for the stock images that stacks stand on."""

from __future__ import annotations

from invoke.context import Context

from wharfinger.tasks.running import AS_JSON, console, task


@task(
    help={
        "source": "auto, hub or debian (default: $WHARFINGER_IMAGES, else auto)",
        "rebuild": "make them all anew, for security updates",
        "trial": "also what only the sandbox and tests need, its servers apart",
    }
)
def build(c: Context, source: str = "", rebuild: bool = False, trial: bool = False) -> None:
    """Make the engine hold every stock image: from the hub, or built from Debian packages where none answers."""
    from wharfinger import making

    making.stock(console(), source=source, rebuild=rebuild, trial=trial, dry=c.config.run.dry)


@task(help={"json": AS_JSON})
def status(_: Context, json: bool = False) -> None:
    """List the stock images and where the engine's come from."""
    from wharfinger import making

    making.list_stock(console(), as_json=json)
