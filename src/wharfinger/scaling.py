"""Changing what runs of the release that serves, without a dropped request: how many replicas, or new ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from wharfinger.carrying_out import Consent, Outcome, carry_out
from wharfinger.connecting import Server, connect_all
from wharfinger.console import Console
from wharfinger.errors import UsageError
from wharfinger.facts import Observed
from wharfinger.fleet import look
from wharfinger.model.release import Layout
from wharfinger.planning import Plan
from wharfinger.planning.recovery import scale_after
from wharfinger.planning.replicas import plan_restart, plan_scale, refuse_unserved
from wharfinger.planning.wanted import Wanted
from wharfinger.project import Place
from wharfinger.rolling_back import as_it_was

RESET: Final = "reset"
"""The word that forgets what was scaled."""
_LARGEST: Final = 64


def scale(place: Place, console: Console, counts: str, *, consent: Consent) -> None:
    """Run as many replicas as `counts` says (`api=3,worker=2`, or `reset`), now and in every later deploy.

    Raises UsageError for what it cannot mean, StepFailed with the replicas of before still serving.
    """
    changes = None if counts == RESET else counts_from(counts)

    def make_plan(wanted: Wanted, observed: Observed, layout: Layout) -> Plan:
        kept = {} if changes is None else {**scale_after(observed), **changes}
        return plan_scale(wanted, observed, layout, kept)

    outcome = _carry_out(place, console, make_plan, consent)
    if not outcome.plan.steps:
        console.say(f"release {outcome.plan.release} runs at that scale already")


def restart(place: Place, console: Console, services: Collection[str], *, consent: Consent) -> None:
    """Start every replica anew, healthy before an old one stops; or only those of services that get no traffic.

    Raises UsageError for a service that there is not, StepFailed with the old replicas still serving.
    """

    def make_plan(wanted: Wanted, observed: Observed, layout: Layout) -> Plan:
        return plan_restart(wanted, observed, layout, services)

    _carry_out(place, console, make_plan, consent)


def counts_from(text: str) -> dict[str, int]:
    """Return what `SERVICE=COUNT,…` says; raises UsageError."""
    return dict(_pairs(text))


def _pairs(text: str) -> Iterator[tuple[str, int]]:
    for word in text.split(","):
        service, _, count = word.strip().partition("=")
        if not service or not count.isascii() or not count.isdigit() or not 1 <= int(count) <= _LARGEST:
            raise UsageError(
                f"`{word}` is not SERVICE=COUNT, with a count from 1 to {_LARGEST}",
                fix=f"such as `api=3`, `api=3,worker=2`, or `{RESET}` for what the stack file says",
            )
        yield service, int(count)


def _carry_out(
    place: Place, console: Console, make: Callable[[Wanted, Observed, Layout], Plan], consent: Consent
) -> Outcome:
    with connect_all(place) as servers:
        layout = servers[0].layout
        paths = (layout.site, layout.live, layout.current / "site.conf")

        def make_plans() -> tuple[Plan, ...]:
            seen = look(servers, paths)
            return tuple(
                make(_serving(server, observed), observed, layout)
                for server, observed in zip(servers, seen, strict=True)
            )

        outcome = carry_out(make_plans, place, servers, console, consent)
        if outcome.timings:
            now = look(servers, paths)[0]
            serving = _serving(servers[0], now)
            replicas: Mapping[str, int] = serving.expected(now.scale)
            each = " on each server" if len(servers) > 1 else ""
            counts = ((name, f"{count} running{each}") for name, count in replicas.items())
            rows = [("release", serving.release.id), *counts]
            console.summary([*rows, *outcome.rows, ("url", place.environment.url)], outcome.timings)
        return outcome


def _serving(server: Server, observed: Observed) -> Wanted:
    """Return what serves on a server; raises UsageError where nothing does."""
    place = server.place
    serves = refuse_unserved(observed, with_site=place.stack.site is not None, environment=place.environment_name)
    release = observed.release(serves)
    if release is None:
        raise UsageError(
            f"release {serves} has no readable record", fix=f"invoke deploy --env {place.environment_name}"
        )
    return as_it_was(release, server)
