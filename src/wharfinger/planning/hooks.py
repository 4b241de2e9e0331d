"""Which commands of the stack's own surround a deploy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wharfinger.model.environment import Environment
from wharfinger.model.hooks import Hook
from wharfinger.model.stack import Stack
from wharfinger.model.values import seconds
from wharfinger.steps import Step
from wharfinger.steps.hooks import AfterHook, BeforeHook, FailureHook


def before(stack: Stack, environment: Environment, release: str) -> Iterator[Step]:
    """Yield what must succeed before the backup and the migration."""
    return _steps(BeforeHook, stack.hooks.before_deploy, environment, release)


def after(stack: Stack, environment: Environment, release: str) -> Iterator[Step]:
    """Yield what is run once the release counts."""
    return _steps(AfterHook, stack.hooks.after_deploy, environment, release)


def on_failure(stack: Stack, environment: Environment, release: str) -> Iterator[Step]:
    """Yield what is run once a failed deploy has been undone."""
    return _steps(FailureHook, stack.hooks.on_failure, environment, release)


def _steps(kind: type[BeforeHook], hooks: Iterable[Hook], environment: Environment, release: str) -> Iterator[Step]:
    for hook in hooks:
        yield kind(release, environment.url, hook.command, hook.service, timeout=seconds(hook.timeout))
