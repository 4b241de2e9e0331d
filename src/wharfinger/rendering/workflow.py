"""The GitHub Actions workflow of a stack: what goes into it is decided here; `templates/github.yaml.j2` lays it out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wharfinger.model.interpolation import references
from wharfinger.model.stack import Stack
from wharfinger.rendering.templates import Templates

TEMPLATE: Final = "github.yaml.j2"
_NOT_PLAIN: Final = re.compile(r":\s| #|[^ -~]")
_HOSTED: Final = "ubuntu-24.04"


@dataclass(frozen=True, slots=True)
class EnvironmentView:
    """One environment as a job sees it; `values` are variables, each with the expression that gives it."""

    name: str
    url: str
    runner: str
    is_remote: bool
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """Everything that the template lays out."""

    stack: str
    branch: str
    condition: str
    run: str
    """The command that runs a task."""
    install: str | None
    """The command that installs it; None: the checkout has it."""
    tests: tuple[str, ...]
    registry: str | None
    """Where to log in; None: images go straight to the server."""
    first: EnvironmentView
    last: EnvironmentView


def render_workflow(
    stack: Stack, first: str, last: str, *, branch: str, has_run: bool, version: str, templates: Templates
) -> str:
    """Return the workflow that tests, builds, deploys to `first` and, once approved, promotes to `last`.

    `has_run` says whether the checkout has our `./run`; without it `version` of Wharfinger is installed.
    """
    run = "./run" if has_run else "wharfinger"
    tests = ("./run test",) if has_run else tuple(_proofs(run, stack, (first, last)))
    view = WorkflowView(
        stack=stack.name,
        branch=branch,
        condition=f"github.event_name != 'pull_request' && github.ref == 'refs/heads/{branch}'",
        run=run,
        install=None if has_run else f"pip install wharfinger=={version}",
        tests=tests,
        registry=stack.registry.partition("/")[0] if stack.registry is not None else None,
        first=_environment(stack, first),
        last=_environment(stack, last),
    )
    return templates.render(TEMPLATE, view=view, expression=_expression)


def _expression(text: str) -> str:
    written = f"${{{{ {text} }}}}"
    return json.dumps(written, ensure_ascii=False) if _NOT_PLAIN.search(written) else written


def _proofs(run: str, stack: Stack, environments: tuple[str, str]) -> Iterator[str]:
    yield f"{run} env.example --check"
    yield from (f"{run} render --stack {stack.name} --env {name}" for name in environments)


def _environment(stack: Stack, name: str) -> EnvironmentView:
    environment = stack.environments[name]
    return EnvironmentView(
        name=name,
        url=environment.url,
        runner=f"[self-hosted, {name}]" if environment.is_local else _HOSTED,
        is_remote=not environment.is_local,
        values=tuple(_values(stack, name)),
    )


def _values(stack: Stack, environment: str) -> Iterator[tuple[str, str]]:
    """Yield every variable that GitHub is to give, by the same name: secrets as such, the rest as variables.

    One whose default refers to others makes itself; one with a plain default keeps it where GitHub has none.
    """
    contract = stack.env.within(environment)
    for name in contract:
        variable = contract[name]
        store = "secrets" if contract.is_secret(name) else "vars"
        if variable.default is None:
            yield name, f"{store}.{name}"
        elif not references(variable.default):
            default = variable.default.replace("$$", "$").replace("'", "''")
            yield name, f"{store}.{name} || '{default}'"
