"""The proof that a release serves: its checklist, held against it through the address that users have."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import ClassVar, Final

from wharfinger import health
from wharfinger.console import Step as Shown
from wharfinger.engine import Container
from wharfinger.errors import StepFailed
from wharfinger.hosts import File, Host
from wharfinger.model.checks import AnyCheck, Check, Latency, LatencyCheck, LogCheck
from wharfinger.model.values import seconds
from wharfinger.steps import World

BASELINE: Final = "baseline.json"
"""In a release's folder: the median seconds that the release before it took, by path."""

_LINES_SHOWN: Final = 3
_CUT: Final = 2.0
_STILL_HEALTHY: Final = "containers"
_NOTICED: Final = (0.1, 0.2, 0.4, 0.8)
"""Seconds between the looks at containers that should not have ended, but may have."""


@dataclass(frozen=True, slots=True)
class CheckMigrations:
    """Ask the new release's image whether the database is at its schema, before anything starts on it."""

    release: str
    command: tuple[str, ...]
    timeout: float
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "check the migrations"

    def run(self, world: World, shown: Shown) -> None:
        """Run the command to its end; only 0 will do."""
        done = world.runtime.run_once(self.release, "migrate", self.command, timeout=self.timeout, note=shown.note)
        passed = done.status == 0
        shown.found("migrations at head", passed=passed, seen="" if passed else f"exit code {done.status}")
        if not passed:
            raise StepFailed(
                f"the database is not at the release's schema: `migrate.check` exited {done.status}",
                details=[*done.stdout.splitlines(), *done.stderr.splitlines()][-20:],
                fix="correct the migration, or `migrate.check` in stack.yaml, and deploy again",
            )

    def undo(self, world: World) -> None:
        """Nothing: it only asks."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Note how long the release that serves takes for what the new one will be timed at."""

    release: str
    address: health.Address
    samples: Mapping[str, int]
    """How often each path is asked."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"time {', '.join(f'GET {path}' for path in self.samples)}"

    def run(self, world: World, shown: Shown) -> None:
        """Ask, and keep the medians beside the new release; one that does not answer has none."""
        found = {path: health.median_latency(self.address, path, samples=count) for path, count in self.samples.items()}
        shown.conclude(", ".join("no answer" if median is None else _ms(median) for median in found.values()))
        content = json.dumps({path: median for path, median in found.items() if median is not None})
        world.host.write({_baseline(world, self.release): File(f"{content}\n".encode())})

    def undo(self, world: World) -> None:
        """Nothing: the release's folder goes with its upload."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Go through the release's checklist; what fails is told together, and the way back is the switch's."""

    release: str
    address: health.Address | None
    """Where the public finds it; None for a stack without a site."""
    checks: tuple[AnyCheck, ...]
    expected: Mapping[str, int]
    """How many containers of each service there are to be."""
    restarts: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    """How often containers that ran before the plan was made had been started again by then, by their ids."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"verify {self.address.url if self.address else self.release}"

    def run(self, world: World, shown: Shown) -> None:
        """Run every check, then see that the containers which were healthy still are, and none had to start again."""
        failures: list[str] = []
        # Logs come last: requests make them.
        for check in sorted(self.checks, key=lambda check: isinstance(check, LogCheck)):
            shown.note(check.name)
            passed, seen, details = self._outcome(check, world)
            shown.found(check.name, passed=passed, seen=seen)
            failures += () if passed else [f"{check.name}: {seen}", *details]
        died = self._died(world, suspected=bool(failures))
        seen = "; ".join(died) or f"{sum(self.expected.values())} still healthy"
        shown.found(_STILL_HEALTHY, passed=not died, seen=seen)
        failures += (f"{_STILL_HEALTHY}: {one}" for one in died)
        if failures:
            raise StepFailed(
                f"{self.address.url if self.address else self.release} does not answer as `checks` expects",
                details=failures,
                fix="mend the app, or the expectation in stack.yaml",
            )

    def undo(self, world: World) -> None:
        """Nothing: it only asks."""

    def _died(self, world: World, *, suspected: bool) -> tuple[str, ...]:
        """Return what became of containers; where a check failed, a busy engine gets time to notice their end."""
        for pause in (0, *_NOTICED) if suspected else (0,):
            time.sleep(pause)
            died = tuple(_died(world.runtime.app_containers(self.release), self.expected, self.restarts))
            if died:
                return died
        return ()

    def _outcome(self, check: AnyCheck, world: World) -> tuple[bool, str, tuple[str, ...]]:
        """Return whether a check passes, what was seen, and further lines about it that no journal may hold."""
        if isinstance(check, LogCheck):
            return _logs_outcome(check, world.runtime.app_logs(self.release))
        assert self.address is not None  # noqa: S101 - a stack without a site has no other checks
        if isinstance(check, Check):
            began = time.monotonic()
            problem = health.failure(self.address, check)
            if problem is not None and check.is_safe and _was_cut_off(world.host):
                problem = health.failure(self.address, check)
            return problem is None, problem or _ms(time.monotonic() - began), ()
        return _latency_outcome(check, self.address, _before(check, world, self.release))


def _was_cut_off(host: Host) -> bool:
    """Whether the way to the server was cut and is there again: then an answer that did not come says nothing."""
    began = time.monotonic()
    return host.is_reached() and time.monotonic() - began > _CUT


def _logs_outcome(check: LogCheck, logs: Mapping[str, tuple[str, ...]]) -> tuple[bool, str, tuple[str, ...]]:
    denied = re.compile(check.logs.deny)
    services = check.logs.services or tuple(logs)
    found = [(name, line) for name in services for line in logs.get(name, ()) if denied.search(line)]
    if not found:
        return True, f"{sum(len(logs.get(name, ())) for name in services)} lines", ()
    seen = f"{len(found)} line{'s'[: len(found) != 1]} of {', '.join(dict.fromkeys(name for name, _ in found))}"
    return False, f"{seen} that `deny` matches", tuple(f"  {name}: {line}" for name, line in found[:_LINES_SHOWN])


def _before(check: LatencyCheck, world: World, release: str) -> float | None:
    held = json.loads(world.host.read(_baseline(world, release)) or b"{}")
    found = held.get(check.latency.path)
    return float(found) if found is not None else None


def _baseline(world: World, release: str) -> PurePosixPath:
    return world.layout.release(release) / BASELINE


def _latency_outcome(
    check: LatencyCheck, address: health.Address, before: float | None
) -> tuple[bool, str, tuple[str, ...]]:
    wanted = check.latency
    assert wanted.path is not None  # noqa: S101 - a plan fills it in
    if before is None:
        return True, "no release before to compare with", ()
    limit = max(before * wanted.factor, seconds(wanted.floor))
    medians = []
    for median in _twice(address, wanted):
        if median is None:
            return False, f"GET {wanted.path} does not answer 200", ()
        medians.append(median)
        if median <= limit:
            return True, f"{_ms(median)}, before {_ms(before)}", ()
    return False, f"{_ms(min(medians))}, before {_ms(before)}; {_ms(limit)} would do", ()


def _twice(address: health.Address, wanted: Latency) -> Iterator[float | None]:
    """Measure, and once more for who finds the first time too long: a busy machine is no slow release."""
    for _ in range(2):
        yield health.median_latency(address, wanted.path or "/", samples=wanted.samples)


def _died(containers: tuple[Container, ...], expected: Mapping[str, int], restarts: Mapping[str, int]) -> Iterator[str]:
    """Yield what became of containers that are not, or not without a break, as healthy as they were."""
    for container in containers:
        if not container.is_ready:
            code = f" with code {container.exit_code}" if container.exit_code else ""
            state = f"{container.state}{code}" if container.state != "running" else container.health
            yield f"{container.service} was healthy and is {state} ({container.name})"
        elif container.restarts > restarts.get(container.id, 0):
            yield f"{container.service} ended and was started again ({container.name})"
    for service, count in expected.items():
        if (there := sum(container.service == service for container in containers)) < count:
            yield f"{service}: {there} of {count} containers are there"


def _ms(taken: float) -> str:
    return f"{taken * 1000:.1f} ms" if taken < 0.01 else f"{taken * 1000:.0f} ms"  # noqa: PLR2004 - from 10 ms on
