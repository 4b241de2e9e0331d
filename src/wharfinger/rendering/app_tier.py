"""The app tier of one release as a Compose file.

What goes into it is decided here; `templates/compose.yaml.j2` lays it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wharfinger.model.release import Layout, port_variable, scale_variable
from wharfinger.model.stack import Healthcheck, Migrate, Mount, Postgres, Seed, Service, Stack
from wharfinger.rendering.services import START_INTERVAL_SINCE, data_name, labels_of, without_empty
from wharfinger.rendering.templates import Templates
from wharfinger.rendering.yaml import Interpolated, Node, block

MIGRATE: Final = "migrate"
"""The service that runs once, before a release starts."""

SEED: Final = "seed"
"""The service that runs once on a developer's machine, after the first migration."""

_SLOT: Final = "${WHARFINGER_SLOT:-blue}"


def render_app_tier(
    stack: Stack,
    environment_name: str,
    *,
    release: str,
    images: Mapping[str, str],
    layout: Layout,
    engine_version: tuple[int, int],
    templates: Templates,
) -> str:
    """Return the `compose.yaml` of a release.

    `images` gives the reference by digest of every image that the stack builds, by its name in `build`; it
    may give one for any other that a service names. Equal arguments give equal text.
    """
    tier = _AppTier(stack, environment_name, release, images, layout, engine_version)
    return templates.render(
        "compose.yaml.j2",
        target=layout.target,
        project=layout.target.app_project(release),
        common={"external_links": tier.links()},
        services={name: tier.service(name, service) for name, service in stack.services.items()},
        migrate=tier.once(MIGRATE, stack.migrate),
        seed=tier.once(SEED, stack.seed),
        has_data=bool(stack.data),
        edge_network=tier.edge_network(),
        yaml=block,
    )


@dataclass(frozen=True, slots=True)
class _AppTier:
    """Decides what each service of a release says in its Compose file."""

    stack: Stack
    environment: str
    release: str
    images: Mapping[str, str]
    layout: Layout
    engine_version: tuple[int, int]

    def edge_network(self) -> dict[str, Node]:
        """Return the network on which the edge finds the services; with the host's own Nginx, the way out only."""
        edge = self.stack.environments[self.environment].edge
        if edge.is_host:
            return {"name": self.layout.target.app_project(self.release)}
        return {"name": edge.project, "external": True}

    def links(self) -> list[Node]:
        """Return which container or slot each of the stack's own names means.

        On the edge's network every stack shows its services under their bare names, and Docker asks that
        network before the data network, which is internal. Only links come before both.
        """
        target = self.layout.target
        data = [f"{data_name(self.layout.target, name)}:{name}" for name in self.stack.data]
        listening = [name for name, service in self.stack.services.items() if service.port is not None]
        return [*data, *(Interpolated(f"{target.alias(_SLOT, name)}:{name}") for name in listening)]

    def service(self, name: str, service: Service) -> dict[str, Node]:
        """Return one service of the tier."""
        scale = self.stack.environments[self.environment].scale.get(name, service.scale)
        rendered = self._container(name, service)
        rendered["labels"] = {**self._labels(name), "org.wharfinger.slot": Interpolated(_SLOT)}
        rendered["networks"] = self._networks(name, service)
        rendered |= self._published(name, service)
        if service.healthcheck is not None:
            rendered["healthcheck"] = _healthcheck(service.healthcheck, self.engine_version)
        rendered["scale"] = Interpolated(f"${{{scale_variable(name)}:-{scale}}}")
        return rendered

    def once(self, name: str, job: Migrate | Seed | None) -> dict[str, Node] | None:
        """Return a one-off service; only to a database elsewhere does it go by the edge's network.

        The seed gets the migration's values: both are about the same database.
        """
        if job is None:
            return None
        once = Service(image=job.image, command=job.command)
        ours = any(isinstance(service, Postgres) for service in self.stack.data.values())
        return {
            **self._container(MIGRATE, once),
            "labels": self._labels(name),
            "networks": [*(["data"] if self.stack.data else []), *([] if ours else ["edge"])],
            "healthcheck": {"disable": True},
        }

    def _container(self, name: str, service: Service) -> dict[str, Node]:
        variables: dict[str, Node] = dict.fromkeys(self.stack.env.for_service(name))
        return without_empty(
            {
                "image": self._image(service.image),
                "command": service.command,
                "user": service.user,
                "environment": {**variables, **service.environment},
                "volumes": [self._mount(mount) for mount in service.mounts],
                "read_only": service.read_only,
                "tmpfs": service.tmpfs,
                "mem_limit": service.mem_limit,
                "cpus": service.cpus,
                "pids_limit": service.pids_limit,
                "stop_grace_period": service.stop_grace_period,
            }
        )

    def _image(self, image: str) -> str:
        return self.images[image] if self.stack.image_is_built(image) else self.images.get(image, image)

    def _mount(self, mount: Mount) -> Node:
        source = str(self.layout.shared / mount.source)
        # A folder that Docker made itself would belong to root, and hide that the real one is missing.
        bind: dict[str, Node] = {"create_host_path": False}
        read_only: dict[str, Node] = {"read_only": True} if mount.read_only else {}
        return {"type": "bind", "source": source, "target": mount.target, **read_only, "bind": bind}

    def _labels(self, name: str) -> dict[str, Node]:
        return {**labels_of(self.stack, self.environment, name), "org.wharfinger.release": self.release}

    def _published(self, name: str, service: Service) -> dict[str, Node]:
        """Return on which port of loopback a service is reached; another in each slot."""
        ports = self.stack.environments[self.environment].ports.get(name)
        if ports is None:
            return {}
        return {"ports": [Interpolated(f"127.0.0.1:${{{port_variable(name)}:-{ports[0]}}}:{service.port}")]}

    def _networks(self, name: str, service: Service) -> dict[str, Node]:
        """Return where a service is: with its data, and at the edge, which is also its only way out."""
        slots = (_SLOT, f"{_SLOT}-{self.release}")
        aliases: list[Node] = [Interpolated(self.layout.target.alias(slot, name)) for slot in slots]
        data: dict[str, Node] = {"data": None} if self.stack.data else {}
        return {**data, "edge": {"aliases": aliases} if service.port is not None else None}


def _healthcheck(check: Healthcheck, engine_version: tuple[int, int]) -> dict[str, Node]:
    """Return a health check, without what an older engine refuses."""
    rendered: dict[str, Node] = {"test": ["CMD", *check.test], **check.model_dump(exclude={"test"})}
    if engine_version < START_INTERVAL_SINCE:
        del rendered["start_interval"]
    return rendered
