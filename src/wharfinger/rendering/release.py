"""Every file of a release, rendered together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wharfinger import assets, dotenv
from wharfinger.model.environment import Environment
from wharfinger.model.release import Layout
from wharfinger.model.stack import Stack
from wharfinger.rendering.compose import render_app_tier, render_data_tier
from wharfinger.rendering.host_site import main_file, render_host_site
from wharfinger.rendering.live import live_default
from wharfinger.rendering.routes import render_routes
from wharfinger.rendering.site import render_site
from wharfinger.rendering.templates import Templates

NO_RELEASE: Final = "0" * 14
"""The id of a release that is rendered only to be looked at or compared."""
HOST_MAIN: Final = "edge/host.conf"
"""What a site of the server's own Nginx is tested with, before it goes there."""
EDGE_NGINX: Final = (1, 30, 0)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text of every file that belongs to a release, by name within its folder."""

    app: Mapping[str, str]
    """For the release directory."""
    data: Mapping[str, str]
    """For the data tier's folder."""
    edge: Mapping[str, bytes]
    """What all sites of the edge share."""
    site: str | None
    routes: str | None = None
    """The foreign routes; they are no part of a release, and change without one."""

    def digest(self) -> str:
        """Return a checksum that is equal for equal files."""
        files = [
            self.app,
            self.data,
            {name: content.decode() for name, content in self.edge.items()},
            self.site,
        ]
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def render(
    stack: Stack,
    environment_name: str,
    *,
    release: str,
    images: Mapping[str, str],
    layout: Layout,
    engine_version: tuple[int, int],
    project: Path,
) -> Rendered:
    """Render a release; equal arguments give equal files.

    `project` is the folder whose own `templates/` override ours. Raises InvalidInput for a template that is broken.
    """
    templates = Templates.of(project)
    app = render_app_tier(
        stack,
        environment_name,
        release=release,
        images=images,
        layout=layout,
        engine_version=engine_version,
        templates=templates,
    )
    data = render_data_tier(stack, environment_name, layout=layout, engine_version=engine_version, templates=templates)
    site = _site(stack, environment_name, layout, templates)
    files = {"compose.yaml": app} | ({} if site is None else {"site.conf": site})
    environment = stack.environments[environment_name]
    if environment.edge.is_host:
        return Rendered(files, data, {}, site)
    wishes = stack.certificates(environment_name)
    routes = render_routes(environment, wishes, version=EDGE_NGINX, templates=templates)
    return Rendered(files, data, edge_files(environment) if site is not None else {}, site, routes)


def _site(stack: Stack, environment_name: str, layout: Layout, templates: Templates) -> str | None:
    if stack.site is None:
        return None
    environment, tls = stack.environments[environment_name], stack.environments[environment_name].tls
    if environment.edge.is_host:
        return render_host_site(stack, environment_name, layout=layout, templates=templates)
    wishes = {wish.domains[0]: wish.name for wish in stack.certificates(environment_name)}
    return render_site(
        stack.site,
        environment_name=layout.target.name,
        ports={name: service.port for name, service in stack.services.items() if service.port is not None},
        domains=(environment.domain, *environment.aliases),
        tls=tls and tls.model_copy(update={"https_port": tls.https_port or environment.https_port}),
        certificate=wishes.get(environment.domain),
        version=EDGE_NGINX,
        templates=templates,
    )


def edge_files(environment: Environment) -> dict[str, bytes]:
    """Return what all sites of an edge share, by path in the edge's folder."""
    variables = {
        "EDGE_PROJECT": environment.edge.project,
        "EDGE_NETWORK": environment.edge.project,
        "EDGE_BIND": environment.bind,
        "EDGE_HTTP_PORT": str(environment.http_port),
        "EDGE_HTTPS_PORT": str(environment.https_port),
    }
    nginx = assets.folder("nginx")
    files = {str(path.relative_to(nginx)): path.read_bytes() for path in sorted(nginx.rglob("*")) if path.is_file()}
    return {
        **files,
        ".env": dotenv.dump(variables).encode(),
        "compose.yaml": (assets.folder("compose") / "edge.yaml").read_bytes(),
    }


def preview(rendered: Rendered, layout: Layout) -> dict[str, bytes]:
    """Return every file as `invoke render` lays it out, complete enough for plain `docker compose` and `nginx -t`."""
    files = {name: text.encode() for name, text in {**rendered.app, **rendered.data}.items() if name != "site.conf"}
    files |= {f"edge/{name}": content for name, content in rendered.edge.items()}
    if rendered.site is not None:
        site = f"edge/sites/{layout.target.name}"
        if not rendered.edge:
            files[HOST_MAIN] = main_file(layout).encode()
        files |= {f"{site}.conf": rendered.site.encode(), f"{site}.live": live_default(None).encode()}
    if rendered.routes is not None:
        files[f"edge/sites/{layout.target.name}.routes.conf"] = rendered.routes.encode()
    return files
