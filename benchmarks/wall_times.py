"""Wall times: of a deploy, a rollback and a no-op against the floor and plain Compose, and where a deploy's go."""

from __future__ import annotations

import datetime
import json
import statistics
from dataclasses import dataclass
from typing import Final

from tests.integration.deployments import docker

from benchmarks.contenders import Floor, PlainCompose, Timed, Wharfinger, timed
from benchmarks.measuring import by_hand, ours

_ROUNDED: Final = 0.001  # the journal's times are cut to the millisecond


@dataclass(frozen=True)
class WallTimes:
    """Seconds of each act, all taken in turn so that a busy machine hits all alike; and where a deploy's went."""

    seconds: dict[str, list[float]]
    parts: dict[str, float]

    def median(self, act: str) -> float:
        """Return an act's median."""
        return statistics.median(self.seconds[act])

    def ratio(self, act: str) -> float:
        """Return the median of an act's ratio to the floor of the same round."""
        pairs = zip(self.seconds[act], self.seconds["floor"], strict=True)
        return statistics.median(mine / floor for mine, floor in pairs)


def measure(registry: str, rounds: int) -> WallTimes:
    """Time deploys of one web service at rest, with the images built."""
    acts: dict[str, list[float]] = {act: [] for act in ("floor", "deploy", "rollback", "no-op", "plain")}
    parts: list[dict[str, float]] = []
    with ours(registry, 1, rounds + 1) as subject:
        images = {f"v{number}": subject.build(f"v{number}") for number in range(2)}
        subject.choose("v0")
        with by_hand(Floor, images, 1) as floor, by_hand(PlainCompose, images, 1) as plain:
            for number in range(1, rounds + 1):
                other = f"v{number % 2}"
                acts["floor"].append(timed(lambda: floor.put(other)).seconds)  # noqa: B023 - called at once
                done = timed(lambda: subject.put(f"v{number}"))  # noqa: B023
                acts["deploy"].append(done.seconds)
                parts.append(_parts(subject, done))
                acts["no-op"].append(timed(lambda: subject.put(f"v{number}")).seconds)  # noqa: B023
                acts["rollback"].append(timed(subject.back).seconds)
                acts["plain"].append(timed(lambda: plain.put(other)).seconds)  # noqa: B023
    names = dict.fromkeys(name for part in parts for name in part)
    return WallTimes(acts, {name: statistics.median(part.get(name, 0.0) for part in parts) for name in names})


def _parts(subject: Wharfinger, done: Timed) -> dict[str, float]:
    """Return where a deploy's seconds went, as its journal, the engine, and its own start and end tell."""
    newest = max((subject.deployment.server / "journal").glob("*-deploy.jsonl"))
    lines = [json.loads(line) for line in newest.read_text(encoding="utf-8").splitlines()]
    at = [datetime.datetime.fromisoformat(line["at"]).timestamp() for line in lines]
    found = {
        "before the first step": at[0] - done.began,
        "… of it Python starts and imports": timed(subject.only_start).seconds,
    }
    began = at[0]
    for line, moment in zip(lines, at, strict=True):
        if line["event"] == "started":
            began = moment
        elif line["event"] == "done":
            found[line["verb"]] = found.get(line["verb"], 0.0) + moment - began
            if line["verb"] == "StartApp":
                found |= _parts_of_start(subject, began, moment)
    found["sum up and exit"] = done.ended - at[-1]
    return found


def _parts_of_start(subject: Wharfinger, began: float, ended: float) -> dict[str, float]:
    """Return how long Compose took to ask for a container, Docker to start it, and the app to be known healthy."""
    label = f"label=org.wharfinger.stack={subject.deployment.name}"
    wanted = ("type=container", label, "event=create", "event=start", "event=health_status")
    filters = (word for each in wanted for word in ("--filter", each))
    span = ("--since", f"{began:.6f}", "--until", f"{ended + _ROUNDED:.6f}")
    events = docker("events", *span, *filters, "--format", "{{.TimeNano}} {{.Action}}").splitlines()
    at = {action: int(nanoseconds) / 1e9 for nanoseconds, _, action in (line.partition(" ") for line in events)}
    created, started, healthy = at["create"], at["start"], at["health_status: healthy"]
    return {
        "… of it Compose, until it creates the container": created - began,
        "… of it Docker, until it runs": started - created,
        "… of it the app (0.9 s), until Docker finds it healthy": healthy - started,
    }
