"""The stack file: one description of a product and of every environment that it runs in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from wharfinger.model.build import BuildSpec
from wharfinger.model.checks import Checks, LogCheck
from wharfinger.model.contract import Contract
from wharfinger.model.environment import LOCAL, Environment, EnvironmentName
from wharfinger.model.hooks import Hooks
from wharfinger.model.release import LONGEST_NAME, SLOTS, Target
from wharfinger.model.site import Site
from wharfinger.model.tls import Tls, Wish, wish
from wharfinger.model.values import Argv, Duration, Model, Name, Port, Size

Strategy = Literal["beside", "recreate"]
"""`beside`: a new container starts while the old one runs; `recreate`: it starts once the old one has stopped."""


class Healthcheck(Model):
    """How Docker finds out that a container is healthy; keys as in the Compose Specification."""

    test: Argv
    """The command, without the leading `CMD`."""
    interval: Duration = "10s"
    timeout: Duration = "3s"
    retries: Annotated[int, Field(ge=1)] = 3
    start_period: Duration = "60s"
    start_interval: Duration = "200ms"


class Mount(Model):
    """A folder of `shared/` that a service reads and writes, kept across every release."""

    source: Name
    """Its name in `volumes`."""
    target: Annotated[str, Field(pattern=r"^/")]
    read_only: bool = False


class Service(Model):
    """A stateless container of the stack; keys as in the Compose Specification."""

    image: str
    """A name in `build`, or a full image reference."""
    command: Argv = ()
    port: Port | None = None
    """Where it listens, inside its network; nothing is published on the server except by the edge."""
    scale: Annotated[int, Field(ge=1, le=64)] = 1
    healthcheck: Healthcheck | None = None
    """Absent: the image's own HEALTHCHECK counts."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Fixed, public values; whatever differs by environment or is secret belongs in the contract (`env`)."""
    mounts: Annotated[tuple[Mount, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)] = ()
    user: str | None = None
    """Absent: the image's own USER, which must not be root."""
    read_only: bool = False
    tmpfs: Argv = ()
    mem_limit: Size = "512m"
    cpus: Annotated[float, Field(gt=0)] = 1.0
    pids_limit: Annotated[int, Field(ge=1)] = 512
    stop_grace_period: Duration = "30s"
    strategy: Strategy | None = None
    """How it follows its predecessor; absent: as `deploy.strategy` says."""


class Migrate(Model):
    """The one-off command that brings the database to the release's schema, run once before the app starts."""

    image: str
    command: Argv
    check: Argv = ()
    """A command that exits 0 only where the database is at the release's schema; absent: not checked."""
    pending: Argv = ()
    """A command that prints each migration that is yet to run on a line of its own; `promote` shows them."""
    timeout: Duration = "10m"


class Seed(Model):
    """The one-off command that fills a developer's new database, run once by `up` after the first migration."""

    image: str
    command: Argv
    timeout: Duration = "10m"


class Postgres(Model):
    """A PostgreSQL server with WAL-safe settings and a named volume."""

    engine: Literal["postgres"]
    version: Literal["15", "16", "17", "18"] = "17"
    mem_limit: Size = "1g"
    cpus: Annotated[float, Field(gt=0)] = 2.0
    settings: dict[str, str] = Field(default_factory=dict)
    """Further server settings, as `postgres -c NAME=VALUE` takes them."""


class Redis(Model):
    """A Redis server: `cache` evicts and keeps nothing, `queue` refuses to evict and appends to disk."""

    engine: Literal["redis"]
    mode: Literal["cache", "queue"]
    version: Literal["7", "8"] = "8"
    port: Port = 6379
    maxmemory: Size = "128m"
    mem_limit: Size = "256m"
    cpus: Annotated[float, Field(gt=0)] = 1.0


DataService = Annotated[Postgres | Redis, Field(discriminator="engine")]


class Volume(Model):
    """A folder under `shared/` that survives every deploy."""

    owner: Annotated[int, Field(ge=0)] = 10001
    """The numeric user and group that the services run as."""


class Deploy(Model):
    """How releases follow each other."""

    strategy: Strategy = "beside"
    keep: Annotated[int, Field(ge=1, le=100)] = 5
    """Successful releases that stay on the server, with their images."""
    healthy_within: Duration = "2m"
    drain: Duration = "10s"
    """How long requests in flight on the old tier may take to finish. It then has as long again to stop."""
    promote_within: Duration = "168h"
    """How old a verification may be for its release to be promoted to another environment."""
    ignore: Argv = ()
    """Patterns as in a `.gitignore`, seen from the stack's folder: files whose change is no reason to deploy."""


_EACH_ITS_OWN: Final = {
    "data": "name one that all of them reach, by a variable of `env`",
    "volumes": "keep such files in an object storage that all of them reach, named by a variable of `env`",
}

Problem = tuple[tuple[int | str, ...], str]
"""The keys that lead to a place in a stack file, and what is wrong there."""


