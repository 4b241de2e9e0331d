"""What holds of a plan that is carried out on two servers: both get the new release, or both keep the old one."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final

import pytest
from tests.examples import LAYOUT, sevra
from tests.recording import Call, Heard, RecordingEngine, RecordingHost, RecordingRuntime, server, tier, world
from tests.unit.planning.situations import NEW, OLD, OLD_IS_LIVE, SERVICES, SITE, release, serving, wanted

from wharfinger import health, runner
from wharfinger.carrying_out import Consent, Outcome, carry_out, locks, recovery
from wharfinger.connecting import Server
from wharfinger.console import Step as Shown
from wharfinger.errors import ConnectionLost, Interrupted, LockHeld, NotReady, StepFailed, WharfingerError
from wharfinger.facts import Observed
from wharfinger.fleet import look
from wharfinger.hosts import File
from wharfinger.hosts.operator import Operator
from wharfinger.journal import Journal
from wharfinger.model.run import AGREED
from wharfinger.planning import Plan
from wharfinger.planning.deploy import plan_deploys
from wharfinger.planning.together import COUNTING, READY, RECORDING, STARTING, SWITCHING, stages
from wharfinger.planning.wanted import Wanted
from wharfinger.project import Place
from wharfinger.rendering.live import live_default
from wharfinger.runner import Part
from wharfinger.steps import Step, World
from wharfinger.steps.recovery import PointBack
from wharfinger.steps.releases import Record

NAMES: Final = ("web1", "web2")
PATH: Final = LAYOUT.journal / "2026-11-20T14:30:00-deploy.jsonl"
OLD_SITE: Final = b"server { listen 80; } # old\n"
STACK: Final = sevra(
    services={"api": {"image": "app", "port": 3000}, "worker": {"image": "app", "port": 3001}},
    data=None,
    volumes=None,
    hooks={"before_deploy": [{"command": ["./tell"]}], "after_deploy": [{"command": ["./told"]}]},
    checks=[{"path": "/health"}],
)


class Noting(RecordingHost):
    """A host whose journal is noted among all calls, and which lets one of its lines fail, or its connection."""

    def __init__(self, name: str, calls: list[Call], *, fails: str = "", cut_at: str = "") -> None:
        super().__init__(name=name, calls=calls)
        self.fails, self.cut_at = fails, cut_at

    def append(self, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:
        if self.cut:
            raise ConnectionLost(f"{self.name}: the connection was lost")
        facts = json.loads(line)
        point = f"{facts['event']} {facts.get('verb', '')}".strip()
        if point == self.fails == AGREED:
            raise OSError(28, "No space left on device")
        super().append(path, line, awaited=awaited)
        self.calls.append((self.name, point))
        if point == self.cut_at:
            self.cut = True
            raise ConnectionLost(f"{self.name}: the connection was lost")
        if point == self.fails:
            raise WharfingerError("it was hit")


@dataclass
class Two:
    """Two servers on which OLD serves, and what was asked of both, in order."""

    hosts: tuple[Noting, Noting]
    calls: list[Call]
    heard: Heard = field(default_factory=Heard)

    @classmethod
    def made(cls, **second: str) -> Two:
        calls: list[Call] = []
        hosts = (Noting("web1", calls), Noting("web2", calls, **second))
        for host in hosts:
            host.files[LAYOUT.site] = File(OLD_SITE)
            host.files[LAYOUT.live] = File(live_default(OLD_IS_LIVE).encode())
            host.links[LAYOUT.current] = f"releases/{OLD}"
        return cls(hosts, calls)

    def run(self, *plans: Plan) -> None:
        """Carry out a plan on each."""
        parts = []
        for host, plan in zip(self.hosts, plans, strict=True):
            runtime = RecordingRuntime(self.calls, seen=[tuple(tier(NEW, *SERVICES))])
            parts.append(Part(plan, world(STACK, host, runtime=runtime), Journal(host, PATH, lambda: "now")))
        runner.run(parts, self.heard.console, by="ann@laptop")

    def points(self, host: str) -> list[str]:
        """Return the lines of a host's journal."""
        return [call[1] for call in self.calls if call[0] == host]

    def when(self, host: str, point: str) -> int:
        """Return when a line was written."""
        return self.calls.index((host, point))

    def serves(self) -> list[tuple[str | None, bytes | None, bytes | None]]:
        """Return what is current on each, and what its edge serves."""
        return [
            (host.link_target(LAYOUT.current), host.read(LAYOUT.site), host.read(LAYOUT.live)) for host in self.hosts
        ]

    def outcomes(self) -> list[str]:
        """Return how each journal ends."""
        last = [json.loads((host.read(PATH) or b"{}").splitlines()[-1]) for host in self.hosts]
        return [line.get("outcome", line.get("event", "")) for line in last]


