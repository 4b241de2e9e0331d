"""Whole plans of a deploy, compared with what a person would write down."""

from __future__ import annotations

import dataclasses

import pytest
from tests.examples import IMAGES, LAYOUT, sevra
from tests.recording import data_tier, edge_container, tier
from tests.unit.planning.situations import (
    DATA_FILES,
    EDGE_FILES,
    NEW,
    OLD,
    OLDER,
    OLDEST,
    SERVICES,
    SITE,
    STACK,
    empty,
    release,
    serving,
    wanted,
)

from wharfinger.engine import Container
from wharfinger.facts import Observed
from wharfinger.health import Address
from wharfinger.hosts import File
from wharfinger.model.checks import Check, Latency, LatencyCheck, LogCheck, Logs
from wharfinger.model.hooks import Hooks
from wharfinger.model.release import Live, Release, Slot
from wharfinger.model.stack import Stack
from wharfinger.planning import Plan
from wharfinger.planning.deploy import plan_deploy
from wharfinger.planning.traffic import probes_of
from wharfinger.planning.wanted import Wanted
from wharfinger.rendering.live import live_default
from wharfinger.steps import Step
from wharfinger.steps.app import Pull, Retire, StartApp, StopFirst
from wharfinger.steps.data import BackUp, Migrate, StartData
from wharfinger.steps.edge import PutSite, StartEdge, Switch
from wharfinger.steps.hooks import AfterHook, BeforeHook, FailureHook
from wharfinger.steps.releases import Prune, Record, UploadRelease
from wharfinger.steps.verify import CheckMigrations, Measure, Verify

IMAGE = IMAGES["app"]
NEWER_IMAGE = f"127.0.0.1:5000/sevra-atlas/app@sha256:{'cd' * 32}"
ADDRESS = Address(url="http://localhost:8080", host="localhost", connect_to="127.0.0.1", port=8080)
VERIFY = Verify(
    NEW,
    ADDRESS,
    (Check.model_validate({"path": "/health", "json": {"status": "healthy"}}),),
    {"api": 1, "worker": 1},
)


def plan(want: Wanted, observed: Observed) -> Plan:
    return plan_deploy(want, observed, LAYOUT)


def verbs(steps: tuple[Step, ...]) -> list[str]:
    return [type(step).__name__ for step in steps]


def recorded(want: Wanted, slot: Slot) -> Release:
    return want.release.model_copy(update={"slot": slot, "succeeded": want.release.created})


def replacement(want: Wanted, slot: Slot, previous: Live) -> tuple[Step, ...]:
    """The steps that replace a healthy OLD by NEW when nothing but the app tier changed."""
    return (
        UploadRelease(NEW, want.files),
        Pull(tuple(dict.fromkeys(want.release.images.values()))),
        BackUp(("postgres",), stamp=NEW),
        Migrate(NEW, timeout=600),
        StartApp(NEW, slot, {"api": 1, "worker": 1}, timeout=120),
        Switch(NEW, slot, previous, (("api", "/health"),)),
        VERIFY,
        Record(NEW, OLD, recorded(want, slot)),
        Retire(OLD, drain=10),
    )


def test_a_first_deploy_brings_up_everything_in_order() -> None:
    want = wanted()

    assert plan(want, empty(want)) == Plan(
        action="deploy",
        release=NEW,
        steps=(
            UploadRelease(NEW, want.files),
            Pull((IMAGE,)),
            StartEdge(EDGE_FILES),
            StartData(("postgres", "redis_queue"), DATA_FILES, dict.fromkeys(DATA_FILES)),
            BackUp(("postgres",), stamp=NEW),
            Migrate(NEW, timeout=600),
            StartApp(NEW, "blue", {"api": 1, "worker": 1}, timeout=120),
            PutSite(NEW, "blue", SITE, (None, None)),
            Switch(NEW, "blue", None, (("api", "/health"),)),
            VERIFY,
            Record(NEW, None, recorded(want, "blue")),
        ),
        reasons=("nothing is deployed yet",),
        serving="nothing serves: there was no release before",
    )


