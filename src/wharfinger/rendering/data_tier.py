"""The data tier of an environment as Compose files: `data.yaml`, and those of `compose/` that it extends.

What goes into it is decided here; `templates/data.yaml.j2` lays it out.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from wharfinger import assets
from wharfinger.model.release import Layout
from wharfinger.model.stack import DataService, Postgres, Redis, Stack
from wharfinger.model.values import size_in_bytes
from wharfinger.rendering.services import START_INTERVAL_SINCE, data_name, labels_of, without_empty
from wharfinger.rendering.templates import Templates
from wharfinger.rendering.yaml import Node, block

POSTGRES_PORT: Final = 5432
_PGDATA_MOVED_IN: Final = 18
_MEGABYTE: Final = 2**20


def render_data_tier(
    stack: Stack,
    environment_name: str,
    *,
    layout: Layout,
    engine_version: tuple[int, int],
    templates: Templates,
) -> dict[str, str]:
    """Return the files of the data tier by name: `data.yaml`, and those of `compose/` that it extends.

    A stack without data services has none. Equal arguments give equal text.
    """
    if not stack.data:
        return {}
    extended = {base: _read(base) for base in dict.fromkeys(_base_of(service) for service in stack.data.values())}
    text = templates.render(
        "data.yaml.j2",
        target=layout.target,
        services={
            name: without_empty(
                {
                    "extends": {"file": f"{_base_of(service)}.yaml", "service": _base_of(service)},
                    "container_name": data_name(layout.target, name),
                    "image": f"{service.engine}:{service.version}",
                    # Compose replaces a command, it does not add to it.
                    "command": [*_command(_base_of(service), extended[_base_of(service)]), *_flags(service)],
                    "environment": dict.fromkeys(stack.env.for_data_service(name)),
                    "volumes": _volumes(name, service),
                    "healthcheck": _healthcheck(service, engine_version),
                    **_published(stack.environments[environment_name].ports.get(name), service),
                    "mem_limit": service.mem_limit,
                    "cpus": service.cpus,
                    "labels": labels_of(stack, environment_name, name),
                }
            )
            for name, service in stack.data.items()
        },
        is_published=any(name in stack.environments[environment_name].ports for name in stack.data),
        volumes={name: data_name(layout.target, name) for name, service in stack.data.items() if _keeps(service)},
        yaml=block,
    )
    return {"data.yaml": text, **{f"{base}.yaml": content for base, content in extended.items()}}


def _published(ports: tuple[int, ...] | None, service: DataService) -> dict[str, Node]:
    """Return on which port of loopback a data service is reached; from an internal network Docker publishes none."""
    if ports is None:
        return {}
    inside = service.port if isinstance(service, Redis) else POSTGRES_PORT
    return {"ports": [f"127.0.0.1:{ports[0]}:{inside}"], "networks": {"default": None, "published": None}}


def _base_of(service: DataService) -> str:
    """Return the name of the file that a data service extends, and of the one service in it."""
    return f"redis_{service.mode}" if isinstance(service, Redis) else service.engine


def _read(base: str) -> str:
    return (assets.folder("compose") / f"{base}.yaml").read_text(encoding="utf-8")


@cache
def _command(base: str, text: str) -> tuple[str, ...]:
    """Return the command that a file of `compose/` gives its service; a deploy asks for it three times."""
    from ruamel.yaml import YAML

    return tuple(YAML(typ="safe", pure=True).load(text)["services"][base]["command"])


def _flags(service: DataService) -> list[str]:
    """Return the server's flags that follow from the stack file."""
    if isinstance(service, Redis):
        return ["--port", str(service.port), "--maxmemory", _megabytes(size_in_bytes(service.maxmemory))]
    memory = size_in_bytes(service.mem_limit)
    # A quarter of the memory for its own cache, the rest for the kernel's, as PostgreSQL's manual advises.
    sized = {"shared_buffers": _megabytes(memory // 4), "effective_cache_size": _megabytes(memory * 3 // 4)}
    return [f"--{name}={value}" for name, value in (sized | service.settings).items()]


def _healthcheck(service: DataService, engine_version: tuple[int, int]) -> dict[str, Node]:
    """Return what the health check says beyond the extended one: where it asks, how often while starting."""
    asks: dict[str, Node] = {}
    if isinstance(service, Redis):
        asks["test"] = ["CMD", "redis-cli", "-e", "-p", str(service.port), "ping"]
    if engine_version >= START_INTERVAL_SINCE:
        asks["start_interval"] = "200ms"
    return asks


def _volumes(name: str, service: DataService) -> list[Node]:
    folder = _keeps(service)
    return [] if folder is None else [{"type": "volume", "source": name, "target": folder}]


def _keeps(service: DataService) -> str | None:
    """Return the folder in the container that a named volume keeps; None for a service that keeps nothing."""
    if isinstance(service, Postgres):
        moved = int(service.version) >= _PGDATA_MOVED_IN
        return "/var/lib/postgresql" if moved else "/var/lib/postgresql/data"
    return "/data" if service.mode == "queue" else None


def _megabytes(size: int) -> str:
    """Return a size in the unit that PostgreSQL and Redis both take for 2**20 bytes, at least one."""
    return f"{max(1, size // _MEGABYTE)}MB"
