"""Whether an environment is well: every container of it, the edge, and what the public address answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Final

from wharfinger import health
from wharfinger.connecting import Server, at_once, reach
from wharfinger.console import Console
from wharfinger.edge_certificates import Served, served
from wharfinger.engine import Container
from wharfinger.errors import NotReady
from wharfinger.facts import Observed, observe
from wharfinger.model.checks import Check
from wharfinger.model.values import seconds
from wharfinger.planning.checklist import address_of, checks_of
from wharfinger.planning.wanted import Wanted
from wharfinger.project import Place
from wharfinger.rolling_back import as_it_was
from wharfinger.showing import table

_AT_MOST: Final = "3s"
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    kind: str
    """`service`, `data`, `edge`, `certificate`, `check`, `environment` or `server`."""
    name: str
    healthy: bool
    seen: str
    """What was found, in words."""


def examine(place: Place, console: Console, *, as_json: bool) -> bool:
    """Show the health of everything of an environment; return whether all of it is well.

    A check of the public address may take 3 s at most, and all of them are asked at once.
    """
    servers = place.environment.servers
    found = dict(zip(servers, at_once(lambda server: _on(place, server), servers), strict=True))
    well = all(finding.healthy for findings, _ in found.values() for finding in findings)
    if as_json:
        console.json(
            {
                "stack": place.stack.name,
                "environment": place.environment_name,
                "healthy": well,
                "maintenance": any(closed for _, closed in found.values()),
                "findings": [
                    {"server": server, **asdict(finding)}
                    for server, (findings, _) in found.items()
                    for finding in findings
                ],
            }
        )
    else:
        rows = {
            server: [(each.kind, each.name, "well" if each.healthy else "NOT WELL", each.seen) for each in findings]
            for server, (findings, _) in found.items()
        }
        table(console, place, ("kind", "name", "health", "seen"), rows)
    return well


def _on(place: Place, server: str) -> tuple[tuple[Finding, ...], bool]:
    """Look at one server; of several, one that cannot be reached keeps nobody from looking at the others."""
    try:
        with reach(place, server) as reached:
            return _of_server(reached)
    except NotReady as error:
        if len(place.environment.servers) == 1:
            raise
        return (Finding("server", server, healthy=False, seen=error.problem),), False


def _of_server(server: Server) -> tuple[tuple[Finding, ...], bool]:
    """Return all that was found on one server, and whether it is under maintenance."""
    observed = observe(server.host, server.engine, server.edge, server.layout, ())
    record = observed.release(observed.current)
    if record is None:
        name = server.layout.target.name
        found: tuple[Finding, ...] = (Finding("environment", name, healthy=False, seen="nothing is deployed"),)
    else:
        serving = as_it_was(record, server)
        held = served(server.host, server.layout)
        found = (*_containers(serving, observed), *_certificates(held, observed), *_answers(serving, observed))
    return found, observed.maintenance is not None


def _containers(serving: Wanted, observed: Observed) -> Iterator[Finding]:
    tier = observed.tiers.get(serving.release.id, ())
    for name, count in serving.expected(observed.scale).items():
        yield _finding("service", name, tier, count)
    for name in serving.stack.data:
        yield _finding("data", name, observed.data, 1)
    if serving.stack.site is not None:
        if observed.edge_serves is None:
            yield _finding("edge", "nginx", observed.edge, 1)
        else:
            seen = "the server's own, listening" if observed.edge_serves else "the server's own does not listen"
            yield Finding("edge", "nginx", healthy=observed.edge_serves, seen=seen)
    if any(wish.tls.acme is not None for wish in serving.stack.certificates(serving.release.environment)):
        yield _finding("edge", "certbot", observed.renewal, 1)


def _certificates(held: Iterable[Served], observed: Observed) -> Iterator[Finding]:
    """Yield whether browsers accept each certificate; one that ends soon still is well, and says so."""
    for one in held:
        valid = one.certificate is not None and one.certificate.is_valid(observed.clock)
        ends = f"until {one.certificate.ends:%Y-%m-%d}" if one.certificate is not None else ""
        yield Finding("certificate", one.name, healthy=valid, seen=one.warning(observed.clock) or ends)


def _finding(kind: str, name: str, containers: Iterable[Container], wanted: int) -> Finding:
    found = [container for container in containers if container.service == name]
    ready = sum(container.is_ready for container in found)
    ill = sorted(
        f"{each.name} is {each.health if each.state == 'running' else each.state}"
        for each in found
        if not each.is_ready
    )
    seen = f"{ready} of {wanted} healthy" if wanted != 1 or ready != 1 else "healthy"
    return Finding(kind, name, healthy=ready >= wanted and not ill, seen="; ".join([seen, *ill]))


def _answers(serving: Wanted, observed: Observed) -> tuple[Finding, ...]:
    if serving.stack.site is None:
        return ()
    address = address_of(serving.environment, observed)

    # What changes something, and what only tells of a release that has just started, is no question of health.
    requests = [check for check in checks_of(serving.stack) if isinstance(check, Check) and check.is_safe]

    def ask(check: Check) -> Finding:
        brief = check if seconds(check.timeout) <= seconds(_AT_MOST) else check.model_copy(update={"timeout": _AT_MOST})
        problem = health.failure(address, brief)
        name = f"{check.method} {address.url}{check.path}"
        return Finding("check", name, healthy=problem is None, seen=problem or "as expected")

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return tuple(pool.map(ask, requests))
