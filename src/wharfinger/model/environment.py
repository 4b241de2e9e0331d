"""Where a stack runs: its servers, their edge, and what differs there."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_serializer

from wharfinger.model.tls import Tls
from wharfinger.model.values import Argv, Duration, Model, Name, Port, Size

_HTTP: Final = 80
_HTTPS: Final = 443

EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=20)]
"""The name of an environment; without a hyphen, so that no two of STACK-ENVIRONMENT are the same."""


DomainName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


HostPattern = Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


class ForeignRoute(Model):
    """A host name whose requests go to something that Wharfinger does not run, and never disturbs."""

    domain: DomainName
    to: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?:[1-9][0-9]{0,4}$")]
    """HOST:PORT that speaks HTTP; 127.0.0.1 and localhost mean the server itself."""
    tls: Tls | None = None
    """Absent: it answers plain HTTP."""
    upload_limit: Size = "64m"
    timeout: Duration = "60s"
    """How long it may be silent, WebSockets included."""


class Edge(Model):
    """The one Nginx of a server, as this environment expects to find it."""

    kind: Literal["container", "host"] = "container"
    """`container`: an Nginx that Wharfinger runs; `host`: the server's own, which serves other things too."""
    project: Name = "wharfinger-edge"
    """The container's Compose project."""
    command: Annotated[Argv, Field(min_length=1)] = ("nginx",)
    """How the host's own Nginx is called, such as `[sudo, -n, nginx]`."""
    sites: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]+$")] | None = None
    """A folder whose `*.conf` the host's own Nginx includes in `http`; absent: `edge/host-sites` of the root."""
    http_port: Port | None = None
    """Absent: 80, or 8080 for `server: local`."""
    https_port: Port | None = None
    """Absent: 443, or 8443 for `server: local`."""
    bind: str | None = None
    """The address that it listens on; absent: every one, or only loopback for `server: local`."""
    routes: Annotated[tuple[ForeignRoute, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)] = ()
    """What else the same Nginx serves, beside all stacks."""

    @property
    def is_host(self) -> bool:
        """Whether it is the server's own Nginx."""
        return self.kind == "host"


def _as_edge(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _as_ports(value: Any) -> Any:
    return (value,) if isinstance(value, int) else tuple(value) if isinstance(value, list) else value


Published = Annotated[
    tuple[Port, ...],
    Field(min_length=1, max_length=2),
    BeforeValidator(_as_ports, json_schema_input_type=Port | list[Port]),
]
"""One port of loopback, or two for a service: for the slot blue, and for green."""


LOCAL: Final = "local"
ServerName = Annotated[str, Field(pattern=r"^[^-\s]\S*$")]


def _as_servers(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class Environment(Model):
    """Where the stack runs, and what differs there."""

    servers: Annotated[
        tuple[ServerName, ...],
        Field(min_length=1, alias="server"),
        BeforeValidator(_as_servers, json_schema_input_type=ServerName | list[ServerName]),
    ]
    """`local`, or what OpenSSH calls the server (`user@host`, `ssh://…`, a name of ssh_config); or a list of these."""
    domain: DomainName
    aliases: Annotated[tuple[HostPattern, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)] = ()
    """Further host names of the site; `*.example.com` stands for all that are one label longer."""
    address: Annotated[str | None, Field(exclude=True)] = None
    """Where its checks find the server without asking DNS for the domain; absent: they do ask, but for this machine."""
    tls: Tls | None = None
    """Absent: the site answers plain HTTP."""
    root: str | None = None
    """The server's folder for everything; absent: see `Layout`."""
    edge: Annotated[Edge, BeforeValidator(_as_edge, json_schema_input_type=Edge | Literal["container", "host"])] = (
        Edge()
    )
    ports: dict[Name, Published] = Field(default_factory=dict)
    """Where services and data services can be reached on the server itself, on loopback; absent: nowhere."""
    confirm: bool | None = None
    """Whether a plan must be agreed to before it is carried out; absent: in the environment `production`."""
    scale: dict[str, Annotated[int, Field(ge=1, le=64)]] = Field(default_factory=dict)

    @field_serializer("servers")
    def _as_written(self, servers: tuple[str, ...]) -> str | tuple[str, ...]:
        return servers[0] if len(servers) == 1 else servers

    @property
    def server(self) -> str:
        """The server; of several the first, on which is done what is done once."""
        return self.servers[0]

    @property
    def machines(self) -> tuple[str, ...]:
        """The machines that its servers are, whoever logs in there."""
        return tuple(server.removeprefix("ssh://").rpartition("@")[2] for server in self.servers)

    @property
    def is_local(self) -> bool:
        """Whether this machine is the server."""
        return self.server == LOCAL

    @property
    def http_port(self) -> int:
        """The port on which the edge answers HTTP."""
        return self.edge.http_port or (8080 if self.is_local and not self.edge.is_host else _HTTP)

    @property
    def https_port(self) -> int:
        """The port on which the edge answers HTTPS."""
        return self.edge.https_port or (8443 if self.is_local and not self.edge.is_host else _HTTPS)

    @property
    def bind(self) -> str:
        """The address on which the edge listens."""
        return self.edge.bind or ("127.0.0.1" if self.is_local else "0.0.0.0")  # noqa: S104 - a web server

    @property
    def url(self) -> str:
        """The public address of the site, without a trailing slash."""
        if self.tls is None:
            return f"http://{self.domain}" + ("" if self.http_port == _HTTP else f":{self.http_port}")
        port = self.tls.https_port or self.https_port
        return f"https://{self.domain}" + ("" if port == _HTTPS else f":{port}")
