"""The site of an environment for the server's own Nginx: services are found on ports of loopback, two for each.

What goes into it is decided here and in `site`; `templates/host_site.conf.j2` lays it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wharfinger.model.release import SLOTS, Layout
from wharfinger.model.stack import Stack
from wharfinger.model.values import seconds, size_in_bytes
from wharfinger.rendering.site import site_view
from wharfinger.rendering.templates import Templates

TEMPLATE: Final = "host_site.conf.j2"
_USUAL: Final = (80, 443)


@dataclass(frozen=True, slots=True)
class HostUpstream:
    """One service in one slot, and the path at which that slot is asked whether it is live or not."""

    name: str
    port: int
    probe: str


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route to something that is not ours."""

    domain: str
    to: str
    certificate: str | None
    upload_limit: str
    timeout: str


def render_host_site(stack: Stack, environment_name: str, *, layout: Layout, templates: Templates) -> str:
    """Return the site's file for an Nginx of the server's own, 1.22 or later; the stack must have a `site`."""
    environment, name = stack.environments[environment_name], layout.target.name
    port = environment.http_port if environment.tls is None else environment.https_port
    assert stack.site is not None  # noqa: S101 - callers ask first
    ports = {service: ports for service, ports in environment.ports.items() if service in stack.services}
    view = site_view(
        stack.site,
        environment_name=name,
        ports={service: pair[0] for service, pair in ports.items()},
        domains=(environment.domain, *environment.aliases),
        tls=environment.tls,
    )
    upstreams = [
        HostUpstream(f"{name}-{slot}-{service}", pair[index % len(pair)], f"/probe/{slot}/{service}/")
        for service, pair in ports.items()
        for index, slot in enumerate(SLOTS)
    ]
    return templates.render(
        TEMPLATE,
        site=view,
        upstreams=upstreams,
        http_port=_listen(environment.edge.bind, environment.http_port),
        https_port=_listen(environment.edge.bind, environment.https_port),
        bind=environment.edge.bind,
        host="$host" if port in _USUAL else f"$host:{port}",
        sites=str(layout.sites),
        acme=str(layout.edge / "acme"),
        certificate=_certificate(layout, view.certificate),
        routes=[
            RouteView(
                domain=route.domain,
                to=route.to,
                certificate=_certificate(layout, route.tls.certificate if route.tls is not None else None),
                upload_limit=f"{size_in_bytes(route.upload_limit)}",
                timeout=f"{round(seconds(route.timeout))}s",
            )
            for route in environment.edge.routes
        ],
    )


def main_file(layout: Layout) -> str:
    """Return the smallest configuration that includes the site, with which Nginx can test it anywhere."""
    return (
        "# Only to test the site with; the server has its own nginx.conf, which includes the same folder.\n"
        "events {}\n"
        f"http {{\n    include {layout.sites}/*.conf;\n}}\n"
    )


def _listen(bind: str | None, port: int) -> str:
    return f"{bind}:{port}" if bind else str(port)


def _certificate(layout: Layout, folder: str | None) -> str | None:
    """Return where a certificate lies: under the edge's `certs/`, unless an absolute folder is named."""
    return None if folder is None else str(layout.edge / "certs" / folder)
