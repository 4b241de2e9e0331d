"""A deploy, from the stack file to a verified release; see ARCHITECTURE.md §5."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from typing import Final

from wharfinger import certifying, dotenv, ports, preparing
from wharfinger.builds.building import revision
from wharfinger.carrying_out import Consent, Outcome, carry_out, now
from wharfinger.connecting import Server, at_once, connect_all
from wharfinger.console import Console
from wharfinger.engine import OLDEST
from wharfinger.errors import NotReady, WharfingerError
from wharfinger.facts import Observed, in_the_background
from wharfinger.fleet import look
from wharfinger.hosts import File
from wharfinger.model.release import RELEASE_ID, Release
from wharfinger.planning import Plan
from wharfinger.planning.deploy import plan_deploys
from wharfinger.planning.wanted import Wanted, paths_written
from wharfinger.project import Place
from wharfinger.rendering.release import render
from wharfinger.settings import Settings

_ID: Final = "%Y%m%d%H%M%S"
_MINIMUM_FREE: Final = 512 << 20


def deploy(
    place: Place, console: Console, *, consent: Consent, from_environ: bool, no_cache: bool, seeded: bool = False
) -> None:
    """Bring what the stack describes to its servers, or say that it is there already.

    All that can fail without touching a server fails first; where `seeded`, new databases are seeded too. Raises
    WharfingerError, with the old release serving.
    """
    settings = preparing.values_of(place, console, from_environ=from_environ)
    with connect_all(place) as servers:
        engine_version, releases = begin(servers)
        with console.steps(("check", "build and push")) as steps:
            preparing.ensure_stock(place, console, steps)
            with steps.step("check"):
                ports.refuse_clashes(place)
                preparing.check(place, preparing.tags_of(place), engine_version)
            if consent.plan_only:
                images = preparing.images_known(place)
                steps.skip("build and push", "only a plan")
            else:
                with steps.step("build and push") as shown:
                    images = preparing.images_pushed(place, shown, no_cache=no_cache)
        wanted = dataclasses.replace(
            want(place, settings, images, engine_version, servers, releases, touch=not consent.plan_only), seeded=seeded
        )

        outcome = bring(wanted, place, servers, console, consent)
    sum_up(outcome, place, images, console, consent, steps.timings)


def bring(
    wanted: Wanted,
    place: Place,
    servers: Sequence[Server],
    console: Console,
    consent: Consent,
    *,
    describe: Callable[[Plan, Observed], Plan] = lambda plan, _: plan,
) -> Outcome:
    """Carry out what leads to `wanted` on every server; `describe` may put a plan into the words of another task."""
    layout = servers[0].layout
    each = tuple(_wanted_on(server, wanted, is_first=server is servers[0]) for server in servers)

    def make_plans() -> tuple[Plan, ...]:
        seen = look(servers, paths_written(wanted, layout))
        for server, observed in zip(servers, seen, strict=True):
            refuse_unready(wanted, observed, server.place)
            ports.refuse_foreign(server.place, observed)
            certifying.refuse_unfit(server.place, server.host, layout)
        plans = plan_deploys(each, seen, layout)
        for plan, observed in zip(plans, seen, strict=True):
            if plan.release == wanted.release.id:
                refuse_overtaken(wanted.release, observed)
        return tuple(map(describe, plans, seen))

    return carry_out(make_plans, place, servers, console, consent)


def _wanted_on(server: Server, wanted: Wanted, *, is_first: bool) -> Wanted:
    """Return the same release as one server gets it: only where its checks ask differs."""
    return dataclasses.replace(wanted, environment=server.place.environment, is_first=is_first)


def begin(servers: Sequence[Server]) -> tuple[tuple[int, int], frozenset[str]]:
    """Return the version of the oldest engine, for which all files are rendered, and the releases that are anywhere.

    Raises NotReady.
    """

    def one(server: Server) -> tuple[tuple[int, int], tuple[str, ...]]:
        names = in_the_background(lambda: server.host.names_in(server.layout.releases))
        return _version(server), names()

    versions, releases = zip(*at_once(one, servers), strict=True)
    return min(versions), frozenset(chain.from_iterable(releases))


def _version(server: Server) -> tuple[int, int]:
    version = server.engine.version()
    if version < OLDEST:
        has, wants = ".".join(map(str, version)), ".".join(map(str, OLDEST))
        raise NotReady(
            f"{server.host.name}: Docker Engine {has} is older than {wants}",
            fix="invoke doctor says what to install; Debian 13 has a later one, which runs on Debian 12 too",
        )
    return version


def want(
    place: Place,
    settings: Settings,
    images: Mapping[str, str],
    engine_version: tuple[int, int],
    servers: Sequence[Server],
    releases: Collection[str],
    *,
    promoted: Release | None = None,
    touch: bool = True,
) -> Wanted:
    """Return the release to be, with every file of it, the same on all servers; `releases` are those that are there.

    `promoted` is that of another environment taken over. A missing local CA is made where `touch` is set.
    """
    server = servers[0]
    neutral = preparing.render_neutral(place, images, engine_version)
    values = {name: dotenv.dump(_values(settings, place, data=data)).encode() for name, data in _ENV_FILES.items()}
    env_checksum = hashlib.sha256(b"\0".join(values.values())).hexdigest()
    release = Release(
        id=_next_id(releases),
        stack=place.stack.name,
        environment=place.environment_name,
        created=now(),
        by=str(server.host.operator()),
        revision=promoted.revision if promoted else revision(place.folder, server.here) or "",
        images=dict(images),
        services=tuple(place.stack.services),
        fingerprint=hashlib.sha256(f"{neutral.digest()} {env_checksum}".encode()).hexdigest(),
        env_checksum=env_checksum,
        promoted=f"{promoted.environment}:{promoted.id}" if promoted else None,
        ignored=promoted.ignored if promoted else preparing.ignored_by(place).files(place.folder),
    )
    rendered = render(
        place.stack,
        place.environment_name,
        release=release.id,
        images=images,
        layout=server.layout,
        engine_version=engine_version,
        project=place.project,
    )
    files = {name: File(text.encode()) for name, text in rendered.app.items()}
    files["release.json"] = File(release.model_dump_json(indent=2).encode() + b"\n")
    files["stack.json"] = File(place.stack.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
    files[".env"] = File(values["app"], 0o600)
    data = {name: File(text.encode()) for name, text in rendered.data.items()}
    return Wanted(
        stack=place.stack,
        environment=place.environment,
        release=release,
        files=files,
        data_files=data | ({".env": File(values["data"], 0o600)} if data else {}),
        edge_files=rendered.edge,
        site=rendered.site.encode() if rendered.site is not None else None,
        stock=preparing.stock_of_server(place),
        port=preparing.registry_port(),
        routes=rendered.routes.encode() if rendered.routes is not None else None,
        certificates=certifying.wanted(place, touch=touch),
    )


_ENV_FILES: Final = {"app": False, "data": True}


def _values(settings: Settings, place: Place, *, data: bool) -> dict[str, str]:
    """Return the values that one tier's services get, and no others."""
    plain = settings.plain()
    if data:
        names = {name for service in place.stack.data for name in settings.for_data_service(service)}
    else:
        names = {name for service in (*place.stack.services, "migrate") for name in settings.for_service(service)}
    return {name: value for name, value in plain.items() if name in names}


