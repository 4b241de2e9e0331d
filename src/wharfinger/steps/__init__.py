"""Steps: frozen verbs, each with an effect on a server and, where it has one, its undo.

`undo` is called for a step that was done, and for one that failed or was killed half-way: it must bear both, and
being called twice. A step keeps what must not reach the journal (contents, secrets) in fields with `repr=False`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from wharfinger.console import Step as Shown
from wharfinger.edges import AnyEdge
from wharfinger.hosts import Host
from wharfinger.hosts.local import LocalHost
from wharfinger.model.release import Layout
from wharfinger.model.stack import Stack
from wharfinger.runtimes import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What steps act on: one environment of a stack on its server."""

    stack: Stack
    host: Host
    runtime: Runtime
    edge: AnyEdge
    layout: Layout
    here: Host = field(default_factory=LocalHost)
    """The machine that is deployed from."""
    source: Path = Path()
    """The stack's folder on it."""


class Step(Protocol):
    """One verb of a plan."""

    tidies: ClassVar[bool]
    """Whether it only tidies up after the new release counts, so that its failure undoes nothing."""

    @property
    def title(self) -> str:
        """What it does, as the step list shows it."""

    def run(self, world: World, shown: Shown) -> None:
        """Do it."""

    def undo(self, world: World) -> None:
        """Bring back what was before, as far as there is a before to bring back."""


def recorded(step: Step) -> dict[str, Any]:
    """Return a step's verb and the fields that a journal may hold."""
    assert dataclasses.is_dataclass(step)  # noqa: S101 - every step is one
    fields = {field.name: getattr(step, field.name) for field in dataclasses.fields(step) if field.repr}
    return {"verb": type(step).__name__, **fields}
