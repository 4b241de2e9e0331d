"""What runs: status, releases and logs of one environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from wharfinger.commands import compose
from wharfinger.connecting import Server, connect, of_each
from wharfinger.console import Console
from wharfinger.edge_certificates import Served, served
from wharfinger.engine import Container
from wharfinger.errors import NotReady, UsageError
from wharfinger.facts import Observed, observe
from wharfinger.project import Place
from wharfinger.showing import table

_Looked = dict[str, tuple[Observed, tuple[Served, ...]]]
"""What was seen on each server, and the certificates that serve there."""


def status(place: Place, console: Console, *, as_json: bool) -> None:
    """Show the current release, its address, and every container with state, health, image and since when.

    Raises NotReady for a server that cannot be reached, once the others were shown.
    """
    looked, away = of_each(place, _look)
    if looked:
        facts = _facts(place, looked, away)
        if as_json:
            console.json(facts)
        else:
            _tell(facts, looked, place, console)
    for error in away.values():
        raise error


def _facts(place: Place, looked: _Looked, away: Mapping[str, NotReady]) -> dict[str, Any]:
    first, _ = next(iter(looked.values()))
    release = first.current if not away and len({seen.current for seen, _ in looked.values()}) == 1 else None
    unfinished = {server: _unfinished(seen) for server, (seen, _) in looked.items()}
    return {
        "stack": place.stack.name,
        "environment": place.environment_name,
        "release": release,
        "url": place.environment.url if release else None,
        "servers": [
            {
                "server": server,
                "release": looked[server][0].current if server in looked else None,
                "problem": away[server].problem if server in away else None,
            }
            for server in place.environment.servers
        ],
        "scale": dict(first.scale),
        "maintenance": {"allow": list(first.maintenance.allow)} if first.maintenance else None,
        "certificates": [
            {"server": server, **one.facts(seen.clock)} for server, (seen, held) in looked.items() for one in held
        ],
        "services": [{"server": server, **facts} for server, (seen, _) in looked.items() for facts in _services(seen)],
        "unfinished": [_named(place, server, line) for server, of_one in unfinished.items() for line in of_one],
    }


def _tell(facts: dict[str, Any], looked: _Looked, place: Place, console: Console) -> None:
    for one in facts["servers"]:
        where = f"{place.target.name} on {one['server']}" if len(facts["servers"]) > 1 else place.target.name
        serves = f"release {one['release']} at {place.environment.url}" if one["release"] else "nothing deployed"
        console.data(f"{where}: {'does not answer' if one['problem'] else serves}")
    for line in (*facts["unfinished"], *(one["warning"] for one in facts["certificates"] if one["warning"])):
        console.warn(line)
    if facts["scale"]:
        console.data("scaled: " + " ".join(f"{name}={count}" for name, count in facts["scale"].items()))
    for server, (seen, _) in looked.items():
        if seen.maintenance:
            passing = f"; {', '.join(seen.maintenance.allow)} may pass" if seen.maintenance.allow else ""
            console.data(_named(place, server, f"under maintenance{passing}"))
    rows = {server: [[*map(str, one.values())] for one in _services(seen)] for server, (seen, _) in looked.items()}
    table(console, place, ("service", "state", "health", "image", "since"), rows)


def _named(place: Place, server: str, line: str) -> str:
    return f"{server}: {line}" if len(place.environment.servers) > 1 else line


def _look(server: Server) -> tuple[Observed, tuple[Served, ...]]:
    return _observed(server), tuple(served(server.host, server.layout))


def _services(observed: Observed) -> list[dict[str, Any]]:
    current = observed.tiers.get(observed.current or "", ())
    return [_facts_of(container) for container in (*current, *observed.data, *observed.edge)]


def releases(place: Place, console: Console, *, as_json: bool) -> None:
    """List the releases on every server, the newest first, with who made them and which one serves.

    Raises NotReady for a server that cannot be reached, once those of the others were shown.
    """
    looked, away = of_each(place, _observed)
    found = {server: _releases(seen) for server, seen in looked.items()}
    if found:
        _show_releases(found, place, console, as_json=as_json)
    for error in away.values():
        raise error


def _show_releases(found: Mapping[str, list[dict[str, Any]]], place: Place, console: Console, *, as_json: bool) -> None:
    if as_json:
        console.json([{"server": server, **release} for server, of_one in found.items() for release in of_one])
        return
    rows = {
        server: [
            (
                release["release"],
                "serves" if release["current"] else "",
                "yes" if release["succeeded"] else "no",
                release["by"],
                release["revision"][:12],
            )
            for release in of_one
        ]
        for server, of_one in found.items()
    }
    table(console, place, ("release", "", "succeeded", "by", "revision"), rows)


def _releases(observed: Observed) -> list[dict[str, Any]]:
    return [
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


def logs(place: Place, services: tuple[str, ...], *, lines: int, follow: bool, on: str = "") -> int:
    """Show the logs of services and data services on stdout; return the exit status of what showed them.

    Of several servers those of the first, or of the one that `on` names.
    """
    unknown = [name for name in services if name not in {*place.stack.services, *place.stack.data}]
    if unknown:
        raise UsageError(
            f"{place.stack.name} has no service {', '.join(unknown)}",
            fix=f"there is: {', '.join([*place.stack.services, *place.stack.data])}",
        )
    target = place.target
    with connect(place.named(on)) as server:
        observed = _observed(server)
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


def _observed(server: Server) -> Observed:
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
