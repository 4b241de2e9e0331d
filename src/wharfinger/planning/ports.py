"""The port table of a server, from what all stacks declare there; and where two environments would meet."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from wharfinger.model.environment import Environment
from wharfinger.model.release import SLOTS, Layout, Target
from wharfinger.model.stack import Stack
from wharfinger.rendering.services import data_name

LOOPBACK: Final = "127.0.0.1"
_EDGE: Final = "the edge"
_LOCAL_NAMES: Final = (LOOPBACK, "localhost")
Locate = Callable[[tuple[int | str, ...]], str]


@dataclass(frozen=True, slots=True)
class Use:
    """One port of a server, and who declares it."""

    server: str
    port: int
    bind: str
    """The address that it is bound to."""
    what: str
    """`edge http`, `backend (blue)`, `postgres`, or `route to odoo.example.com`, which uses it and does not listen."""
    owner: str
    """What listens there: the same for two environments that share an edge."""
    environment: str
    """STACK-ENVIRONMENT."""
    place: str
    """Where it is declared, as `path:line:col`."""
    listens: bool = True
    is_ours: bool = True
    """Whether Wharfinger makes it listen; the host's own Nginx listens where it likes."""


def uses(stack: Stack, locate: Locate) -> Iterator[Use]:
    """Yield every port that a stack declares, on all of its servers."""
    for name, environment in stack.environments.items():
        for server in environment.machines:
            yield from _of_environment(stack, name, server, locate)


def _of_environment(stack: Stack, name: str, server: str, locate: Locate) -> Iterator[Use]:
    target, environment = Target(stack.name, name).name, stack.environments[name]
    keys: tuple[int | str, ...] = ("environments", name)
    if stack.site is not None:
        yield from _of_edge(environment, server, target, locate((*keys, "edge")))
    for service, ports in environment.ports.items():
        place = locate((*keys, "ports", service))
        for slot, port in zip(SLOTS, ports, strict=False):
            what = service if len(ports) == 1 else f"{service} ({slot})"
            yield Use(server, port, LOOPBACK, what, f"{target} {what}", target, place)
    for index, route in enumerate(environment.edge.routes):
        host, _, port_text = route.to.rpartition(":")
        if host in _LOCAL_NAMES:
            place = locate((*keys, "edge", "routes", index, "to"))
            what = f"route to {route.domain}"
            yield Use(server, int(port_text), LOOPBACK, what, f"{target} {what}", target, place, listens=False)


def _of_edge(environment: Environment, server: str, target: str, place: str) -> Iterator[Use]:
    """Yield the ports of an edge; the host's own Nginx is one for all, whatever it is called."""
    edge = environment.edge
    owner = "the host's Nginx" if edge.is_host else f"edge {edge.project}"
    bind = edge.bind or ("0.0.0.0" if edge.is_host else environment.bind)  # noqa: S104 - a web server
    named = {"edge http": environment.http_port}
    if not edge.is_host or environment.tls is not None:
        named["edge https"] = environment.https_port
    for what, port in named.items():
        of = f"{owner}, {what.partition(' ')[2]}"
        yield Use(server, port, bind, what, of, target, place, is_ours=not edge.is_host)


@dataclass(frozen=True, slots=True)
class Clash:
    """What two environments would both use, with both places."""

    between: tuple[str, str]
    problem: str


def clashes(found: Iterable[Use]) -> Iterator[Clash]:
    """Yield every port on which two would listen, and every edge that two want on different ones."""
    listening = sorted((use for use in found if use.listens), key=lambda use: (use.server, use.environment, use.port))
    for first, second in itertools.combinations(listening, 2):
        if first.server != second.server:
            continue
        between = (first.environment, second.environment)
        same = first.port == second.port and _overlap(first.bind, second.bind)
        if first.owner != second.owner and same:
            yield Clash(
                between,
                f"{second.place}: port {second.port} of {second.server} is {_told(second)} here, "
                f"and {_told(first)} in {first.place}",
            )
        elif first.owner == second.owner and second.is_ours and (first.port, first.bind) != (second.port, second.bind):
            yield Clash(
                between,
                f"{second.place}: {second.owner} of {second.server} listens on {second.bind}:{second.port} here, "
                f"and on {first.bind}:{first.port} in {first.place}",
            )


def _told(use: Use) -> str:
    return f"{use.what} of {use.environment}"


def _overlap(one: str, other: str) -> bool:
    return one == other or any(ipaddress.ip_address(address).is_unspecified for address in (one, other))


def unserved(found: Iterable[Use], listening: Iterable[int]) -> tuple[str, ...]:
    """Return every route to a port on which nobody listens: neither by declaration, nor as `listening` says."""
    found = tuple(found)
    served = {(use.server, use.port) for use in found if use.listens}
    observed = set(listening)
    return tuple(
        f"{use.place}: the {use.what} leads to port {use.port} of {use.server}, where nobody listens"
        for use in found
        if not use.listens and (use.server, use.port) not in served and use.port not in observed
    )


def names(stack: Stack, layout: Layout) -> dict[tuple[str, str], str]:
    """Return every name that an environment takes on its server, by kind and name, and what takes it."""
    target, environment = layout.target, stack.environments[layout.target.environment]
    data = {data_name(target, service): f"data service {service}" for service in stack.data}
    slots = {target.alias(slot, service): f"service {service}" for slot in SLOTS for service in stack.services}
    taken = {("folder", str(layout.home)): "its folder", ("site", str(layout.site)): "its site"}
    taken |= {("project", target.name): "the data tier", ("network", target.data_network): "the data tier"}
    taken |= {("network", f"{target.name}-published"): "the data tier"}
    taken |= {("container", name): what for name, what in data.items()}
    taken |= {("volume", name): what for name, what in data.items()}
    taken |= {("name at the edge", name): what for name, what in slots.items()}
    if not environment.edge.is_host:
        taken |= dict.fromkeys((("network", environment.edge.project), ("project", environment.edge.project)), _EDGE)
    return taken


@dataclass(frozen=True, slots=True)
class Named:
    """One environment, and all that it calls its own on its server."""

    environment: str
    """STACK-ENVIRONMENT."""
    servers: tuple[str, ...]
    place: str
    """Where it is declared, as `path:line:col`."""
    names: Mapping[tuple[str, str], str]


def shared_names(environments: Iterable[Named]) -> Iterator[Clash]:
    """Yield what two environments of a server would both call their own."""
    for first, second in itertools.combinations(environments, 2):
        if set(first.servers).isdisjoint(second.servers):
            continue
        for kind, name in sorted(first.names.keys() & second.names.keys()):
            theirs, ours = first.names[kind, name], second.names[kind, name]
            if (theirs, ours) != (_EDGE, _EDGE):
                yield Clash(
                    (first.environment, second.environment),
                    f"{second.place}: the {kind} {name} is {ours} of {second.environment} here, "
                    f"and {theirs} of {first.environment} in {first.place}",
                )