def test_when_nothing_changed_there_is_nothing_to_do() -> None:
    want = wanted()

    assert plan(want, serving(want)) == Plan("deploy", OLD, (), (), f"release {OLD} still serves")


@pytest.mark.parametrize(
    ("then", "changed"),
    [
        ({"docs/a.md": "1", "docs/b.md": "1", "old.md": "1"}, ("docs/b.md", "new.md", "old.md")),
        ({}, ()),  # a release of before they were noted
    ],
)
def test_ignored_files_that_changed_are_named_and_nothing_is_done(
    then: dict[str, str], changed: tuple[str, ...]
) -> None:
    want = wanted(ignored={"docs/a.md": "1", "docs/b.md": "2", "new.md": "1"})

    done = plan(want, serving(want, releases=[release(OLD, ignored=then)]))

    assert (done.steps, done.ignored) == ((), changed)


def test_a_changed_image_replaces_the_app_tier_and_touches_nothing_else() -> None:
    want = wanted(images={"app": NEWER_IMAGE}, fingerprint="other")

    done = plan(want, serving(want))

    assert done.steps == replacement(want, "green", Live("blue", OLD))
    assert done.reasons == ("image app changed",)
    assert done.serving == f"release {OLD} still serves"
    assert done.warnings == ()


def test_changed_values_are_named_and_never_shown() -> None:
    want = wanted(
        env_checksum="other",
        fingerprint="other",
        files={"compose.yaml": File(b"services: {}\n"), ".env": File(b"QUEUE_URL=hidden-one\nADDED=hidden-two\n")},
    )
    before = {LAYOUT.current / ".env": b"QUEUE_URL=hidden-zero\nDROPPED=1\nWHARFINGER_SLOT=blue\n"}

    done = plan(want, serving(want, files=before))

    assert done.steps == replacement(want, "green", Live("blue", OLD))
    assert done.reasons == ("values changed: QUEUE_URL, DROPPED, ADDED",)
    assert "hidden" not in repr(done)


def test_a_changed_compose_file_is_shown_as_a_diff_without_release_ids() -> None:
    want = wanted(
        fingerprint="other",
        files={"compose.yaml": File(f"name: x-{NEW}\ninit: true\n".encode()), ".env": File(b"QUEUE_URL=redis://q\n")},
    )
    before = {LAYOUT.current / "compose.yaml": f"name: x-{OLD}\ninit: false\n".encode()}

    done = plan(want, serving(want, files=before))

    assert done.reasons == ("rendered files changed",)
    assert [line for line in done.changes if line[0] in "+-"] == [
        "--- compose.yaml (current)",
        "+++ compose.yaml (wanted)",
        "-init: false",
        "+init: true",
    ]


def test_a_changed_site_is_tested_and_loaded_before_the_switch() -> None:
    want = wanted(fingerprint="other")
    observed = serving(want, files={LAYOUT.site: b"old site\n"})

    steps = plan(want, observed).steps

    before = (b"old site\n", live_default(Live("blue", OLD)).encode())
    assert steps[5:7] == (
        PutSite(NEW, "green", SITE, before),
        Switch(NEW, "green", Live("blue", OLD), (("api", "/health"),)),
    )
    assert (steps[:5], steps[7:]) == (
        replacement(want, "green", Live("blue", OLD))[:5],
        replacement(want, "green", Live("blue", OLD))[6:],
    )


