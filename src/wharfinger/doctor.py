"""Looking over everything that a deploy needs, with the mend for each thing that is not right."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from wharfinger import stock_images
from wharfinger.connecting import Server, of_each
from wharfinger.console import Console
from wharfinger.edge_certificates import served
from wharfinger.engine import OLDEST
from wharfinger.errors import NotReady, WharfingerError
from wharfinger.facts import observe
from wharfinger.hosts import Host
from wharfinger.project import Place
from wharfinger.showing import table

MINIMUM_FREE: Final = 2 << 30
_OLDEST_COMPOSE: Final = (2, 24)
_OLDEST_BUILDX: Final = (0, 13)
_TIMEOUT: Final = 20.0
_CLOCK_TOLERANCE: Final = 5.0
_INSTALL: Final = "./run deploy installs it; ./run --no-install deploy prints the commands"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look showed; `fix` is empty where nothing needs mending."""

    name: str
    fine: bool
    seen: str
    fix: str = ""


def examine(place: Place, console: Console, *, as_json: bool) -> None:
    """Print a line for everything looked at; raises NotReady when something is not right."""
    found, away = of_each(place, lambda server: tuple(_findings(server.place, server)))
    found |= {name: (Finding("server", fine=False, seen=e.problem, fix=e.fix or ""),) for name, e in away.items()}
    if as_json:
        console.json([{"server": server, **asdict(each)} for server, of_one in found.items() for each in of_one])
    else:
        rows = {
            server: [
                ("ok" if f.fine else "MEND", f.name, f.seen + (f"; fix: {f.fix}" if f.fix else "")) for f in of_one
            ]
            for server, of_one in found.items()
        }
        table(console, place, ("", "what", "seen"), rows)
    wrong = dict.fromkeys(each.name for of_one in found.values() for each in of_one if not each.fine)
    if wrong:
        raise NotReady(f"not ready for a deploy: {', '.join(wrong)}", fix="mend what is marked above")


def _findings(place: Place, server: Server) -> Iterator[Finding]:
    host = server.host
    engine = _tool(host, "Docker Engine", ("docker", "version", "--format", "{{.Server.Version}}"), OLDEST)
    yield engine
    yield _tool(host, "Compose", ("docker", "compose", "version", "--short"), _OLDEST_COMPOSE)
    yield _tool(server.here, "buildx", ("docker", "buildx", "version"), _OLDEST_BUILDX)
    yield _disk(server)
    if engine.fine:
        yield _clock(host)
        yield from _ports(place, server)
        yield from _runs(place, server)
        yield from _certificates(place, server)
        yield _images(server.here)


def _tool(host: Host, name: str, argv: tuple[str, ...], oldest: tuple[int, int]) -> Finding:
    try:
        answer = host.run(argv, timeout=_TIMEOUT, check=False)
    except WharfingerError as error:
        return Finding(name, fine=False, seen=error.problem, fix=_INSTALL)
    version = re.search(r"(\d+)\.(\d+)(\.\d+)?", answer.stdout)
    if answer.status != 0 or version is None:
        return Finding(name, fine=False, seen="does not answer", fix=_INSTALL)
    if (int(version[1]), int(version[2])) < oldest:
        wanted = ".".join(map(str, oldest))
        return Finding(name, fine=False, seen=f"{version[0]} is older than {wanted}", fix=_INSTALL)
    return Finding(name, fine=True, seen=version[0])


def _disk(server: Server) -> Finding:
    free = server.host.free_bytes(server.layout.root)
    seen = f"{free / 2**30:.1f} GiB free for {server.layout.root}"
    if free < MINIMUM_FREE:
        fix = f"free {(MINIMUM_FREE - free) / 2**30:.1f} GiB; docker system df shows what Docker holds"
        return Finding("disk", fine=False, seen=seen, fix=fix)
    return Finding("disk", fine=True, seen=seen)


