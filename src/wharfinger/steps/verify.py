"""The proof that a release serves, through the address that users have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wharfinger import health
from wharfinger.console import Step as Shown
from wharfinger.errors import StepFailed
from wharfinger.model.stack import Check
from wharfinger.steps import World


@dataclass(frozen=True, slots=True)
class Verify:
    """Ask the public address, and compare its answers with the release's checks."""

    address: health.Address
    checks: tuple[Check, ...]
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"verify {self.address.url}"

    def run(self, world: World, shown: Shown) -> None:
        """Run every check; all that fail are named together."""
        failures = []
        for check in self.checks:
            shown.note(f"{check.method} {check.path}")
            problem = health.failure(self.address, check)
            if problem is not None:
                failures.append(f"{check.method} {check.path}: {problem}")
        if failures:
            raise StepFailed(
                f"{self.address.url} does not answer as `checks` expects",
                details=failures,
                fix="mend the app, or the expectation in stack.yaml",
            )

    def undo(self, world: World) -> None:
        """Nothing: it only asks."""