def test_a_changed_data_file_warns_and_recreates_nothing() -> None:
    want = wanted(fingerprint="other")
    observed = serving(want, files={LAYOUT.data / "data.yaml": b"old\n"})

    done = plan(want, observed)

    assert verbs(done.steps)[2:4] == ["StartData", "BackUp"]  # which starts what is missing, and writes the file
    assert len(done.warnings) == 1
    assert "older data.yaml; a deploy never recreates data services" in done.warnings[0]
    assert f"docker compose -p sevra-atlas-local -f {LAYOUT.data}/data.yaml up -d" in done.warnings[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (data_tier("postgres"), "redis_queue: no healthy container"),
        (data_tier("postgres", "dropped_from_the_stack"), "redis_queue: no healthy container"),
        (
            [*data_tier("postgres"), *data_tier("redis_queue", state="exited", health="none")],
            "redis_queue: no healthy container",
        ),
        (
            [*data_tier("redis_queue"), *data_tier("postgres", health="unhealthy")],
            "postgres: no healthy container",
        ),
    ],
)
def test_a_data_service_that_is_down_is_started(data: list[Container], reason: str) -> None:
    want = wanted()

    done = plan(want, serving(want, data=data))

    assert done.reasons == (reason,)
    held = {name: file.content for name, file in DATA_FILES.items()}
    assert StartData(("postgres", "redis_queue"), DATA_FILES, held) in done.steps


def test_a_service_that_is_down_is_a_reason_to_deploy() -> None:
    want = wanted()
    half = {OLD: [*tier(OLD, "api"), *tier(OLD, "worker", health="unhealthy")]}

    done = plan(want, serving(want, tiers=half))

    assert done.reasons == ("worker: 0 of 1 containers are healthy",)
    assert done.steps == replacement(want, "green", Live("blue", OLD))


@pytest.mark.parametrize("edge", [[], [edge_container(state="exited")], [edge_container(health="unhealthy")]])
def test_an_edge_that_is_down_is_started(edge: list[Container]) -> None:
    want = wanted()

    done = plan(want, serving(want, edge=edge))

    assert done.reasons == ("the edge does not run",)
    assert verbs(done.steps)[:3] == ["UploadRelease", "Pull", "StartEdge"]


def test_files_that_all_sites_share_are_brought_up_to_date_with_a_release() -> None:
    want = wanted(fingerprint="other")

    done = plan(want, serving(want, files={LAYOUT.edge / "nginx.conf": b"older\n"}))

    assert verbs(done.steps)[2] == "StartEdge"


@pytest.mark.parametrize(("live", "free"), [("blue", "green"), ("green", "blue")])
def test_a_release_starts_in_the_slot_that_does_not_serve(live: Slot, free: Slot) -> None:
    want = wanted(fingerprint="other")
    observed = serving(want, live=Live(live, OLD), tiers={OLD: tier(OLD, *SERVICES, slot=live)})

    assert plan(want, observed).steps == replacement(want, free, Live(live, OLD))


def test_a_stack_without_a_site_needs_no_edge_and_can_be_up_to_date() -> None:
    want = wanted(stack=STACK.model_copy(update={"site": None}), site=None, edge_files={})
    observed = dataclasses.replace(serving(want), edge=(), live=None)

    assert plan(want, observed).steps == ()
    first = plan(want, empty(want))
    assert not {"StartEdge", "PutSite", "Switch"} & set(verbs(first.steps))
    assert Verify(NEW, None, (), {"api": 1, "worker": 1}) in first.steps  # its containers are looked at


def test_a_stack_without_data_is_neither_backed_up_nor_migrated() -> None:
    stack = STACK.model_copy(update={"data": {}, "migrate": None})
    want = wanted(stack=stack, data_files={})

    assert verbs(plan(want, empty(want)).steps)[:4] == ["UploadRelease", "Pull", "StartEdge", "StartApp"]


def test_without_checks_the_health_path_is_asked() -> None:
    stack = STACK.model_copy(update={"checks": ()})
    want = wanted(stack=stack, fingerprint="other")

    (verify,) = [step for step in plan(want, serving(want)).steps if isinstance(step, Verify)]

    assert verify.checks == (Check(path="/health"),)