class Disagreement(ValueError):
    """Sections of a stack file that do not fit each other; `problems` says where."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, place))}: {text}" for place, text in problems))
        self.problems = problems


def _tls_of(name: str, environment: Environment) -> Iterator[tuple[tuple[int | str, ...], Tls]]:
    """Yield the TLS of an environment's site and of its routes, each with the keys that lead to it."""
    routes = enumerate(environment.edge.routes)
    found = (
        (("environments", name, "tls"), environment.tls),
        *((("environments", name, "edge", "routes", index, "tls"), route.tls) for index, route in routes),
    )
    yield from ((place, tls) for place, tls in found if tls is not None)


class Stack(Model):
    """One product to run: what it is made of and where it runs."""

    name: Name
    runtime: Literal["compose"] = "compose"
    registry: str | None = None
    """Where images are pushed, such as `ghcr.io/acme`; absent: the embedded registry."""
    build: dict[Name, BuildSpec] = Field(default_factory=dict)
    services: Annotated[dict[Name, Service], Field(min_length=1)]
    migrate: Migrate | None = None
    seed: Seed | None = None
    data: dict[Name, DataService] = Field(default_factory=dict)
    volumes: dict[Name, Volume] = Field(default_factory=dict)
    site: Site | None = None
    env: Contract = Field(default_factory=lambda: Contract({}))
    checks: Checks = ()
    hooks: Hooks = Hooks()
    deploy: Deploy = Deploy()
    environments: Annotated[dict[EnvironmentName, Environment], Field(min_length=1)]

    def image_is_built(self, image: str) -> bool:
        """Whether `image` names an entry of `build` rather than an image from elsewhere."""
        return image in self.build

    def certificates(self, environment_name: str) -> tuple[Wish, ...]:
        """Return the certificates that an environment needs: its site's, then those of its foreign routes.

        The server's own Nginx has them from whoever runs it.
        """
        environment, owner = self.environments[environment_name], f"{self.name}-{environment_name}"
        if environment.edge.is_host:
            return ()
        found = []
        if self.site is not None and environment.tls is not None:
            found.append(wish(environment.tls, owner, (environment.domain, *environment.aliases)))
        for route in environment.edge.routes:
            if route.tls is not None:
                found.append(wish(route.tls, f"{owner}-{route.domain}", (route.domain,)))
        return tuple(found)

    @property
    def recreated(self) -> tuple[str, ...]:
        """The services that must not overlap with their predecessors."""
        return tuple(
            name for name, one in self.services.items() if (one.strategy or self.deploy.strategy) == "recreate"
        )

    @model_validator(mode="after")
    def _sections_must_agree(self) -> Self:
        problems = (
            *self._dangling_mounts(),
            *self._dangling_routes(),
            *self._shared_names(),
            *self._twice_given(),
            *self._unknown_takers(),
            *self._dangling_scales(),
            *self._dangling_checks(),
            *self._dangling_hooks(),
            *self._names_served_twice(),
            *self._reserved_name(),
            *self._names_too_long(),
            *self._unfit_ports(),
            *self._certificates_elsewhere(),
            *self._unfit_for_several_servers(),
        )
        if problems:
            raise Disagreement(problems)
        return self

    def _dangling_mounts(self) -> Iterator[Problem]:
        for name, service in self.services.items():
            for index, mount in enumerate(service.mounts):
                if mount.source not in self.volumes:
                    yield ("services", name, "mounts", index, "source"), f"no volume named {mount.source}"

    def _dangling_routes(self) -> Iterator[Problem]:
        for index, route in enumerate(self.site.routes if self.site is not None else ()):
            place = ("site", "routes", index, "service")
            if route.service not in self.services:
                yield place, f"no service named {route.service}"
            elif self.services[route.service].port is None:
                yield place, f"{route.service} has no port"

    def _shared_names(self) -> Iterator[Problem]:
        once = {"migrate": "the one-off migration", "seed": "the one-off seed"}
        taken = {**dict.fromkeys(self.services, "a service"), **once}
        yield from ((("data", name), f"{taken[name]} has the same name") for name in self.data if name in taken)
        for name, what in once.items():
            if name in self.services:
                yield ("services", name), f"{what} has this name"

    def _twice_given(self) -> Iterator[Problem]:
        for name, service in self.services.items():
            for variable in service.environment:
                if variable in self.env:
                    why = "a variable of the contract (`env`); give it in one place"
                    yield ("services", name, "environment", variable), why

    def _unknown_takers(self) -> Iterator[Problem]:
        known = {*self.services, *self.data, "migrate"}
        for variable in self.env:
            for index, name in enumerate(self.env[variable].services or ()):
                if name not in known:
                    yield ("env", variable, "services", index), f"no service or data service named {name}"

    def _names_served_twice(self) -> Iterator[Problem]:
        for name, environment in self.environments.items():
            served = {environment.domain, *environment.aliases}
            wild = [alias for alias in environment.aliases if alias.startswith("*.")]
            if environment.tls is not None and environment.tls.acme is not None and wild:
                why = f"no certificate over HTTP-01 is for {wild[0]}; give one of your own (`tls.certificate`)"
                yield ("environments", name, "aliases"), why
            for index, route in enumerate(environment.edge.routes):
                if self.site is None:
                    yield ("environments", name, "edge", "routes"), "without `site` this stack uses no edge"
                    break
                if route.domain in served:
                    place = ("environments", name, "edge", "routes", index, "domain")
                    yield place, "the site, or another route, has this name"
                served.add(route.domain)

    def _dangling_scales(self) -> Iterator[Problem]:
        for name, environment in self.environments.items():
            for service in environment.scale:
                if service not in self.services:
                    yield ("environments", name, "scale", service), f"no service named {service}"

    def _reserved_name(self) -> Iterator[Problem]:
        if self.name == "edge":
            yield ("name",), "the edge's own folder on a server has this name"

    def _names_too_long(self) -> Iterator[Problem]:
        """In no slot may a service have a name that no name server can be asked for."""
        for environment in (name for name, one in self.environments.items() if not one.edge.is_host):
            for name in (name for name, service in self.services.items() if service.port is not None):
                alias = max((Target(self.name, environment).alias(slot, name) for slot in SLOTS), key=len)
                if len(alias) > LONGEST_NAME:
                    why = f"the edge would ask for {alias}, and a host's name has at most {LONGEST_NAME} characters"
                    yield ("services", name), why

    def _unfit_ports(self) -> Iterator[Problem]:
        for name, environment in self.environments.items():
            for service, ports in environment.ports.items():
                place = ("environments", name, "ports", service)
                yield from ((place, text) for text in self._wrong_with_ports(environment, service, ports))
            if environment.edge.is_host:
                if environment.tls is not None and environment.tls.certificate is None:
                    yield ("environments", name, "tls"), "the host's own Nginx takes a folder: `certificate`"
                for route in self.site.routes if self.site is not None else ():
                    if route.service not in environment.ports:
                        text = f"the host's own Nginx finds {route.service} only on a port; give it two in `ports`"
                        yield ("environments", name, "edge"), text

    def _certificates_elsewhere(self) -> Iterator[Problem]:
        for name, environment in self.environments.items():
            if environment.edge.is_host:
                continue
            for place, tls in _tls_of(name, environment):
                if (tls.certificate or "").startswith("/"):
                    yield place, "only the server's own Nginx finds a certificate by a whole path; give a name"

    def _unfit_for_several_servers(self) -> Iterator[Problem]:
        """Yield what cannot be whole where an environment has several servers, and what cannot be several."""
        several = {name: one for name, one in self.environments.items() if len(one.servers) > 1}
        for name, environment in several.items():
            place, machines = ("environments", name), environment.machines
            for index, server in enumerate(environment.servers):
                if server == LOCAL:
                    yield (*place, "server", index), "this machine cannot be one of several servers"
                elif machines[index] in machines[:index]:
                    yield (*place, "server", index), "the same server twice"
            if environment.address is not None:
                yield (*place, "address"), "it is that of one server; each of several is asked where ssh finds it"
            for where, tls in _tls_of(name, environment):
                if tls.acme is not None:
                    yield where, "the ACME server may ask another of the servers; give one of your own (`certificate`)"
        names = ", ".join(several)
        for kind, fix in _EACH_ITS_OWN.items() if several else ():
            for each in getattr(self, kind):
                yield (kind, each), f"each server of {names} would have its own; {fix}"

    def _wrong_with_ports(self, environment: Environment, service: str, ports: tuple[int, ...]) -> Iterator[str]:
        if len(set(ports)) < len(ports):
            yield "the two slots need two different ports"
        if service in self.data:
            if len(ports) > 1:
                yield "a data service has one port only"
        elif service not in self.services:
            yield f"no service or data service named {service}"
        elif self.services[service].port is None:
            yield f"{service} listens on no `port`"
        elif len(ports) == 1 and service not in self.recreated:
            yield "needs two ports, [BLUE, GREEN]: a new release starts while the old one runs"
        elif environment.scale.get(service, self.services[service].scale) > 1:
            yield f"{service} has several replicas, which cannot share a port"

    def _dangling_checks(self) -> Iterator[Problem]:
        for index, check in enumerate(self.checks):
            if isinstance(check, LogCheck):
                for number, name in enumerate(check.logs.services):
                    if name not in self.services:
                        yield ("checks", index, "logs", "services", number), f"no service named {name}"
            elif self.site is None:
                yield ("checks", index), "without `site` there is no public address to ask"

    def _dangling_hooks(self) -> Iterator[Problem]:
        for when in type(self.hooks).model_fields:
            for index, hook in enumerate(getattr(self.hooks, when)):
                place = ("hooks", when, index, "service")
                if hook.service is not None and hook.service not in self.services:
                    yield place, f"no service named {hook.service}"
                elif hook.service is not None and when == "on_failure":
                    yield place, "after a failure the release is gone, and its containers with it"
