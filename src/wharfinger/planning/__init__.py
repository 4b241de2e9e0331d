"""Deciding what to do: pure functions from what is observed and wanted to a plan."""

from __future__ import annotations

from dataclasses import dataclass, field

from wharfinger.model.stack import Stack
from wharfinger.steps import Step


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered steps from what is observed to what is wanted; no steps where nothing differs."""

    action: str
    """The task that carries it out: `deploy`, `promote`, `rollback`, `recover`, `scale`, `restart` or `maintenance`."""
    release: str
    """The release that will serve."""
    steps: tuple[Step, ...]
    reasons: tuple[str, ...]
    """Why it is not empty, in the words of the user."""
    serving: str
    """What serves if it fails."""
    warnings: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    """How the files of the release differ from those of the current one, as lines of a unified diff."""
    on_failure: tuple[Step, ...] = ()
    """What is run once a failure has been undone; none of it can hide that failure."""
    details: tuple[str, ...] = ()
    """What else is to be known before it is agreed to, a line each."""
    ignored: tuple[str, ...] = ()
    """Files that changed since the current release, of those whose change is no reason to deploy."""
    stack: Stack | None = field(default=None, repr=False)
    """The stack file that its steps go by, where that is the release's own and not today's."""