def test_a_new_release_is_timed_against_the_one_that_serves() -> None:
    stack = STACK.model_copy(update={"checks": (LatencyCheck(latency=Latency(samples=7)), LogCheck(logs=Logs()))})
    want = wanted(stack=stack, fingerprint="other")

    first, later = plan(want, empty(want)), plan(want, serving(want))

    assert "Measure" not in verbs(first.steps)
    assert verbs(later.steps)[3:7] == ["Migrate", "Measure", "StartApp", "Switch"]
    assert later.steps[4] == Measure(NEW, ADDRESS, {"/health": 7})
    checks = (Check(path="/health"), LatencyCheck(latency=Latency(path="/health", samples=7)), LogCheck(logs=Logs()))
    assert Verify(NEW, ADDRESS, checks, VERIFY.expected) in later.steps


def test_the_schema_is_checked_before_anything_starts_on_it() -> None:
    migrate = STACK.migrate.model_copy(update={"check": ("app", "at-head")}) if STACK.migrate else None
    want = wanted(stack=STACK.model_copy(update={"migrate": migrate}), fingerprint="other")

    steps = plan(want, serving(want)).steps

    assert verbs(steps)[3:6] == ["Migrate", "CheckMigrations", "StartApp"]
    assert steps[4] == CheckMigrations(NEW, ("app", "at-head"), timeout=600)


def test_hooks_surround_what_changes_anything() -> None:
    tell, warm = {"command": ["./tell", "them"], "timeout": "10s"}, {"command": ["warm"], "service": "api"}
    hooks = Hooks.model_validate(
        {"before_deploy": [tell, warm], "after_deploy": [tell], "on_failure": [{"command": ["./page"]}]}
    )
    want = wanted(stack=STACK.model_copy(update={"hooks": hooks}), fingerprint="other")

    done = plan(want, serving(want))

    url = "http://localhost:8080"
    plain = replacement(want, "green", Live("blue", OLD))
    assert done.steps == (
        *plain[:2],
        BeforeHook(NEW, url, ("./tell", "them"), None, timeout=10),
        BeforeHook(NEW, url, ("warm",), "api", timeout=60),
        *plain[2:],
        AfterHook(NEW, url, ("./tell", "them"), None, timeout=10),
    )
    assert done.on_failure == (FailureHook(NEW, url, ("./page",), None, timeout=60),)


def test_where_nothing_is_deployed_no_hook_runs() -> None:
    hooks = Hooks.model_validate({"before_deploy": [{"command": ["./tell"]}], "on_failure": [{"command": ["./tell"]}]})
    want = wanted(stack=STACK.model_copy(update={"hooks": hooks}))

    done = plan(want, serving(want))

    assert (done.steps, done.on_failure) == ((), ())


def without_overlap(*services: str) -> Stack:
    """The stack, with services of which no two releases may run at once."""
    changed = {name: one.model_copy(update={"strategy": "recreate"}) for name, one in STACK.services.items()}
    return STACK.model_copy(update={"services": STACK.services | {name: changed[name] for name in services}})


def test_a_service_that_must_not_overlap_starts_once_the_old_one_has_stopped() -> None:
    want = wanted(stack=without_overlap("worker"), fingerprint="other")

    done = plan(want, serving(want))

    start = [step for step in done.steps if isinstance(step, StartApp | StopFirst)]
    assert start == [
        StartApp(NEW, "green", {"api": 1}, timeout=120),
        StopFirst(OLD, ("worker",), drain=10, timeout=120),
        StartApp(NEW, "green", {"worker": 1}, timeout=120),
    ]
    assert start[1].title == f"stop worker of {OLD} first"
    assert done.warnings == ()  # nobody asks the worker


