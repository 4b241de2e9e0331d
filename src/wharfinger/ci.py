"""The workflow that does in CI what people do at a prompt: the same tasks, in the same order."""

from __future__ import annotations

import difflib
from pathlib import PurePosixPath
from typing import Final

import wharfinger
from wharfinger.console import Console
from wharfinger.errors import InvalidInput, UsageError, WharfingerError
from wharfinger.hosts.files import write_atomically
from wharfinger.project import Place
from wharfinger.rendering.templates import Templates
from wharfinger.rendering.workflow import render_workflow

GITHUB: Final = PurePosixPath(".github/workflows/deploy.yaml")
_MODE: Final = 0o644


def github(source: Place, target: Place, console: Console, *, branch: str, check: bool, dry: bool) -> None:
    """Write the workflow: test, build, deploy to `source`, then promote to `target` once somebody approves.

    With `check` nothing is written, and WharfingerError is raised where the file differs. Raises InvalidInput where
    the two environments have no way to the same images.
    """
    if source.environment_name == target.environment_name:
        raise UsageError("--from and --to are the same environment", fix="--from staging --to production")
    if source.stack.registry is None and not set(target.environment.machines) <= set(source.environment.machines):
        raise InvalidInput(
            f"{source.stack.name} names no `registry`, and each job of CI runs on a machine of its own: "
            f"{target.environment_name}'s server could not fetch what {source.environment_name} runs",
            fix="name one in stack.yaml, such as `registry: ghcr.io/acme`",
        )
    text = render_workflow(
        source.stack,
        source.environment_name,
        target.environment_name,
        branch=branch,
        has_run=(source.project / "run").is_file(),
        version=wharfinger.__version__,
        templates=Templates.of(source.project),
    )
    path = source.project / GITHUB
    held = path.read_text(encoding="utf-8") if path.is_file() else ""
    if held == text:
        console.say(f"{GITHUB} is up to date")
        return
    if check:
        lines = difflib.unified_diff(
            held.splitlines(), text.splitlines(), f"{GITHUB}", f"{GITHUB} (wanted)", lineterm=""
        )
        console.data("\n".join(lines))
        raise WharfingerError(f"{GITHUB} differs from what the stack file says", fix="invoke ci.github")
    if not dry:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode(), _MODE)
    console.say(f"{'would write' if dry else 'wrote'} {GITHUB}")
