"""What became of a load: a generator in a process of its own, and its samples, counted."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.clients import CLOSED

REPOSITORY: Final = Path(__file__).parents[1]
LATE: Final = 1.0
"""Seconds after it was due by which a request has to be answered; what is slow by nature gets that on top."""
NATURE: Final = {"slow": 2.0, "upload": 1.6, "stream": 1.6}
_REFUSED: Final = "refused"
HONEST: Final = 0.05
"""How late, in seconds, the generator itself may send 99 of 100 requests."""


@dataclass(frozen=True)
class Sample:
    """One request; times in seconds since the epoch."""

    due: float
    asked: float
    """When it was sent; for a message on a WebSocket, when that was opened."""
    ended: float
    kind: str
    version: str
    problem: str

    @property
    def latency(self) -> float:
        """Seconds from when it was due, less what it takes by nature."""
        return self.ended - self.due - NATURE.get(self.kind, 0.0)

    @property
    def is_late(self) -> bool:
        """Whether its answer came too late."""
        return not self.problem and self.latency > LATE


@dataclass(frozen=True)
class Shown:
    """From `since` on (seconds since the epoch) whoever asks must get this version, or the next one."""

    since: float
    version: str


@dataclass(frozen=True)
class Closure:
    """When a site was under maintenance; seconds since the epoch."""

    closing: float
    closed: float
    """From when on whoever asks is to be refused."""
    opening: float
    opened: float
    """From when on whoever asks is to be served."""

    def read(self, sample: Sample) -> Sample:
        """Return a sample as it counts: refused is right while it is closed, and the only thing that is."""
        if sample.problem == CLOSED and sample.ended > self.closing and sample.asked < self.opened:
            return replace(sample, kind=_REFUSED, problem="")
        if not sample.problem and sample.asked > self.closed and sample.ended < self.opening:
            return replace(sample, problem="passed")
        return sample


@dataclass(frozen=True)
class Report:
    """The samples of one load, counted."""

    samples: Sequence[Sample]

    @property
    def problems(self) -> Counter[str]:
        """How many requests failed, by how."""
        return Counter(sample.problem for sample in self.samples if sample.problem)

    @property
    def late(self) -> int:
        """How many answers came too late."""
        return sum(sample.is_late for sample in self.samples)

    def wrong(self, shown: Sequence[Shown]) -> int:
        """How many answers came from a version that was no longer to answer; `shown` in the order of time."""
        count = 0
        for sample in self.samples:
            known = [index for index, moment in enumerate(shown) if moment.since <= sample.asked]
            if known and not sample.problem and sample.kind != _REFUSED:
                count += sample.version not in {moment.version for moment in shown[known[-1] : known[-1] + 2]}
        return count

    def with_closures(self, closures: Iterable[Closure]) -> Report:
        """Return the samples as they count where nobody but the health path passes during maintenance."""
        samples = list(self.samples)
        for closure in closures:
            samples = [closure.read(sample) for sample in samples]
        return Report(samples)

    def between(self, spans: Iterable[tuple[float, float]]) -> Report:
        """Return the samples that were due in any of the spans."""
        wanted = tuple(spans)
        return Report([s for s in self.samples if any(since <= s.due < until for since, until in wanted)])

    def quantile(self, share: float) -> float:
        """Return the latency, in seconds, that this share of the answered requests did not exceed."""
        latencies = sorted(sample.latency for sample in self.samples if not sample.problem)
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else float("nan")

    @property
    def own_lateness(self) -> float:
        """How late the generator itself sent 99 of 100 requests, in seconds; those on WebSockets do not tell."""
        late = sorted(sample.asked - sample.due for sample in self.samples if sample.kind != "echo")
        return late[int(0.99 * len(late))] if late else 0.0


class Load:
    """A generator at work in its own process, as long as the block runs."""

    def __init__(
        self, port: int, name: str, shape: str, *, rate: float, seconds: float, path: str = "/", ca: str = ""
    ) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `finish`
        words = ("--port", str(port), "--name", name, "--shape", shape, "--path", path, "--ca", ca)
        self._limit = seconds
        self._process = subprocess.Popen(
            (sys.executable, "-m", "benchmarks.load", *words, "--rate", str(rate), "--seconds", str(seconds)),
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
        )

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    def finish(self) -> Report:
        """End the load, and return what became of it; a load that ended before it was told to is an error."""
        ended = self._process.poll()
        self._process.terminate()
        self._process.wait(60)
        if ended is not None:
            raise RuntimeError(f"the load was over (exit code {ended}) before what it was to accompany")
        self._output.seek(0)
        report = Report([Sample(*json.loads(line)) for line in self._output])
        self._output.close()
        if report.own_lateness > HONEST:
            late = report.own_lateness * 1000
            print(f"warning: the generator itself sent 1 of 100 requests {late:.0f} ms late or later", file=sys.stderr)
        return report


def now() -> float:
    """Return the time as samples have it."""
    return time.time()
