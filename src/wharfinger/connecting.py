"""Reaching the server of an environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from wharfinger.commands import ssh as commands
from wharfinger.commands.ssh import Way
from wharfinger.edge import Edge
from wharfinger.edges import AnyEdge
from wharfinger.engine import Afar, Engine
from wharfinger.errors import NotReady
from wharfinger.hosts import Host
from wharfinger.hosts.local import LocalHost
from wharfinger.model.environment import Environment
from wharfinger.model.release import Layout
from wharfinger.model.sandbox import Sandbox
from wharfinger.model.stack import Stack
from wharfinger.project import Place
from wharfinger.runtimes.compose import ComposeRuntime
from wharfinger.steps import World

_RESOLVE_WITHIN: Final = 60.0
_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Server:
    """A connected server, as one environment uses it."""

    host: Host
    engine: Engine
    edge: AnyEdge
    layout: Layout
    place: Place
    """The environment with this server alone."""
    here: Host = field(default_factory=LocalHost)
    """This machine."""

    def world(self, stack: Stack) -> World:
        """Return what the steps of a plan act on."""
        environment = stack.environments.get(self.layout.target.environment)
        ports = (
            {name: pair for name, pair in environment.ports.items() if name in stack.services} if environment else {}
        )
        runtime = ComposeRuntime(self.host, self.engine, self.layout, ports)
        return World(
            stack=stack,
            host=self.host,
            runtime=runtime,
            edge=self.edge,
            layout=self.layout,
            here=self.here,
            source=self.place.folder,
        )

    def reach_again(self, *, within: float) -> None:
        """Connect anew after the connection was lost; raises ConnectionLost after so many seconds."""
        self.engine.close()
        self.host.reach_again(within=within)


@contextmanager
def connect(place: Place) -> Iterator[Server]:
    """Yield the server of an environment, connected as long as the block runs; raises NotReady where it cannot be.

    Of several servers that is the first.
    """
    place = place.named("")
    environment, layout = place.environment, layout_of(place)
    with _host(place) as (host, there):
        engine = Engine(host.docker_url, host=host.name, there=there)
        try:
            yield Server(host, engine, _edge(host, engine, layout, environment), layout, place)
        finally:
            engine.close()


@contextmanager
def connect_all(place: Place) -> Iterator[tuple[Server, ...]]:
    """Yield all servers of an environment, in the stack file's order; what is first asked of one may raise NotReady."""
    with ExitStack() as connected:

        def enter(server: str) -> Server:
            return connected.enter_context(reach(place, server))

        yield at_once(enter, place.environment.servers)


@contextmanager
def reach(place: Place, server: str) -> Iterator[Server]:
    """Yield one of an environment's servers; what is asked of it first may raise NotReady."""
    if len(place.environment.servers) == 1:
        with connect(place) as reached:
            yield reached
        return
    with connect(_found(place.on(server))) as reached:
        yield reached


def at_once(ask: Callable[[_Item], _Answer], items: Sequence[_Item]) -> tuple[_Answer, ...]:
    """Ask all at the same time; return the answers in order once all are there, or raise the first error."""
    if len(items) == 1:
        return (ask(items[0]),)
    with ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
        return tuple(pool.map(ask, items))


def of_each(place: Place, ask: Callable[[Server], _Answer]) -> tuple[dict[str, _Answer], dict[str, NotReady]]:
    """Ask all servers of an environment at the same time; return the answers, and why others gave none, by server."""

    def tried(server: Server) -> _Answer | NotReady:
        try:
            return ask(server)
        except NotReady as error:
            return error

    with connect_all(place) as servers:
        answers = dict(zip(place.environment.servers, at_once(tried, servers), strict=True))
    away = {server: answer for server, answer in answers.items() if isinstance(answer, NotReady)}
    return {server: answer for server, answer in answers.items() if not isinstance(answer, NotReady)}, away


def _found(place: Place) -> Place:
    """Say where the checks find one of several servers: a domain leads to any of them, and each is to be asked."""
    if place.environment.address is not None:
        return place
    return place.at(resolved(way_of(place), "hostname"))


def resolved(way: Way, name: str) -> str:
    """Return what ssh_config makes of a setting."""
    said = LocalHost().run(commands.resolve(way), timeout=_RESOLVE_WITHIN, env=agent()).stdout.splitlines()
    return next((line.partition(" ")[2] for line in said if line.startswith(f"{name} ")), "")


def agent() -> dict[str, str]:
    """Return what leads plain `ssh` to the user's agent."""
    return {name: os.environ[name] for name in ("SSH_AUTH_SOCK",) if name in os.environ}


@contextmanager
def _host(place: Place) -> Iterator[tuple[Host, Afar | None]]:
    """Yield a server, and what asks its engine there where that is not this machine's."""
    if place.environment.is_local:
        yield LocalHost(), None
        return
    from wharfinger.hosts.ssh import SshHost

    host = SshHost(way_of(place))
    try:
        yield host, host
    finally:
        host.close()


def way_of(place: Place, *, login: str = "") -> Way:
    """Return how an environment's server is reached: a server of the project's sandbox needs no settings.

    `login` is another user to log in as.
    """
    from wharfinger.hosts.ssh import way_to

    server = place.environment.server
    known = str(Sandbox(place.project).ssh_config) if place.is_in_sandbox else None
    destination = commands.as_user(server, login) if login else server
    return way_to(destination, environment=place.environment_name, config=known)


def _edge(host: Host, engine: Engine, layout: Layout, environment: Environment) -> AnyEdge:
    """Return the edge of an environment: one in a container, or the server's own Nginx."""
    edge = environment.edge
    if edge.is_host:
        from wharfinger.host_edge import HostEdge

        return HostEdge(host, engine, layout, edge.command, environment.http_port, environment.ports, edge.bind)
    return Edge(host, engine, layout, edge.project)


def layout_of(place: Place) -> Layout:
    """Return where an environment's files lie on its server.

    That is under `root` of the stack file, else under $WHARFINGER_ROOT, else under /srv/wharfinger on a server and
    under the user's data folder (XDG Base Directory Specification) on this machine.
    """
    data_home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    default = f"{data_home}/wharfinger" if place.environment.is_local else "/srv/wharfinger"
    return place.layout(os.environ.get("WHARFINGER_ROOT") or default)
