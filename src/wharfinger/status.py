"""What runs: status, releases and logs of one environment."""

from __future__ import annotations

import sys
from typing import Any

from wharfinger.commands import compose
from wharfinger.connecting import connect
from wharfinger.console import Console
from wharfinger.edge_certificates import served
from wharfinger.engine import Container
from wharfinger.errors import UsageError
from wharfinger.facts import Observed, observe
from wharfinger.project import Place


def status(place: Place, console: Console, *, as_json: bool) -> None:
    """Show the current release, its address, and every container with state, health, image and since when."""
    with connect(place) as server:
        observed = observe(server.host, server.engine, server.edge, server.layout, ())
        held = served(server.host, server.layout)
    current = observed.tiers.get(observed.current or "", ())
    services = [_facts_of(container) for container in (*current, *observed.data, *observed.edge)]
    facts: dict[str, Any] = {
        "stack": place.stack.name,
        "environment": place.environment_name,
        "release": observed.current,
        "url": place.environment.url if observed.current else None,
        "scale": dict(observed.scale),
        "maintenance": {"allow": list(observed.maintenance.allow)} if observed.maintenance else None,
        "certificates": [one.facts(observed.clock) for one in held],
        "services": services,
        "unfinished": _unfinished(observed),
    }
    if as_json:
        console.json(facts)
        return
    console.data(
        f"{place.target.name}: "
        + (f"release {observed.current} at {facts['url']}" if observed.current else "nothing deployed")
    )
    for line in (*facts["unfinished"], *(one["warning"] for one in facts["certificates"] if one["warning"])):
        console.warn(line)
    if observed.scale:
        console.data("scaled: " + " ".join(f"{name}={count}" for name, count in observed.scale.items()))
    if observed.maintenance:
        passing = ", ".join(observed.maintenance.allow)
        console.data("under maintenance" + (f"; {passing} may pass" if passing else ""))
    rows = [[str(value) for value in service.values()] for service in services]
    if rows:
        console.table(("service", "state", "health", "image", "since"), rows)


def releases(place: Place, console: Console, *, as_json: bool) -> None:
    """List the releases on the server, the newest first, with who made them and which one serves."""
    observed = _observed(place)
    found: list[dict[str, Any]] = [
        {
            "release": release.id,
            "current": release.id == observed.current,
            "succeeded": release.succeeded is not None,
            "by": release.by,
            "revision": release.revision,
            "images": release.images,
        }
        for release in reversed(observed.releases)
    ]
    if as_json:
        console.json(found)
        return
    rows = [
        (
            release["release"],
            "serves" if release["current"] else "",
            "yes" if release["succeeded"] else "no",
            release["by"],
            release["revision"][:12],
        )
        for release in found
    ]
    console.table(("release", "", "succeeded", "by", "revision"), rows)


def logs(place: Place, services: tuple[str, ...], *, lines: int, follow: bool) -> int:
    """Show the logs of services and data services on stdout; return the exit status of what showed them."""
    unknown = [name for name in services if name not in {*place.stack.services, *place.stack.data}]
    if unknown:
        raise UsageError(
            f"{place.stack.name} has no service {', '.join(unknown)}",
            fix=f"there is: {', '.join([*place.stack.services, *place.stack.data])}",
        )
    target = place.target
    with connect(place) as server:
        observed = observe(server.host, server.engine, server.edge, server.layout, ())
        if observed.current is None:
            fix = f"invoke deploy --env {place.environment_name}"
            raise UsageError(f"nothing is deployed in {place.environment_name}", fix=fix)
        of_data = tuple(name for name in services if name in place.stack.data)
        of_app = tuple(name for name in services if name in place.stack.services)
        shown = [(target.name, of_data)] if of_data else []
        if of_app or not services:
            shown.append((target.app_project(observed.current), of_app))
        if follow and len(shown) > 1:
            raise UsageError("services and data services cannot be followed together", fix="follow one of them")
        commands = [compose.logs(project, services=names, lines=lines, follow=follow) for project, names in shown]
        # Compose 2.26 begins each line by erasing it, even where it writes into a file.
        without = b"" if sys.stdout.isatty() else b"\x1b[2K"
        return max(server.host.attach(argv, without=without) for argv in commands)


def _observed(place: Place) -> Observed:
    with connect(place) as server:
        return observe(server.host, server.engine, server.edge, server.layout, ())


def _unfinished(observed: Observed) -> list[str]:
    """Return what goes on, or was cut off and waits for `invoke recover`."""
    if observed.deploying is not None:
        return [str(observed.deploying)]
    return [f"{run}; invoke recover puts it right" for run in observed.cut_off]


def _facts_of(container: Container) -> dict[str, Any]:
    return {
        "name": container.service,
        "state": container.state,
        "health": container.health,
        "image": container.image,
        "since": container.since,
    }
