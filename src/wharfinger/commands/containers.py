"""Argument lists for `docker` about single containers; nothing here runs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def execute(container: str, command: Sequence[str], *, interactive: bool) -> tuple[str, ...]:
    """Run a command inside a container, with a terminal where `interactive`; it reads standard input in any case."""
    terminal = ("--tty",) if interactive else ()
    return ("docker", "exec", "--interactive", *terminal, container, *command)


def run_aside(
    image: str, command: Sequence[str], *, name: str, network: str, links: Iterable[str], variables: Iterable[str]
) -> tuple[str, ...]:
    """Run a command in a container of its own that leaves nothing behind; the engine must hold the image.

    `links` are CONTAINER:NAME as in Compose. The values of `variables` come from the process's environment.
    """
    return (
        *("docker", "run", "--rm", "--init", "--pull", "never", "--name", name, "--network", network),
        *(word for link in links for word in ("--link", link)),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *(word for variable in variables for word in ("--env", variable)),
        *(image, *command),
    )
