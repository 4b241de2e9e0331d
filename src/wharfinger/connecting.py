"""Reaching the server of an environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wharfinger.commands import ssh as commands
from wharfinger.commands.ssh import Way
from wharfinger.edge import Edge
from wharfinger.edges import AnyEdge
from wharfinger.engine import Engine
from wharfinger.host_edge import HostEdge
from wharfinger.hosts import Host
from wharfinger.hosts.local import LocalHost
from wharfinger.hosts.ssh import SshHost, way_to
from wharfinger.model.release import Layout
from wharfinger.model.sandbox import Sandbox
from wharfinger.model.stack import Environment, Stack
from wharfinger.project import Place
from wharfinger.runtimes.compose import ComposeRuntime
from wharfinger.steps import World


@dataclass(frozen=True, slots=True)
class Server:
    """A connected server, as one environment uses it."""

    host: Host
    engine: Engine
    edge: AnyEdge
    layout: Layout
    source: Path = Path()
    """The stack's folder on this machine."""
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
            source=self.source,
        )

    def reach_again(self, *, within: float) -> None:
        """Connect anew after the connection was lost; raises ConnectionLost after so many seconds."""
        self.engine.close()
        self.host.reach_again(within=within)


@contextmanager
def connect(place: Place) -> Iterator[Server]:
    """Yield the server of an environment, connected as long as the block runs; raises NotReady where it cannot be."""
    environment, layout = place.environment, layout_of(place)
    with _host(place) as host:
        inspected = host.inspected if isinstance(host, SshHost) else None
        engine = Engine(host.docker_url, host=host.name, inspected=inspected)
        try:
            yield Server(host, engine, _edge(host, engine, layout, environment), layout, place.folder)
        finally:
            engine.close()


@contextmanager
def _host(place: Place) -> Iterator[Host]:
    if place.environment.is_local:
        yield LocalHost()
        return
    host = SshHost(way_of(place))
    try:
        yield host
    finally:
        host.close()


def way_of(place: Place, *, login: str = "") -> Way:
    """Return how an environment's server is reached: a server of the project's sandbox needs no settings.

    `login` is another user to log in as.
    """
    server = place.environment.server
    known = str(Sandbox(place.project).ssh_config) if place.is_in_sandbox else None
    destination = commands.as_user(server, login) if login else server
    return way_to(destination, environment=place.environment_name, config=known)


def _edge(host: Host, engine: Engine, layout: Layout, environment: Environment) -> AnyEdge:
    """Return the edge of an environment: one in a container, or the server's own Nginx."""
    edge = environment.edge
    if edge.is_host:
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
