"""What is measured under load, around switches and all else that is done to what serves; and the micro-cache."""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from tests.integration.deployments import REPOSITORY, docker

from benchmarks.clients import Address, Http
from benchmarks.contenders import Contender, Floor, PlainCompose, Timed, Wharfinger, fresh_name, timed
from benchmarks.report import Closure, Load, Report, Shown, now

REST: Final = 5.0
BETWEEN: Final = 1.0
_LONGEST: Final = 3600.0
ATLAS: Final = REPOSITORY / "stacks" / "sevra-atlas"


@dataclass(frozen=True)
class Loaded:
    """What one shape of load met with while one contender switched."""

    contender: str
    shape: str
    report: Report
    rest: Report
    during: Report
    wrong: int
    switches: tuple[Timed, ...]


@dataclass
class Course:
    """A load under way: what is done meanwhile, and what must be seen from then on."""

    began: float
    shown: list[Shown]
    spans: list[Timed] = field(default_factory=list)
    closures: list[Closure] = field(default_factory=list)

    def do(self, act: Callable[[], object], version: str | None = None) -> None:
        """Do something that brings a version into service (None: the same as before), and let the load go on."""
        done = timed(act)
        self.spans.append(done)
        if version is not None:
            self.shown.append(done.shows(version))
        time.sleep(BETWEEN)

    def close(self, on: Callable[[], object], off: Callable[[], object]) -> None:
        """Put the site under maintenance and end that; meanwhile whoever asks is to be told when to come again."""
        self.do(on)
        self.do(off)
        begun, ended = self.spans[-2:]
        self.closures.append(Closure(begun.began, begun.ended, ended.began, ended.ended))


def under_load(
    contender: Contender, shape: str, rate: float, first: str, act: Callable[[Course], None], *, path: str = "/"
) -> Loaded:
    """Let `act` do its switches under load; `first` is the version that serves before."""
    load = Load(contender.http_port, contender.domain, shape, rate=rate, seconds=_LONGEST, path=path)
    with load:
        time.sleep(1.0)  # the first requests open all connections, which is no rest
        course = Course(now(), [Shown(now(), first)])
        time.sleep(REST)
        rested = now()
        act(course)
        report = load.finish().with_closures(course.closures)
    return Loaded(
        contender.name,
        shape,
        report,
        report.between([(course.began, rested)]),
        report.between((span.began, span.ended) for span in course.spans),
        report.wrong(course.shown) if first else 0,
        tuple(course.spans),
    )


@contextmanager
def ours(registry: str, replicas: int, versions: int, source: Path | None = None) -> Iterator[Wharfinger]:
    """Yield a Wharfinger whose `v0` serves and whose images up to `v{versions - 1}` are built."""
    with tempfile.TemporaryDirectory(prefix="wharfinger-bench-") as folder:
        given = {} if source is None else {"source": source}
        made = Wharfinger.make(Path(folder) / "project", registry, replicas=replicas, **given)
        try:
            if source is None:
                for number in range(versions):
                    made.build(f"v{number}")
                made.put("v0")
                made.base = made.deployment.status()["release"]
            yield made
        finally:
            made.remove()


@contextmanager
def by_hand(kind: type[Floor | PlainCompose], images: dict[str, str], replicas: int) -> Iterator[Floor | PlainCompose]:
    """Yield the floor or plain Compose, with `v0` in service."""
    with tempfile.TemporaryDirectory(prefix="wharfinger-bench-") as folder:
        made = kind(Path(folder) / "site", images, replicas)
        try:
            made.put("v0")
            if isinstance(made, Floor):
                made.await_answer()
            yield made
        finally:
            made.remove()


def deploys_and_rollbacks(subject: Wharfinger, rounds: int) -> Callable[[Course], None]:
    """Return what deploys v1, goes back to v0, deploys v2, goes back to v0, …"""

    def act(course: Course) -> None:
        for number in range(1, rounds + 1):
            course.do(partial(subject.put, f"v{number}"), f"v{number}")
            course.do(subject.back, "v0")

    return act


