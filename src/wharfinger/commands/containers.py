"""Argument lists for `docker` about single containers; nothing here runs them."""

from __future__ import annotations

from collections.abc import Sequence


def execute(container: str, command: Sequence[str], *, interactive: bool) -> tuple[str, ...]:
    """Run a command inside a container, with a terminal where `interactive`; it reads standard input in any case."""
    terminal = ("--tty",) if interactive else ()
    return ("docker", "exec", "--interactive", *terminal, container, *command)
