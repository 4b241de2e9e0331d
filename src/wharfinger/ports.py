"""Which ports a project uses on its servers, and whether any two of its environments would meet there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wharfinger import project, stackfile
from wharfinger.connecting import connect, layout_of
from wharfinger.console import Console
from wharfinger.errors import InvalidInput, NotReady, WharfingerError
from wharfinger.facts import Observed, listening
from wharfinger.planning import ports
from wharfinger.planning.ports import Clash, Locate, Named, Use
from wharfinger.project import Place

_LISTENING = {True: "yes", False: "no", None: "not known"}


@dataclass(frozen=True, slots=True)
class _Declared:
    """What a project declares: its environments, each with what finds its keys in their file."""

    places: tuple[tuple[Place, Locate], ...]

    def uses(self) -> tuple[Use, ...]:
        """Return every port that is declared."""
        stacks = {place.stack.name: (place.stack, locate) for place, locate in self.places}
        found = (use for stack, locate in stacks.values() for use in ports.uses(stack, locate))
        return tuple(sorted(found, key=lambda use: (use.server, use.port, use.environment, use.what)))

    def clashes(self) -> Iterator[Clash]:
        """Yield whatever two environments would both use."""
        yield from ports.clashes(self.uses())
        yield from ports.shared_names([_named(place, locate) for place, locate in self.places])


def show(folder: Path, console: Console, *, as_json: bool) -> None:
    """Print the port table of every server: who declares which port, and whether anything listens there now.

    Raises InvalidInput, once the table has been printed, where two environments would meet or a route leads nowhere.
    """
    declared = _Declared(tuple(_places(folder)))
    found = declared.uses()
    seen = {server: _listening_on(server, declared) for server in dict.fromkeys(use.server for use in found)}
    rows = [(use, _is_seen(use, seen[use.server])) for use in found]
    if as_json:
        console.json([_as_json(use, is_seen) for use, is_seen in rows])
    else:
        table = [
            (use.server, str(use.port), use.bind, use.what, use.environment, _LISTENING[is_seen])
            for use, is_seen in rows
        ]
        console.table(("server", "port", "address", "what", "environment", "listening"), table)
    problems = [clash.problem for clash in declared.clashes()]
    for server, taken in seen.items():
        if taken is not None:
            problems += ports.unserved((use for use in found if use.server == server), taken)
    if problems:
        raise _clash(problems)


def refuse_clashes(place: Place) -> None:
    """Raise InvalidInput where an environment would meet another one of the project on its server.

    Stacks whose files have problems are left out: nothing of them can be deployed as it stands.
    """
    declared = _Declared(tuple(_places(place.project, around=place)))
    problems = [clash.problem for clash in declared.clashes() if place.target.name in clash.between]
    if problems:
        raise _clash(problems)


def refuse_foreign(place: Place, observed: Observed) -> None:
    """Raise NotReady where a port that is to be published is somebody else's, or where a route leads to nobody."""
    server = place.environment.server
    ours = {port for tier in (*observed.tiers.values(), observed.data) for each in tier for port in each.ports}
    for service, pair in place.environment.ports.items():
        for port in pair:
            if port in observed.ports_taken and port not in ours:
                raise NotReady(
                    f"{server}: port {port} is taken, and {service} is to be published there",
                    fix=f"stop what listens there (ss -ltnp 'sport = :{port}'), or give environments."
                    f"{place.environment_name}.ports.{service} another",
                )
    if not place.environment.edge.routes:
        return
    declared = _Declared(tuple(_places(place.project, around=place))).uses()
    relevant = (use for use in declared if use.listens or use.environment == place.target.name)
    lost = ports.unserved(relevant, observed.ports_taken)
    if lost:
        raise NotReady("a route leads nowhere", details=lost, fix="start what is to answer there, or remove the route")


def _clash(problems: list[str]) -> InvalidInput:
    return InvalidInput(
        f"ports and names: {len(problems)} problem{'s'[: len(problems) != 1]}",
        details=problems,
        fix="give one of the two another port or name in its stack.yaml; `invoke ports` shows all",
    )


def _places(folder: Path, *, around: Place | None = None) -> Iterator[tuple[Place, Locate]]:
    """Yield every environment of a project; `around` is one that is known, whatever the file of its stack says."""
    for path in project.stack_files(folder).values():
        try:
            stack = around.stack if around and around.folder == path.parent else stackfile.load(path, project=folder)
            locate = stackfile.locator(path, project=folder)
        except InvalidInput:
            if around is None:
                raise
            continue
        yield from ((Place(folder, path.parent, stack, name), locate) for name in stack.environments)


def _named(place: Place, locate: Locate) -> Named:
    names = ports.names(place.stack, layout_of(place))
    where = locate(("environments", place.environment_name))
    return Named(place.target.name, place.environment.machines, where, names)


def _listening_on(server: str, declared: _Declared) -> frozenset[int] | None:
    """Return the ports on which something listens on a server; None where it cannot be asked."""
    for place, _ in declared.places:
        if server in place.environment.machines:
            try:
                with connect(place.named(server)) as reached:
                    return listening(reached.host)
            except WharfingerError:
                continue
    return None


def _is_seen(use: Use, seen: frozenset[int] | None) -> bool | None:
    return None if seen is None else use.port in seen


def _as_json(use: Use, is_seen: bool | None) -> dict[str, object]:
    return {
        "server": use.server,
        "port": use.port,
        "address": use.bind,
        "what": use.what,
        "environment": use.environment,
        "place": use.place,
        "listening": is_seen,
    }
