"""Maintenance: a page for everybody while the work lasts, and the health path for those who watch."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from wharfinger.carrying_out import Consent, carry_out
from wharfinger.connecting import Server, connect_all
from wharfinger.console import Console
from wharfinger.errors import UsageError, WharfingerError
from wharfinger.facts import Observed
from wharfinger.fleet import look
from wharfinger.model.maintenance import Maintenance, network
from wharfinger.planning import Plan
from wharfinger.planning.maintenance import plan_maintenance
from wharfinger.project import Place
from wharfinger.rendering.templates import Templates
from wharfinger.steps.maintenance import CloseSite, OpenSite

PAGE = "maintenance.html.j2"
_STATES = ("on", "off")


def maintain(place: Place, console: Console, state: str, *, allow: Iterable[str], dry: bool) -> None:
    """Put a site under maintenance (`on`) or end it (`off`), from the next request on and until told otherwise.

    Addresses and networks in `allow` pass. Raises UsageError for words that mean nothing, or where nothing serves.
    """
    if state not in _STATES:
        raise UsageError(
            f"`{state}` is neither on nor off", fix=f"invoke maintenance on --env {place.environment_name}"
        )
    allowed = _networks(allow)
    page = Templates.of(place.project).render(PAGE, domain=place.environment.domain, stack=place.stack.name)
    with connect_all(place) as servers:
        step = CloseSite(allowed, Maintenance(secrets.token_hex(16), allowed), page.encode())

        def make_plans() -> tuple[Plan, ...]:
            seen = look(servers, (servers[0].layout.site,))
            for server, observed in zip(servers, seen, strict=True):
                _refuse_unserved(place, server, observed)
            return tuple(plan_maintenance(step if state == "on" else OpenSite(), observed) for observed in seen)

        # Not asked about, even where deploys are: it is what one reaches for when something burns.
        carry_out(make_plans, place, servers, console, Consent(plan_only=dry, assume_yes=True))
        if dry:
            return
    passing = f"; {', '.join(allowed)} may pass" if allowed else ""
    under = f"answers 503{passing}" if state == "on" else "is open"
    console.say(f"{place.environment.url} {under}")


def _networks(allow: Iterable[str]) -> tuple[str, ...]:
    found = []
    for text in allow:
        try:
            found.append(network(text))
        except ValueError as error:
            raise UsageError(
                f"--allow {text}: {error}", fix="such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"
            ) from None
    return tuple(dict.fromkeys(found))


def _refuse_unserved(place: Place, server: Server, observed: Observed) -> None:
    fix = f"invoke deploy --env {place.environment_name}"
    if place.stack.site is None:
        raise UsageError(f"{place.stack.name} has no site", fix="`site` in stack.yaml says what the edge serves")
    if place.environment.edge.is_host:
        raise UsageError(
            "maintenance is for an edge in a container; the server's own Nginx has none",
            fix="`edge: container`, or a page of your own by `site.snippet`",
        )
    held = observed.files[server.layout.site]
    if held is None:
        raise UsageError(f"nothing is deployed in {place.environment_name}", fix=fix)
    if not observed.edge_is_ready:
        raise WharfingerError("the edge does not run, or is not healthy yet", fix=fix)
    if b"snippets/maintenance.conf" not in held:
        raise WharfingerError(
            f"{server.layout.site} knows no maintenance",
            fix=f"let your own site.conf.j2 include snippets/maintenance.conf as ours does, then {fix}",
        )
