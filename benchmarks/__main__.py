"""Run the benchmarks and write RESULTS.md and switch.svg: `nox -s bench -- [--short] [--rate 500] [--rounds 10]`."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import contenders, measuring, wall_times
from benchmarks.chart import Row, chart
from benchmarks.contenders import Floor, PlainCompose
from benchmarks.load import SHAPES
from benchmarks.measuring import Cached, Loaded
from benchmarks.wall_times import WallTimes

HERE = Path(__file__).parent


def main() -> int:
    """Measure everything; return 1 where Wharfinger lost or delayed a request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="one deploy and one rollback for each shape")
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second")
    parser.add_argument("--rounds", type=int, help="deploys and rollbacks for each shape; 10, or 1 with --short")
    parser.add_argument("--wall-rounds", type=int, help="deploys whose wall time is taken; 10, or 3 with --short")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--results", type=Path, default=HERE)
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.short else 10)
    shapes = options.shapes.split(",")
    registry = contenders.prepare_machine()

    times = wall_times.measure(registry, options.wall_rounds or (3 if options.short else 10))
    _say(f"deploy {times.ratio('deploy'):.2f}x, rollback {times.ratio('rollback'):.2f}x the floor")
    ours = list(_ours(registry, shapes, rounds, options.rate))
    others = list(_others(registry, shapes, min(rounds, 3), options.rate))
    atlas = measuring.atlas_under_load(registry, options.rate / 5)
    _say(_line(atlas))
    cached = measuring.micro_cache(registry)

    options.results.mkdir(parents=True, exist_ok=True)
    rows = [_row(loaded) for loaded in (ours[0], *others) if loaded.shape == shapes[0]]
    (options.results / "switch.svg").write_text(chart(rows), encoding="utf-8")
    text = results([*ours, atlas], others, times, cached, rate=options.rate, rounds=rounds)
    (options.results / "RESULTS.md").write_text(text, encoding="utf-8")
    return int(any(loaded.report.problems or loaded.report.late or loaded.wrong for loaded in [*ours, atlas]))


def _ours(registry: str, shapes: list[str], rounds: int, rate: float) -> Iterator[Loaded]:
    with measuring.ours(registry, 2, rounds + 1) as subject:
        for shape in shapes:
            act = measuring.deploys_and_rollbacks(subject, rounds)
            loaded = measuring.under_load(subject, shape, rate, "v0", act)
            _say(_line(loaded))
            yield loaded
        for name, shape, path, act in measuring.around(subject, min(rounds, 3)):
            loaded = measuring.under_load(subject, shape, rate, "v0", act, path=path)
            loaded = dataclasses.replace(loaded, contender=name)
            _say(_line(loaded))
            yield loaded


def _others(registry: str, shapes: list[str], rounds: int, rate: float) -> Iterator[Loaded]:
    with measuring.ours(registry, 2, 2) as subject:
        images = {version: subject.build(version) for version in ("v0", "v1")}
        for kind in (PlainCompose, Floor):
            with measuring.by_hand(kind, images, 2) as other:
                for shape in (shape for shape in ("kept", "uploads") if shape in shapes):
                    act = measuring.there_and_back(other, rounds)
                    loaded = measuring.under_load(other, shape, rate, "v0", act)
                    _say(_line(loaded))
                    yield loaded


def _row(loaded: Loaded) -> Row:
    first = loaded.switches[0]
    return Row(f"{loaded.contender}: {first.seconds:.1f} s", loaded.report, first.began, first.ended)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _line(loaded: Loaded) -> str:
    report = loaded.report
    problems = ", ".join(f"{count} {problem}" for problem, count in sorted(report.problems.items())) or "0"
    rest, during = (part.quantile(0.99) * 1000 for part in (loaded.rest, loaded.during))
    latencies = " | ".join(
        "none answered" if math.isnan(number) else f"{number:.1f}{unit}"
        for number, unit in ((rest, " ms"), (during, " ms"), (during / rest, "x"))
    )
    return (
        f"| {loaded.contender} | {loaded.shape} | {len(loaded.switches)} | {len(report.samples)} | {problems} "
        f"| {report.late} | {loaded.wrong} | {latencies} | {report.own_lateness * 1000:.0f} ms |"
    )


_HEAD = """\
| contender | load | switches | requests | failed | late | wrong version | p99 at rest | during | ratio | sent late |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def results(
    ours: list[Loaded], others: list[Loaded], times: WallTimes, cached: Cached, *, rate: float, rounds: int
) -> str:
    """Return RESULTS.md."""
    acts = "\n".join(
        f"| {act} | {times.median(act):.2f} s | {times.ratio(act):.2f}x | {aim} |"
        for act, aim in {
            "floor": "",
            "plain": "",
            "deploy": "1.4x, aim 1.2x",
            "rollback": "1.2x",
            "no-op": "0.5x",
        }.items()
    )
    parts = "\n".join(f"| {name} | {seconds:.2f} s |" for name, seconds in times.parts.items() if seconds >= 0.005)
    return f"""\
# Results

Written by `nox -s bench`; every number is of this one run. {measuring.machine()}. The generator, Nginx, the app and the
deploy share these cores, so compare within the run, not with other machines.

## Requests

{rate:g} requests a second (a fifth of that for sevra-atlas), open loop, two replicas; for each load {rounds} deploys
and {rounds} rollbacks by Wharfinger. *Late*: more than 1 s after it was due (slow requests and uploads: beyond what
they take by nature). *Wrong version*: the old one answered a request that was sent after the switch was reported done.
*Sent late*: how late the generator sent 99 of 100 requests; beyond 50 ms its own numbers are not to be trusted.

{_HEAD}{chr(10).join(map(_line, ours))}

In the same run, the same app and Nginx by hand:

{_HEAD}{chr(10).join(map(_line, others))}

`kept`: keep-alive clients that look for a closed connection and never retry. `alone`: a connection a request.
`slow`: 1 of 25 takes 2 s. `uploads`: 1 of 50 sends 256 KiB in chunks over 1.6 s, in turn buffered by Nginx and
streamed. `websockets`: 50 sockets that live 3 to 5 s and are closed by the client. The app exits at once on SIGTERM.
`scaling`: from two replicas to three and back. `maintenance`: on and off; while it is on, a 503 with Retry-After is
right and any other answer a failure, but on the health path, which passes. `an idle container`: `docker run` of one
that does nothing, in no network, which is what starting any container costs those who are served beside it.

![Latency around the switch](switch.svg)

Blue: median, yellow: slowest answer of a tenth of a second; red: failures; shaded: while the command ran.

## Wall times

One web service of one replica, images built, no load; medians, and medians of each round's ratio to the floor.

| act | median | of the floor | wanted at most |
|---|---|---|---|
{acts}

Where a deploy's time goes (medians):

| part | time |
|---|---|
{parts}

## Micro-cache

Before an app that takes 10 ms: {cached.app * 1000:.1f} ms from the app, {cached.cache * 1000:.2f} ms from the cache, \
{cached.app / cached.cache:.0f}x (wanted: 10x). The slowest of 50 who asked for a cold key at once: \
{cached.cold * 1000:.0f} ms (wanted: under 500 ms).
"""


if __name__ == "__main__":
    sys.exit(main())
