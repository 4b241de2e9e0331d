"""Going back to an earlier release: its digests, rendered files and values together."""

from __future__ import annotations

from pathlib import PurePosixPath

from wharfinger.carrying_out import Consent, carry_out
from wharfinger.connecting import Server, at_once, connect_all
from wharfinger.console import Console
from wharfinger.errors import WharfingerError
from wharfinger.fleet import look
from wharfinger.model.release import Release
from wharfinger.model.stack import Stack
from wharfinger.planning import Plan
from wharfinger.planning.rollback import choose, plan_rollback
from wharfinger.planning.wanted import Wanted
from wharfinger.project import Place


def roll_back(place: Place, console: Console, *, to: str | None, consent: Consent) -> None:
    """Bring back the last good release before the current one, or the named one, health-gated.

    Raises UsageError where there is no such release, StepFailed (with the current one still serving) where it
    does not get healthy or does not verify.
    """
    with connect_all(place) as servers:
        layout = servers[0].layout
        paths = (layout.site, layout.live, layout.current / "site.conf")

        def make_plans() -> tuple[Plan, ...]:
            seen = look(servers, paths)
            release = choose(seen[0], to)
            wanted = at_once(lambda server: as_it_was(release, server), servers)
            return tuple(plan_rollback(one, observed, layout) for one, observed in zip(wanted, seen, strict=True))

        outcome = carry_out(make_plans, place, servers, console, consent)
        if not outcome.plan.steps:
            console.say(f"release {outcome.plan.release} already serves")
        elif not consent.plan_only:
            rows = [("release", outcome.plan.release), *outcome.rows, ("url", place.environment.url)]
            console.summary(rows, outcome.timings)


def as_it_was(release: Release, server: Server) -> Wanted:
    """Return a release as its directory on the server describes it, whatever the stack file says today."""
    place = server.place
    folder = server.layout.release(release.id)
    description = server.host.read(folder / "stack.json")
    if description is None:
        raise WharfingerError(
            f"{server.host.name}: {folder}/stack.json is missing",
            fix="invoke releases; choose another with --to",
        )
    stack = Stack.model_validate_json(description)
    environment = stack.environments[place.environment_name]
    return Wanted(
        stack=stack,
        # Where the server is to be found is not the release's to say.
        environment=environment.model_copy(
            update={"address": place.environment.address, "servers": place.environment.servers}
        ),
        release=release,
        files={},
        data_files={},
        edge_files={},
        site=server.host.read(PurePosixPath(folder / "site.conf")),
    )
