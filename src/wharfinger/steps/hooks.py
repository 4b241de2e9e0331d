"""Commands of the stack's own around a deploy, on the operator's machine or in a container of the new release."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from wharfinger.console import Step as Shown
from wharfinger.errors import CommandFailed, StepFailed
from wharfinger.hosts import Completed
from wharfinger.steps import World

_LINES_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class BeforeHook:
    """Run a command before anything serves or migrates; where it fails, the deploy ends."""

    release: str
    url: str
    command: tuple[str, ...]
    service: str | None
    """Whose container it runs in; None: the machine and folder that are deployed from."""
    timeout: float
    tidies: ClassVar[bool] = False
    when: ClassVar[str] = "before_deploy"

    @property
    def title(self) -> str:
        """What it does."""
        where = f" in {self.service}" if self.service else ""
        return f"{self.when}{where}: {' '.join(self.command)}"

    def run(self, world: World, shown: Shown) -> None:
        """Run it to its end; what it printed last is shown, and kept out of the journal."""
        try:
            done = self._completed(world, shown)
        except CommandFailed as error:
            raise StepFailed(f"it did not end within {self.timeout:g} s", fix=_MEND) from error
        lines = [line for line in (*done.stdout.splitlines(), *done.stderr.splitlines()) if line.strip()]
        if done.status != 0:
            raise StepFailed(f"it exited {done.status}", details=lines[-_LINES_SHOWN:], fix=_MEND)
        if lines:
            shown.conclude(lines[-1])

    def _completed(self, world: World, shown: Shown) -> Completed:
        if self.service is not None:
            command, timeout = self.command, self.timeout
            return world.runtime.run_once(self.release, self.service, command, timeout=timeout, note=shown.note)
        target = world.layout.target
        told = {"STACK": target.stack, "ENVIRONMENT": target.environment, "RELEASE": self.release, "URL": self.url}
        return world.here.run(
            ("env", "-C", str(world.source), *self.command),
            timeout=self.timeout,
            env={f"WHARFINGER_{name}": value for name, value in told.items()},
            check=False,
            on_line=shown.note,
        )

    def undo(self, world: World) -> None:
        """Nothing: what it did is its own, and `on_failure` is where to mend it."""


@dataclass(frozen=True, slots=True)
class AfterHook(BeforeHook):
    """Run a command once the new release counts; where it fails, that is a warning."""

    tidies: ClassVar[bool] = True
    when: ClassVar[str] = "after_deploy"


@dataclass(frozen=True, slots=True)
class FailureHook(BeforeHook):
    """Run a command once a failed deploy has been undone."""

    tidies: ClassVar[bool] = True
    when: ClassVar[str] = "on_failure"


_MEND: Final = "correct the command, or `hooks` in stack.yaml"