BEFORE: Final = [(f"releases/{OLD}", OLD_SITE, live_default(OLD_IS_LIVE).encode())] * 2


def want(*, is_first: bool = True) -> Wanted:
    return dataclasses.replace(wanted(stack=STACK, fingerprint="other", data_files={}), is_first=is_first)


def observed() -> Observed:
    return serving(want(), data=(), files={LAYOUT.site: OLD_SITE})


def deploys() -> tuple[Plan, ...]:
    return plan_deploys((want(), want(is_first=False)), (observed(), observed()), LAYOUT)


@pytest.fixture(autouse=True)
def _answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every address answer."""
    monkeypatch.setattr(health, "failure", lambda *_: None)


def verbs(plan: Plan) -> list[str]:
    return [type(step).__name__ for step in plan.steps]


ONCE: Final = ("BeforeHook", "Migrate", "AfterHook")
VERBS: Final = verbs(deploys()[1])
UNTIL_IT_COUNTS: Final = [
    f"{event} {verb}" for verb in VERBS[: VERBS.index("Record") + 1] for event in ("started", "done")
]


# What is planned


def test_what_is_done_once_is_done_on_the_first_server_alone() -> None:
    first, second = deploys()

    assert [verb for verb in verbs(first) if verb in ONCE] == list(ONCE)
    assert verbs(second) == [verb for verb in verbs(first) if verb not in ONCE]


def test_the_servers_meet_before_they_start_switch_record_and_retire() -> None:
    (plan, _) = deploys()

    assert list(zip(verbs(plan), stages(plan.steps), strict=True)) == [
        ("UploadRelease", READY),
        ("Pull", READY),
        ("BeforeHook", READY),
        ("Migrate", READY),
        ("StartApp", STARTING),
        ("PutSite", SWITCHING),
        ("Switch", SWITCHING),
        ("Verify", SWITCHING),
        ("Record", RECORDING),
        ("Retire", COUNTING),
        ("AfterHook", COUNTING),
    ]


def test_where_one_server_needs_a_release_all_get_the_same() -> None:
    same = dataclasses.replace(want(), release=wanted(stack=STACK).release)
    up_to_date = serving(same, data=())
    new = dataclasses.replace(up_to_date, current=None, releases=(), tiers={}, live=None)

    nothing = plan_deploys((same, same), (up_to_date, up_to_date), LAYOUT)
    both = plan_deploys((same, same), (up_to_date, new), LAYOUT)

    assert [plan.steps for plan in nothing] == [(), ()]
    assert [plan.release for plan in both] == [NEW, NEW]
    assert [plan.reasons for plan in both] == [("all servers get the same release",), ("nothing is deployed yet",)]


# How it is carried out


def test_no_server_goes_on_before_all_have_come_as_far() -> None:
    two = Two.made()

    two.run(*deploys())

    for one, other in (NAMES, NAMES[::-1]):
        assert two.when("web1", "done Migrate") < two.when(other, "started StartApp")
        assert two.when(one, "done StartApp") < two.when(other, "started PutSite")
        assert two.when(one, "done Verify") < two.when(other, "started Record")
        assert two.when(one, "done Record") < two.when("web1", AGREED) < two.when(other, "started Retire")
    assert two.outcomes() == ["succeeded", "succeeded"]
    assert [current for current, _, _ in two.serves()] == [f"releases/{NEW}"] * 2


def test_each_step_is_shown_once_and_a_checklist_names_the_server() -> None:
    two = Two.made()

    two.run(*deploys())

    shown = [line.partition("] ")[2] for line in two.heard.said.splitlines() if line.startswith("[")]
    assert sorted(line.partition(" … ")[0] for line in shown) == sorted(step.title for step in deploys()[0].steps)
    assert {line.split()[0] for line in two.heard.said.splitlines() if "still healthy" in line} == {"web1:", "web2:"}


@pytest.mark.parametrize("point", UNTIL_IT_COUNTS)
def test_one_server_failing_at_any_step_leaves_both_at_the_old_release(point: str) -> None:
    two = Two.made(fails=point)

    with pytest.raises(StepFailed) as caught:
        two.run(*deploys())

    step = next(step for step in deploys()[1].steps if type(step).__name__ == point.split()[1])
    assert caught.value.problem == f"web2: `{step.title}` failed: it was hit"
    assert caught.value.details == (f"web1, web2: release {OLD} still serves",)
    assert two.serves() == BEFORE
    assert two.outcomes() == ["reverted", "reverted"]
    assert not any(host.names_in(LAYOUT.release(NEW)) for host in two.hosts)
    for host in two.hosts:
        begun = [line.split()[1] for line in two.points(host.name) if line.startswith("started")]
        undone = [line.split()[1] for line in two.points(host.name) if line.startswith("undone")]
        assert undone == begun[::-1]


@pytest.mark.parametrize("point", UNTIL_IT_COUNTS)
def test_a_connection_lost_at_any_step_undoes_the_other_server_and_leaves_the_lost_one_to_recovery(point: str) -> None:
    two = Two.made(cut_at=point)

    with pytest.raises(ConnectionLost, match="web2: the connection was lost in") as caught:
        two.run(*deploys())

    assert two.serves()[0] == BEFORE[0]
    assert two.outcomes()[0] == "reverted"
    assert any(detail.startswith("web") and f"release {OLD} still serves" in detail for detail in caught.value.details)


def test_once_it_counts_a_server_that_is_lost_does_not_take_it_from_the_other() -> None:
    two = Two.made(cut_at="started Retire")

    with pytest.raises(ConnectionLost, match="web2") as caught:
        two.run(*deploys())

    assert caught.value.details == (f"web1, web2: release {NEW} serves",)
    assert [current for current, _, _ in two.serves()] == [f"releases/{NEW}"] * 2
    assert two.outcomes() == ["succeeded", "started"]


def test_a_journal_that_cannot_take_the_line_is_made_up_for_by_the_other() -> None:
    two = Two.made(fails=AGREED)

    two.run(*deploys())

    assert [AGREED in two.points(name) for name in NAMES] == [True, False]
    assert [current for current, _, _ in two.serves()] == [f"releases/{NEW}"] * 2


def test_where_no_journal_takes_the_line_both_go_back() -> None:
    two = Two.made(fails=AGREED)
    two.hosts[0].fails = AGREED

    with pytest.raises(StepFailed, match="No space left"):
        two.run(*deploys())

    assert (two.serves(), two.outcomes()) == (BEFORE, ["reverted", "reverted"])


def test_where_it_cannot_be_known_if_the_line_was_written_nothing_is_undone() -> None:
    two = Two.made(cut_at=AGREED)
    two.hosts[0].cut_at = AGREED

    with pytest.raises(ConnectionLost, match="web1, web2: the connection was lost"):
        two.run(*deploys())

    assert [current for current, _, _ in two.serves()] == [f"releases/{NEW}"] * 2
    assert not any(line.startswith("undone") for name in NAMES for line in two.points(name))


@dataclass(frozen=True)
class Acting:
    """A step that does, and undoes, what the test says."""

    name: str
    act: Callable[[World], object] = field(default=lambda _: None, repr=False)
    unact: Callable[[World], object] = field(default=lambda _: None, repr=False)
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        return self.name

    def run(self, on: World, shown: Shown) -> None:
        shown.note(self.name)
        self.act(on)

    def undo(self, on: World) -> None:
        self.unact(on)


class StartApp(Acting):
    """A step before which the servers meet."""


def together(*steps: Step) -> tuple[Plan, Plan]:
    plan = Plan("deploy", NEW, steps, ("because",), f"release {OLD} still serves")
    return plan, plan


def test_ctrl_c_stops_both_where_their_steps_end_and_undoes_them() -> None:
    """The first server waits for the second, whose step ends only once the first is being undone."""
    two, begun, undone = Two.made(), threading.Event(), threading.Event()

    def press(on: World) -> None:
        if on.host.name == "web1":
            begun.set()
            return
        assert begun.wait(timeout=10)
        os.kill(os.getpid(), signal.SIGINT)
        assert undone.wait(timeout=10)

    never = StartApp("never", lambda _: pytest.fail("it went on"))
    with pytest.raises(Interrupted, match="interrupted in `press`") as caught:
        two.run(*together(Acting("press", press, lambda _: undone.set()), never))

    assert caught.value.details == (f"web1, web2: release {OLD} still serves",)
    assert two.outcomes() == ["reverted", "reverted"]


def test_a_second_ctrl_c_ends_the_undoing_of_both_recoverably(monkeypatch: pytest.MonkeyPatch) -> None:
    two, heard = Two.made(fails="started StartApp"), threading.Event()
    slow = [Acting(str(number), unact=lambda _: threading.Event().wait(0.01)) for number in range(100)]

    def press(on: World) -> None:
        if on.host.name == "web2":
            os.kill(os.getpid(), signal.SIGINT)
            heard.wait(timeout=10)
            os.kill(os.getpid(), signal.SIGINT)

    def hear(*_: object) -> None:
        heard.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hear)
    try:
        with pytest.raises(Interrupted, match="not all of it is undone"):
            two.run(*together(*slow, Acting("press", unact=press), StartApp("start")))
    finally:
        signal.signal(signal.SIGINT, before)
    assert two.outcomes() == ["abandoned", "abandoned"]


# What was cut off


def test_operators_take_the_locks_in_one_order_and_a_loser_gives_back_what_it_got() -> None:
    hosts = [RecordingHost(name=name) for name in ("web2", "web1", "web3")]
    servers = [server(host) for host in hosts]
    with locks(servers):
        assert all(LAYOUT.lock in host.files for host in hosts)
    assert not any(LAYOUT.lock in host.files for host in hosts)

    holder = dataclasses.asdict(Operator("bob", "elsewhere", 1, "x")) | {"since": "noon"}
    hosts[0].files[LAYOUT.lock] = File(json.dumps(holder).encode())
    with pytest.raises(LockHeld, match="web2: bob@elsewhere"), locks(servers):
        pytest.fail("it is held")
    assert [LAYOUT.lock in host.files for host in hosts] == [True, False, False]
    assert hosts[2].calls.count(("create", LAYOUT.lock)) == 1, "web3 comes after web2"


def cut_off_on(name: str, *, recorded: bool, agreed: bool = False) -> Server:
    """Return a server on which a deploy of both was cut off, at the latest when it was to be recorded."""
    planned: dict[str, Any] = {
        "event": "planned",
        "action": "deploy",
        "by": "ann@laptop",
        "servers": NAMES,
        "steps": [
            {"verb": "UploadRelease", "release": NEW},
            {"verb": "StartApp", "release": NEW},
            {"verb": "Switch", "release": NEW},
            {"verb": "Record", "release": NEW, "previous": OLD},
        ],
    }
    lines = [planned]
    for step in planned["steps"][: 4 if recorded else 3]:
        lines += [{"event": event, "verb": step["verb"]} for event in ("started", "done")]
    lines += [{"event": AGREED}] if agreed else []
    host = RecordingHost({PATH: "".join(f"{json.dumps(line)}\n" for line in lines).encode()}, name=name)
    for identifier in (OLD, NEW):
        record = release(identifier).model_dump_json().encode()
        site = SITE if identifier == NEW else OLD_SITE
        host.files[LAYOUT.release(identifier) / "release.json"] = File(record)
        host.files[LAYOUT.release(identifier) / "site.conf"] = File(site)
    host.links[LAYOUT.current] = f"releases/{NEW if recorded else OLD}"
    return server(host, RecordingEngine(*tier(OLD, *SERVICES), *tier(NEW, *SERVICES, slot="green")))


@pytest.mark.parametrize("recorded", [(True, True), (True, False), (False, True), (False, False)])
def test_what_no_server_agreed_to_is_reverted_on_all_even_where_it_is_current(recorded: tuple[bool, bool]) -> None:
    servers = [cut_off_on(name, recorded=each) for name, each in zip(NAMES, recorded, strict=True)]

    seen, plans = look(servers, (LAYOUT.current / "site.conf",)), recovery(servers)

    assert [(each.current, each.files[LAYOUT.current / "site.conf"]) for each in seen] == [(OLD, OLD_SITE)] * 2
    assert [plan.release for plan in plans] == [OLD, OLD]
    assert [PointBack(OLD) in plan.steps for plan in plans] == list(recorded)
    assert all(plan.reasons[0].endswith("and is reverted") for plan in plans)


def test_what_one_server_agreed_to_is_finished_on_all() -> None:
    servers = [cut_off_on("web1", recorded=True), cut_off_on("web2", recorded=True, agreed=True)]

    plans = recovery(servers)

    assert [plan.release for plan in plans] == [NEW, NEW]
    assert all(plan.reasons[0].endswith("and is finished") for plan in plans)
    assert not any(PointBack(OLD) in plan.steps for plan in plans)


def test_a_run_that_another_server_has_finished_already_is_finished_too() -> None:
    """A recovery was cut off itself: the journal with the line has come to its end, and still tells."""
    first, second = cut_off_on("web1", recorded=True), cut_off_on("web2", recorded=True, agreed=True)
    second.host.append(PATH, json.dumps({"event": "finished", "outcome": "succeeded"}))

    plans = recovery([first, second])

    assert plans[0].reasons[0].endswith("and is finished")
    assert plans[0].release == NEW


# From the plan to its end


def carried_out(hosts: tuple[Noting, Noting], heard: Heard, *plans: Plan) -> Outcome:
    place = Place(Path("/p"), Path("/p/stacks/sevra-atlas"), STACK, "local")
    servers = [server(host) for host in hosts]
    return carry_out(lambda: plans, place, servers, heard.console, Consent())


def test_plans_are_shown_as_one_and_steps_of_one_server_are_marked() -> None:
    two, heard = Two.made(), Heard()
    first, second = together(Acting("pull"), Acting("migrate"), Acting("start"))
    second = dataclasses.replace(second, steps=(second.steps[0], second.steps[2]))

    outcome = carried_out(two.hosts, heard, first, second)

    assert heard.said.splitlines()[:4] == [
        "deploy sevra-atlas-local on web1, web2: because",
        "   1  pull",
        "   2  migrate (web1 alone)",
        "   3  start",
    ]
    assert outcome.plan == first
    assert len({host.names_in(LAYOUT.journal) for host in two.hosts}) == 1, "found by name on all"
    assert not any(LAYOUT.lock in host.files for host in two.hosts)


def test_plans_that_differ_are_shown_apart() -> None:
    two, heard = Two.made(), Heard()
    first, second = together(Acting("pull"))

    carried_out(two.hosts, heard, first, dataclasses.replace(second, reasons=("another",)))

    told = [line for line in heard.said.splitlines() if line.startswith("deploy")]
    assert told == ["deploy sevra-atlas-local on web1: because", "deploy sevra-atlas-local on web2: another"]


def test_a_server_that_is_lost_is_connected_again_and_put_right_like_the_other() -> None:
    """It had come as far as making the release current; the other had not, so it is not current anywhere."""
    two, heard = Two.made(cut_at="done Record"), Heard()

    with pytest.raises(ConnectionLost, match="web2: the connection was lost in `record`") as caught:
        carried_out(two.hosts, heard, *together(Record(NEW, OLD, release(NEW))))

    assert [host.link_target(LAYOUT.current) for host in two.hosts] == [f"releases/{OLD}"] * 2
    assert any(detail.endswith("and is reverted") for detail in caught.value.details)
    assert not any(LAYOUT.lock in host.files for host in two.hosts)
    for host in two.hosts:
        journals = host.read_in(LAYOUT.journal).values()
        assert all(json.loads(content.splitlines()[-1])["event"] == "finished" for content in journals)


def test_a_server_that_stays_away_is_named_with_what_serves_on_the_other() -> None:
    two, heard = Two.made(cut_at="done Record"), Heard()
    two.hosts[1].gone = True

    with pytest.raises(ConnectionLost, match="web2: the connection was lost in `record`") as caught:
        carried_out(two.hosts, heard, *together(Record(NEW, OLD, release(NEW))))

    assert caught.value.details[-1] == f"web1, web2: release {OLD} still serves"
    assert "invoke recover" in caught.value.fix
    assert two.hosts[0].link_target(LAYOUT.current) == f"releases/{OLD}"
    assert [LAYOUT.lock in host.files for host in two.hosts] == [False, True]


class Away(Noting):
    """A host that nobody can log in to."""

    def create(self, path: PurePosixPath, file: File) -> bool:  # noqa: ARG002
        raise NotReady(f"{self.name}: Connection refused", details=[str(path)])


def test_while_a_server_does_not_answer_nothing_is_done_on_any() -> None:
    calls: list[Call] = []
    hosts, heard = (Noting("web1", calls), Away("web2", calls)), Heard()

    with pytest.raises(NotReady, match="web2: Connection refused") as caught:
        carried_out(hosts, heard, *together(Acting("never", lambda _: pytest.fail("it was done"))))

    assert "needs all of its servers" in caught.value.details[-1]
    assert not hosts[0].files
