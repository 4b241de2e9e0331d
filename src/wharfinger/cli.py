"""The `wharfinger` command: the same tasks as `invoke`, from any folder of a project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from wharfinger import __version__
from wharfinger.errors import UsageError
from wharfinger.tasks import namespace
from wharfinger.tasks.running import console


class _Wharfinger(Program):
    """Invoke with our tasks, and with the settings of the project that the user is in."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Read the words that are for Invoke itself; exits 2 for what it does not understand."""
        with _told():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """Read the tasks and their flags; exits 2 for what there is not."""
        with _told():
            super().parse_tasks()

    def parse_collection(self) -> None:
        """Load the project's invoke.yaml, which Invoke passes over when it is given its tasks."""
        super().parse_collection()
        here = Path.cwd()
        project = next((folder for folder in (here, *here.parents) if (folder / "stacks").is_dir()), here)
        self.config.set_project_location(str(project))
        self.config.load_project()


@contextmanager
def _told() -> Iterator[None]:
    """Tell a command line that cannot be understood as every other error is told."""
    try:
        yield
    except ParseError as error:
        wrong = UsageError(str(error), fix="wharfinger --list shows the tasks; wharfinger --help TASK its flags")
        console().error(wrong)
        raise Exit(code=wrong.exit_code) from None


def main() -> None:
    """Run the tasks that the command line names, and exit with their code."""
    _Wharfinger(name="Wharfinger", binary="wharfinger", version=__version__, namespace=namespace).run()
