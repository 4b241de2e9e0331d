"""The `wharfinger` command: the same tasks as `invoke`, from any folder of a project."""

from __future__ import annotations

from invoke.program import Program

from wharfinger import __version__
from wharfinger.tasks import namespace


def main() -> None:
    """Run the tasks that the command line names, and exit with their code."""
    Program(name="Wharfinger", binary="wharfinger", version=__version__, namespace=namespace).run()
