"""The `hooks` section of a stack file: commands of one's own around a deploy."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from wharfinger.model.values import Argv, Duration, Model, Name


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Hook(Model):
    """One command, run to its end."""

    command: Annotated[Argv, Field(min_length=1)]
    """A list of words; run in the stack's folder on the machine of whoever deploys, unless `service` is given."""
    service: Name | None = None
    """Run in a container of its own instead, as this service of the new release: its image, values and networks."""
    timeout: Duration = "1m"


HookList = Annotated[tuple[Hook, ...], BeforeValidator(_tupled)]


class Hooks(Model):
    """What is run around a deploy, each list in its order."""

    before_deploy: HookList = ()
    """Before the backup and the migration; one that fails ends the deploy, and the old release serves."""
    after_deploy: HookList = ()
    """Once the new release is the current one; one that fails is a warning."""
    on_failure: HookList = ()
    """Once a failed or interrupted deploy has been undone; whatever happens here, the failure is told."""