def _clock(host: Host) -> Finding:
    """Compare the engine's clock with this process's: release ids and certificates depend on both."""
    answer = host.run(("docker", "info", "--format", "{{json .SystemTime}}"), timeout=_TIMEOUT, check=False)
    theirs = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", json.loads(answer.stdout)))
    apart = abs((datetime.now(UTC) - theirs).total_seconds())
    if apart > _CLOCK_TOLERANCE:
        return Finding(
            "clock", fine=False, seen=f"{apart:.0f} s apart from the engine's", fix="timedatectl set-ntp true"
        )
    return Finding("clock", fine=True, seen=time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime()))


def _ports(place: Place, server: Server) -> Iterator[Finding]:
    observed = observe(server.host, server.engine, server.edge, server.layout, ())
    ports = [place.environment.http_port] + ([place.environment.https_port] if place.environment.tls else [])
    if place.environment.edge.is_host and observed.current is None:
        ports = ports[:1]  # where HTTPS is, our site may be the first that listens
    for port in ports:
        if place.environment.edge.is_host:
            there = port in observed.ports_taken
            seen = "the server's own Nginx" if there else "the server's own Nginx does not listen"
            yield Finding(f"port {port}", fine=there, seen=seen, fix="" if there else "systemctl start nginx")
        elif observed.edge_is_ready:
            yield Finding(f"port {port}", fine=True, seen=f"the edge {server.edge.project} runs")
        elif port in observed.ports_taken:
            fix = f"stop what listens there (ss -ltnp 'sport = :{port}'), or set {place.environment_name}'s `edge`"
            yield Finding(f"port {port}", fine=False, seen="taken by another process", fix=fix)
        else:
            yield Finding(f"port {port}", fine=True, seen="free")


def _runs(place: Place, server: Server) -> Iterator[Finding]:
    observed = observe(server.host, server.engine, server.edge, server.layout, ())
    for run in observed.cut_off:
        yield Finding("last run", fine=False, seen=str(run), fix=f"invoke recover --env {place.environment_name}")


def _certificates(place: Place, server: Server) -> Iterator[Finding]:
    """Look at the certificates that serve, and at those of the user's own that are to."""
    clock, env = datetime.now(UTC), place.environment_name
    sources = {wish.name: wish.tls.source for wish in place.stack.certificates(env)}
    held = served(server.host, server.layout)
    if any(sources.get(one.name) == "acme" for one in held):
        runs = any(one.is_ready for one in server.engine.project(server.edge.renewal_project))
        seen = f"{server.edge.renewal_project} {'runs' if runs else 'does not run'}"
        yield Finding("renewal", fine=runs, seen=seen, fix="" if runs else f"invoke deploy --env {env} starts it")
    for one in held:
        warning = one.warning(clock)
        if warning is None and one.certificate is not None:
            yield Finding("certificate", fine=True, seen=f"{one.name} until {one.certificate.ends:%Y-%m-%d}")
            continue
        mends = {
            "acme": f"invoke certs.renew --env {env} says why it was not renewed",
            "local": f"invoke deploy --env {env} issues a new one",
            "own": f"invoke certs.put --env {env} --folder FOLDER puts a newer one there",
        }
        elsewhere = "renew it there (certbot renew), and let the server's own Nginx load it (nginx -s reload)"
        fix = elsewhere if place.environment.edge.is_host else mends[sources.get(one.name, "own")]
        yield Finding("certificate", fine=False, seen=warning or one.name, fix=fix)


def _images(host: Host) -> Finding:
    origins = stock_images.origins(host, stock_images.STOCK)
    missing = [name for name, origin in origins.items() if origin is stock_images.Origin.MISSING]
    if not missing:
        kinds = sorted({origin.value for origin in origins.values()})
        return Finding("stock images", fine=True, seen=f"all there ({', '.join(kinds)})")
    if stock_images.hub_answers(host, missing[0]):
        return Finding("stock images", fine=True, seen=f"{', '.join(missing)}: the image hub answers")
    if shutil.which("debootstrap"):
        return Finding("stock images", fine=True, seen=f"{', '.join(missing)}: to be built from Debian packages")
    fix = "apt-get install debootstrap, or let Docker reach an image hub"
    return Finding("stock images", fine=False, seen=f"{', '.join(missing)} missing, and no image hub answers", fix=fix)
