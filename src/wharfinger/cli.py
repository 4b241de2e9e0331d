"""The `wharfinger` command: the same tasks as `invoke`, from any folder of a project."""

from __future__ import annotations

from pathlib import Path

from invoke.program import Program

from wharfinger import __version__
from wharfinger.tasks import namespace


class _Wharfinger(Program):
    """Invoke with our tasks, and with the settings of the project that the user is in."""

    def parse_collection(self) -> None:
        """Load the project's invoke.yaml, which Invoke passes over when it is given its tasks."""
        super().parse_collection()
        here = Path.cwd()
        project = next((folder for folder in (here, *here.parents) if (folder / "stacks").is_dir()), here)
        self.config.set_project_location(str(project))
        self.config.load_project()


def main() -> None:
    """Run the tasks that the command line names, and exit with their code."""
    _Wharfinger(name="Wharfinger", binary="wharfinger", version=__version__, namespace=namespace).run()