def around(subject: Wharfinger, rounds: int) -> Iterator[tuple[str, str, str, Callable[[Course], None]]]:
    """Yield what else is done to a release that serves, or beside it: its name, a load and a path, and what does it."""

    def reload(course: Course) -> None:
        for _ in range(2 * rounds):
            course.do(subject.reload_edge)

    def scale(course: Course) -> None:
        for _ in range(rounds):
            course.do(partial(subject.scale, 3))
            course.do(partial(subject.scale, 2))

    def maintain(course: Course) -> None:
        for _ in range(rounds):
            course.close(partial(subject.maintain, "on"), partial(subject.maintain, "off"))

    def maintain_all_but(course: Course) -> None:
        for state in ("on", "off") * rounds:
            course.do(partial(subject.maintain, state))

    def start_idle(course: Course) -> None:
        name = fresh_name()
        words = ("run", "--detach", "--network", "none", "--name", name, "--entrypoint", "sleep", "nginx:1.30", "60")
        for _ in range(2 * rounds):
            try:
                course.do(partial(docker, *words))
            finally:
                docker("rm", "--force", name)

    yield "edge reloads", "alone", "/", reload
    yield "scaling", "kept", "/", scale
    yield "maintenance", "kept", "/", maintain
    yield "maintenance, health path", "kept", "/health", maintain_all_but
    yield "an idle container", "kept", "/", start_idle


def there_and_back(subject: Contender, rounds: int) -> Callable[[Course], None]:
    """Return what puts v1, v0, v1, … into service."""

    def act(course: Course) -> None:
        for _ in range(rounds):
            for version in ("v1", "v0"):
                course.do(partial(subject.put, version), version)

    return act


@dataclass(frozen=True)
class Cached:
    """Median seconds of an answer from the app and from the micro-cache, and the slowest of 50 on a cold key."""

    app: float
    cache: float
    cold: float


def micro_cache(registry: str) -> Cached:
    """Measure the micro-cache before an app that takes 10 ms."""
    with ours(registry, 1, 1) as subject:
        subject.deployment.edit("stack.yaml", "  cache: {enabled: false}\n", "  cache: {ttl: 1s}\n")
        subject.put("v0")
        address = Address("127.0.0.1", subject.http_port, subject.domain)
        return asyncio.run(_micro_cache(address))


async def _micro_cache(address: Address) -> Cached:
    async def seconds(http: Http) -> float:
        began = time.perf_counter()
        await http.kept()
        return time.perf_counter() - began

    async def median(paths: Iterator[str]) -> float:
        http, taken = Http(address), []
        for path in paths:
            http.path = path
            taken.append(await seconds(http))
        return statistics.median(taken)

    app = await median(f"/work?{number}" for number in range(200))
    cache = await median("/work?same" for _ in range(1000))
    crowd = [Http(address, "/health") for _ in range(50)]
    await asyncio.gather(*(http.kept() for http in crowd))
    for http in crowd:
        http.path = "/work?cold"
    cold = max(await asyncio.gather(*(seconds(http) for http in crowd)))
    return Cached(app, cache, cold)


def atlas_under_load(registry: str, rate: float) -> Loaded:
    """Deploy the worked stack, with two replicas, and change and roll it back under load."""
    with ours(registry, 2, 0, ATLAS) as subject:
        deployment = subject.deployment
        domain = f"    domain: {subject.domain}\n"
        deployment.edit("stack.yaml", domain, f"{domain}    scale: {{api: 2}}\n")
        deployment.deploy()
        subject.name = "wharfinger, sevra-atlas"

        def act(course: Course) -> None:
            deployment.edit("sevra_atlas/templates/home.html", "<h1>", "<h1>Edited: ")
            deployment.wharfinger("push", "--env", "local")
            course.do(deployment.deploy)
            course.do(subject.back)

        return under_load(subject, "kept", rate, "", act, path="/api/places?limit=20")


def machine() -> str:
    """Say what this was measured on, as far as it matters and no further."""
    engine, load = docker("version", "--format", "{{.Server.Version}}"), os.getloadavg()[0]
    python = platform.python_version()
    return f"{os.cpu_count()} cores, Docker {engine}, Python {python}, load average {load:.1f} at the end"
