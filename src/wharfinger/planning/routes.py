"""When the foreign routes of an environment change; they are no part of a release."""

from __future__ import annotations

from collections.abc import Iterator

from wharfinger.facts import Observed
from wharfinger.model.environment import Environment
from wharfinger.model.release import Layout
from wharfinger.planning.changes import file_changes
from wharfinger.planning.recovery import routes_in_doubt
from wharfinger.steps.edge import PutRoutes


def route_reasons(wanted: bytes | None, observed: Observed, layout: Layout) -> tuple[str, ...]:
    """Return that foreign routes changed, where they did; `wanted` is their Nginx file."""
    return ("foreign routes changed",) if _differ(wanted, observed, layout) else ()


def route_changes(wanted: bytes | None, observed: Observed, layout: Layout) -> tuple[str, ...]:
    """Return how they differ, as lines of a unified diff."""
    return file_changes({"routes.conf": observed.files.get(layout.routes)}, {"routes.conf": wanted or b""}, ())


def route_steps(
    wanted: bytes | None, environment: Environment, observed: Observed, layout: Layout
) -> Iterator[PutRoutes]:
    """Yield the step that changes them, where they are to change or may never have been tested."""
    if _differ(wanted, observed, layout):
        yield PutRoutes(tuple(route.domain for route in environment.edge.routes), wanted)


def _differ(wanted: bytes | None, observed: Observed, layout: Layout) -> bool:
    in_doubt = routes_in_doubt(observed) and wanted is not None
    return observed.files.get(layout.routes) != wanted or in_doubt