def _next_id(names: Collection[str]) -> str:
    """Return the time as a release id, later than every release that is anywhere even if the clock went back."""
    fresh = datetime.datetime.now(datetime.UTC)
    newest = max((name for name in names if RELEASE_ID.fullmatch(name)), default="")
    if newest >= fresh.strftime(_ID):
        fresh = datetime.datetime.strptime(newest, _ID).replace(tzinfo=datetime.UTC) + datetime.timedelta(seconds=1)
    return fresh.strftime(_ID)


def refuse_unready(wanted: Wanted, observed: Observed, place: Place) -> None:
    """Raise NotReady when the server lacks disk, or the edge's port is another process's."""
    environment = place.environment
    if observed.free_bytes < _MINIMUM_FREE:
        raise NotReady(
            f"{environment.server}: {observed.free_bytes >> 20} MiB free, a deploy needs {_MINIMUM_FREE >> 20} MiB",
            fix="docker system df shows what Docker holds; `deploy.keep` says how many releases stay",
        )
    if wanted.site is not None and environment.edge.is_host and not observed.edge_is_ready:
        raise NotReady(
            f"{environment.server}: nothing listens on port {environment.http_port}, where its own Nginx is to answer",
            fix="start it (systemctl start nginx; it listens where a site of it does, such as its default one), or let "
            "Wharfinger run one: `edge: container`",
        )
    if wanted.site is not None and not observed.edge and not environment.edge.is_host:
        ports = (environment.http_port, environment.https_port)
        taken = [port for port in ports if port in observed.ports_taken]
        if taken:
            raise NotReady(
                f"{environment.server}: port {taken[0]} is taken, and the edge is to listen there",
                fix=f"stop what listens there (ss -ltnp 'sport = :{taken[0]}'), or give environments."
                f"{place.environment_name}.edge another http_port and https_port",
            )


def refuse_overtaken(release: Release, observed: Observed) -> None:
    """Raise WharfingerError where another run has made a release since this one's id was chosen to be the latest."""
    latest = max((each.id for each in observed.releases), default="")
    if latest >= release.id:
        raise WharfingerError(f"release {latest} was made there meanwhile; nothing was done", fix="invoke deploy")


def sum_up(
    outcome: Outcome,
    place: Place,
    images: Mapping[str, str],
    console: Console,
    consent: Consent,
    before: tuple[tuple[str, float], ...],
) -> None:
    """Say what serves now, and how long each step took; `before` are the steps that came before the plan."""
    plan, url = outcome.plan, place.environment.url
    if not plan.steps:
        if plan.ignored:
            console.say(f"only ignored paths changed: {', '.join(plan.ignored)}")
        console.say(f"already up to date: release {plan.release} serves at {url}")
    elif not consent.plan_only:
        rows = [("release", plan.release), *((f"image {name}", image) for name, image in images.items())]
        console.summary([*rows, *outcome.rows, ("url", url)], (*before, *outcome.timings))
