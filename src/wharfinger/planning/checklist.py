"""Which checks a release is held against, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wharfinger.facts import Observed
from wharfinger.health import Address
from wharfinger.model.checks import AnyCheck, Check, LatencyCheck
from wharfinger.model.environment import Environment
from wharfinger.model.stack import Stack
from wharfinger.model.values import seconds
from wharfinger.steps.verify import CheckMigrations, Measure, Verify


def address_of(environment: Environment, observed: Observed) -> Address:
    """Return the public address of an environment, and what it answers to while under maintenance.

    It is reached without asking DNS where this machine is the server, or the environment says where that is.
    """
    return Address(
        url=environment.url,
        host=environment.domain,
        connect_to=environment.address or ("127.0.0.1" if environment.is_local else environment.domain),
        port=environment.http_port if environment.tls is None else environment.https_port,
        tls=environment.tls is not None,
        token=observed.maintenance.token if observed.maintenance is not None else None,
        trust=observed.trust,
    )


def migration_checks(stack: Stack, release: str) -> Iterator[CheckMigrations]:
    """Yield the step that asks whether the database is at the release's schema, where the stack can tell."""
    if stack.migrate is not None and stack.migrate.check:
        yield CheckMigrations(release, stack.migrate.check, timeout=seconds(stack.migrate.timeout))


def measurements(stack: Stack, environment: Environment, release: str, observed: Observed) -> Iterator[Measure]:
    """Yield the step that times the release which serves, where the new one will be held against it."""
    timed = [check.latency for check in checks_of(stack) if isinstance(check, LatencyCheck)]
    if timed:
        samples = {latency.path: latency.samples for latency in timed if latency.path is not None}
        yield Measure(release, address_of(environment, observed), samples)


def verification(
    stack: Stack,
    environment: Environment,
    release: str,
    expected: Mapping[str, int],
    observed: Observed,
    *,
    without: tuple[type[AnyCheck], ...] = (),
) -> Verify:
    """Return the step that goes through the checklist, `without` checks of some kinds."""
    checks = tuple(check for check in checks_of(stack) if not isinstance(check, without))
    address = address_of(environment, observed) if stack.site is not None else None
    restarts = {container.id: container.restarts for container in observed.tiers.get(release, ()) if container.restarts}
    return Verify(release, address, checks, expected, restarts)


def checks_of(stack: Stack) -> tuple[AnyCheck, ...]:
    """Return the checklist, with the health path where the stack file leaves it to that."""
    if stack.site is None:
        return tuple(check for check in stack.checks if not isinstance(check, (Check, LatencyCheck)))
    asks = any(isinstance(check, Check) for check in stack.checks)
    default = () if asks else (Check(path=stack.site.health),)
    return (*default, *(_with_path(check, stack.site.health) for check in stack.checks))


def _with_path(check: AnyCheck, health: str) -> AnyCheck:
    if isinstance(check, LatencyCheck) and check.latency.path is None:
        return LatencyCheck(latency=check.latency.model_copy(update={"path": health}))
    return check
