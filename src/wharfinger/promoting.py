"""Bringing what one environment verified to another: the same images by digest, nothing is built."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping
from typing import Final

from wharfinger import assets, ports, preparing
from wharfinger.carrying_out import Consent
from wharfinger.commands import containers
from wharfinger.connecting import Server, at_once, connect_all
from wharfinger.console import Console
from wharfinger.console import Step as Shown
from wharfinger.deploying import begin, bring, sum_up, want
from wharfinger.errors import BuildFailed, CommandFailed, UsageError, WharfingerError
from wharfinger.facts import Observed, observe
from wharfinger.hosts.local import LocalHost
from wharfinger.model.release import Release
from wharfinger.model.stack import Postgres, Stack
from wharfinger.model.values import seconds
from wharfinger.planning import Plan, promotion
from wharfinger.planning.promotion import Candidate
from wharfinger.project import Place
from wharfinger.rendering.services import data_name
from wharfinger.rolling_back import as_it_was
from wharfinger.settings import Settings

_REMOVE_WITHIN: Final = 30.0


def promote(
    source: Place, target: Place, console: Console, *, release: str | None, consent: Consent, from_environ: bool
) -> None:
    """Bring the release that serves in `source`, and was verified there, to `target`: the same digests, nothing built.

    What it changes is shown before it is agreed to; then it goes the way of every deploy. Raises UsageError where
    another release than `release` serves, WharfingerError where what serves is unverified, too old or not what its
    record says.
    """
    if source.environment_name == target.environment_name:
        raise UsageError("--from and --to are the same environment", fix="--from staging --to production")
    candidate = _candidate(source, release, within=seconds(target.stack.deploy.promote_within))
    if changed := promotion.sections_that_differ(candidate.stack, target.stack):
        console.warn(
            f"stack.yaml differs from what {source.environment_name} runs in: {', '.join(changed)}; "
            f"{target.environment_name} gets what {source.environment_name} runs"
        )
    place = dataclasses.replace(target, stack=promotion.taken_over(candidate.stack, target.stack))
    settings = preparing.values_of(place, console, from_environ=from_environ)
    images = candidate.images
    with connect_all(place) as servers:
        engine_version, releases = begin(servers)
        with console.steps(("check", "images", "migrations")) as steps:
            preparing.ensure_stock(place, console, steps, building=False)
            with steps.step("check"):
                ports.refuse_clashes(place)
                preparing.check(place, images, engine_version)
            with steps.step("images") as shown:
                for server in servers:
                    _make_reachable(place, server, images, shown)
            with steps.step("migrations"):
                migrations = tuple(_migrations(place, servers[0], settings, images, may_pull=not consent.plan_only))
        wanted = want(place, settings, images, engine_version, servers, releases, promoted=candidate.release)

        def describe(plan: Plan, observed: Observed) -> Plan:
            return promotion.as_promotion(plan, candidate, wanted, observed, servers[0].layout, migrations)

        outcome = bring(wanted, place, servers, console, consent, describe=describe)
    sum_up(outcome, place, images, console, consent, steps.timings)


def _candidate(source: Place, named: str | None, *, within: float) -> Candidate:
    """Return what serves in an environment, once nothing speaks against promoting it."""
    with connect_all(source) as servers:
        found = at_once(lambda server: _candidate_on(server, named, within=within), servers)
    if len({one.release.id for one in found}) > 1:
        told = ", ".join(f"{one.release.id} on {server.host.name}" for one, server in zip(found, servers, strict=True))
        raise WharfingerError(
            f"{source.environment_name} serves different releases: {told}",
            fix=f"invoke deploy --env {source.environment_name}",
        )
    return found[0]


def _candidate_on(server: Server, named: str | None, *, within: float) -> Candidate:
    source = server.place
    observed = observe(server.host, server.engine, server.edge, server.layout, ())
    release = promotion.choose(observed, source.environment_name, named)
    was = as_it_was(release, server)
    promotion.refuse_old(release, _age(release), within)
    promotion.refuse_idle(release, was.stack, observed, was.expected(observed.scale))
    references = {release.images.get(image, image) for image in _images_of(was.stack)}
    known = {reference: server.engine.image_id(reference) for reference in references}
    promotion.refuse_moved(release, was.stack, observed, known)
    return Candidate(was.stack, release, _by_digest(was.stack, release, server))


def _age(release: Release) -> float:
    """Return how many seconds ago a release was verified."""
    then = datetime.datetime.fromisoformat(release.succeeded or release.created)
    return (datetime.datetime.now(datetime.UTC) - then).total_seconds()


def _images_of(stack: Stack) -> tuple[str, ...]:
    """Return every image of the app tier, as the stack file names it."""
    once = [job.image for job in (stack.migrate, stack.seed) if job is not None]
    return tuple(dict.fromkeys((*(service.image for service in stack.services.values()), *once)))


def _by_digest(stack: Stack, release: Release, server: Server) -> dict[str, str]:
    """Return the release's images by digest, those that are not built here too: a tag may move before it is pulled."""
    found = dict(release.images)
    for image in _images_of(stack):
        if image not in found:
            found[image] = promotion.by_digest(image, server.engine.names_of(image))
    return found