def test_a_whole_stack_can_be_recreated_and_visitors_are_spoken_of() -> None:
    deploy = STACK.deploy.model_copy(update={"strategy": "recreate"})
    want = wanted(stack=STACK.model_copy(update={"deploy": deploy}), fingerprint="other")

    done = plan(want, serving(want))

    assert [step for step in done.steps if isinstance(step, StartApp | StopFirst)] == [
        StopFirst(OLD, ("api", "worker"), drain=10, timeout=120),
        StartApp(NEW, "green", {"api": 1, "worker": 1}, timeout=120),
    ]
    assert done.warnings == ("api: `strategy: recreate`, so no answers from its stop until the switch",)


def test_a_first_deploy_and_a_service_that_is_new_have_nothing_to_stop() -> None:
    want = wanted(stack=without_overlap("worker"), fingerprint="other")

    assert "StopFirst" not in verbs(plan(want, empty(want)).steps)
    assert "StopFirst" not in verbs(plan(want, serving(want, tiers={OLD: tier(OLD, "api")})).steps)


def test_the_environment_says_how_many_containers_there_are() -> None:
    want = wanted(fingerprint="other")
    want = dataclasses.replace(want, environment=want.environment.model_copy(update={"scale": {"api": 3}}))

    (start,) = [step for step in plan(want, serving(want)).steps if isinstance(step, StartApp)]

    assert start.expected == {"api": 3, "worker": 1}


def test_every_routed_service_is_probed_once_before_a_switch() -> None:
    routes = [{"path": path, "service": service} for path, service in (("/", "api"), ("/w", "worker"), ("/v", "api"))]

    assert probes_of(sevra(site={"routes": routes, "health": "/up"})) == (("api", "/up"), ("worker", "/up"))


# What is pruned


@pytest.mark.parametrize(
    ("releases", "gone"),
    [
        ([release(OLD)], ()),
        ([release(OLDER), release(OLD)], (OLDER,)),
        ([release(OLDEST), release(OLDER), release(OLD)], (OLDEST, OLDER)),
        ([release(OLDER, succeeded=None), release(OLD)], (OLDER,)),  # a failed one is never in the number
        ([release("20261101120000"), release(OLDER, succeeded=None), release(OLD)], ("20261101120000", OLDER)),
    ],
)
def test_the_newest_successful_releases_stay(releases: list[Release], gone: tuple[str, ...]) -> None:
    want = wanted(fingerprint="other")

    last = plan(want, serving(want, releases=releases)).steps[-1]

    assert (last.releases if isinstance(last, Prune) else ()) == gone


def test_the_release_that_served_until_now_stays_however_old_it_is() -> None:
    """After a rollback the current release is not among the newest; it is the next rollback's target."""
    want = wanted(fingerprint="other")
    observed = serving(
        want,
        releases=[release(OLDEST), release(OLDER), release(OLD)],
        current=OLDEST,
        live=Live("blue", OLDEST),
        tiers={OLDEST: tier(OLDEST, *SERVICES)},
    )

    assert plan(want, observed).steps[-1] == Prune((OLDER,), ())


def test_an_image_goes_only_with_the_last_release_that_uses_it() -> None:
    want = wanted(fingerprint="other")
    unused = {"app": NEWER_IMAGE}
    observed = serving(want, releases=[release(OLDEST, images=unused), release(OLDER, succeeded=None), release(OLD)])

    assert plan(want, observed).steps[-1] == Prune((OLDEST, OLDER), (NEWER_IMAGE,))


def test_a_server_elsewhere_gets_the_stock_images_before_what_runs_them() -> None:
    changed = wanted(fingerprint="another", env_checksum="another")
    elsewhere = dataclasses.replace(changed, stock=("nginx:1.30", "postgres:17"), port=5055)

    first = [type(step).__name__ for step in plan_deploy(elsewhere, empty(elsewhere), LAYOUT).steps]
    later = [type(step).__name__ for step in plan_deploy(elsewhere, serving(elsewhere), LAYOUT).steps]

    assert first[:4] == ["UploadRelease", "Supply", "Pull", "StartEdge"]
    assert later[:2] == ["UploadRelease", "Pull"]
