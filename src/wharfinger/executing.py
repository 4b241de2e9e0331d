"""Running a command inside what serves."""

from __future__ import annotations

from collections.abc import Sequence

from wharfinger.commands.containers import execute
from wharfinger.connecting import connect
from wharfinger.errors import UsageError, WharfingerError
from wharfinger.facts import observe
from wharfinger.project import Place


def run_inside(place: Place, service: str, command: Sequence[str], *, interactive: bool, on: str = "") -> int:
    """Run a command in a running container of a service or data service, on the user's terminal; return its status.

    Of several servers that is on the first, or on the one that `on` names. Raises UsageError for a service that there
    is not, and without a command; WharfingerError where none runs.
    """
    names = (*place.stack.services, *place.stack.data)
    if service not in names:
        raise UsageError(f"{place.stack.name} has no service {service}", fix=f"there is: {', '.join(names)}")
    if not command:
        fix = f"invoke exec --env {place.environment_name} --service {service} -- COMMAND"
        raise UsageError("which command?", fix=fix)
    with connect(place.named(on)) as server:
        observed = observe(server.host, server.engine, server.edge, server.layout, ())
        tier = observed.tiers.get(observed.current or "", ()) if service in place.stack.services else observed.data
        running = [each for each in tier if each.service == service and each.state == "running"]
        if not running:
            raise WharfingerError(
                f"{place.target.name}: no container of {service} runs",
                fix=f"invoke status --env {place.environment_name}",
            )
        chosen = next((each for each in running if each.is_ready), running[0])
        return server.host.attach(execute(chosen.name, command, interactive=interactive))