def _make_reachable(place: Place, server: Server, images: Mapping[str, str], shown: Shown) -> None:
    """See to it that the server can pull what it lacks; raises BuildFailed where the registry no longer has it."""
    missing = {name: image for name, image in images.items() if not server.engine.has_image(image)}
    ours = [image for name, image in missing.items() if place.stack.image_is_built(name)]
    if ours:
        registry = preparing.registry_of(place)
        registry.ensure_running(LocalHost(), assets.folder("compose"))
        for image in ours:
            repository, _, digest = image.partition("@")
            if registry.digest(repository, digest) is None:
                raise BuildFailed(
                    f"{registry.host} no longer holds {image}, nor does {server.host.name}",
                    fix="promote from the machine that built it, or name a `registry` that both reach in stack.yaml",
                )
    shown.conclude(f"{len(missing)} to fetch" if missing else "all there")


def _migrations(
    place: Place, server: Server, settings: Settings, images: Mapping[str, str], *, may_pull: bool
) -> Iterator[str]:
    """Yield what the promoted release would do to the database, as its own commands tell; they change nothing."""
    migrate = place.stack.migrate
    if migrate is None:
        return
    image = images.get(migrate.image, migrate.image)
    ready = {container.service for container in server.engine.project(place.target.name) if container.is_ready}
    if not ready.issuperset(place.stack.data):
        yield "migrations: all of them, into new databases"
        return
    if not migrate.check and not migrate.pending:
        yield "migrations: `migrate` runs; with `migrate.pending` in stack.yaml it would be told what that means"
        return
    if not server.engine.has_image(image):
        if not may_pull:
            yield "migrations: not known until the image has been fetched, which a plan does not do"
            return
        server.engine.pull(image, moved=lambda _done, _all: None)
    if migrate.check and _ask(place, server, settings, image, migrate.check)[0] == 0:
        yield "migrations: none, the database is at head"
        return
    status, lines = _ask(place, server, settings, image, migrate.pending) if migrate.pending else (0, ())
    if status != 0:
        yield f"migrations: not known; `migrate.pending` exited {status}"
    elif migrate.pending:
        yield f"migrations: {len(lines)} to run"
        yield from (f"  {line}" for line in lines)
    else:
        yield "migrations: some, the database is behind"


def _ask(
    place: Place, server: Server, settings: Settings, image: str, command: tuple[str, ...]
) -> tuple[int, tuple[str, ...]]:
    """Run one of the migration's questions beside whatever serves; return its exit status and its lines."""
    target, stack = place.target, place.stack
    migrate = stack.migrate
    assert migrate is not None  # noqa: S101 - callers ask first
    edge = place.environment.edge
    ours = any(isinstance(service, Postgres) for service in stack.data.values())
    values = {name: settings.values[name] for name in settings.for_service("migrate")}
    name = f"{target.name}-asks"
    argv = containers.run_aside(
        image,
        command,
        name=name,
        network=target.data_network if ours else "bridge" if edge.is_host else edge.project,
        links=[f"{data_name(target, service)}:{service}" for service in stack.data] if ours else (),
        variables=values,
    )
    try:
        done = server.host.run(argv, timeout=seconds(migrate.timeout), env=values, check=False)
    except CommandFailed:  # what was ended is only the client
        server.host.run(("docker", "rm", "--force", name), timeout=_REMOVE_WITHIN, check=False)
        raise
    return done.status, tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
