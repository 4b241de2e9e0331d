"""What the runner promises: a journal that tells everything, and a way back from every failure."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, ClassVar

import pytest
from tests.examples import LAYOUT, sevra
from tests.recording import Heard, RecordingHost, world
from tests.unit.planning.situations import SITE, empty, wanted

from wharfinger import runner
from wharfinger.console import Step as Shown
from wharfinger.errors import ConnectionLost, Interrupted, StepFailed, WharfingerError
from wharfinger.hosts import Completed, File
from wharfinger.journal import Journal
from wharfinger.planning import Plan
from wharfinger.planning.deploy import plan_deploy
from wharfinger.runner import Part
from wharfinger.steps import Step, World
from wharfinger.steps.releases import UploadRelease

PATH = LAYOUT.journal / "one.jsonl"
SERVING = "release 20261120120000 still serves"


@dataclass(frozen=True)
class Verb:
    """A step that remembers when it was run and undone, and fails as it is told."""

    name: str
    error: BaseException | None = field(default=None, repr=False)
    undo_error: BaseException | None = field(default=None, repr=False)
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        return f"do {self.name}"

    def run(self, on: World, shown: Shown) -> None:
        assert isinstance(on.host, RecordingHost)
        on.host.calls.append(("do", self.name))
        shown.note(self.name)
        if self.error is not None:
            raise self.error

    def undo(self, on: World) -> None:
        assert isinstance(on.host, RecordingHost)
        on.host.calls.append(("undo", self.name))
        if self.undo_error is not None:
            raise self.undo_error


@dataclass(frozen=True)
class Tidy(Verb):
    """A step that only tidies."""

    tidies: ClassVar[bool] = True


class FullDisk(RecordingHost):
    """A host whose journal takes only so many lines."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.lines = lines

    def append(self, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:
        if self.lines == 0:
            raise OSError(28, "No space left on device")
        self.lines -= 1
        super().append(path, line, awaited=awaited)


def journal_on(host: RecordingHost) -> Journal:
    ticks = itertools.count()
    return Journal(host, PATH, lambda: f"2026-11-20T14:30:{next(ticks):02}+00:00")


SILENT = WharfingerError("the pager is silent", details=["no carrier"])


def carry_out(*steps: Step, host: RecordingHost) -> Heard:
    heard = Heard()
    plan = Plan("deploy", "20261120143000", steps, ("because",), SERVING)
    runner.run([Part(plan, world(sevra(), host), journal_on(host))], heard.console, by="ann@laptop")
    return heard


def lines(host: RecordingHost) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (host.read(PATH) or b"").splitlines()]


def events(host: RecordingHost) -> Iterator[str]:
    for line in lines(host):
        yield " ".join(str(line[key]) for key in ("event", "outcome") if key in line)


def test_every_step_is_journaled_before_it_begins_and_after_it_is_done() -> None:
    host = RecordingHost()

    carry_out(Verb("a"), Verb("b"), host=host)

    assert lines(host) == [
        {
            "at": "2026-11-20T14:30:00+00:00",
            "event": "planned",
            "action": "deploy",
            "by": "ann@laptop",
            "steps": [{"verb": "Verb", "name": "a"}, {"verb": "Verb", "name": "b"}],
        },
        {"at": "2026-11-20T14:30:01+00:00", "event": "started", "verb": "Verb"},
        {"at": "2026-11-20T14:30:02+00:00", "event": "done", "verb": "Verb"},
        {"at": "2026-11-20T14:30:03+00:00", "event": "started", "verb": "Verb"},
        {"at": "2026-11-20T14:30:04+00:00", "event": "done", "verb": "Verb"},
        {"at": "2026-11-20T14:30:05+00:00", "event": "finished", "outcome": "succeeded"},
    ]


def test_a_failure_undoes_the_failing_step_and_all_before_it_in_reverse() -> None:
    host = RecordingHost()
    failure = WharfingerError("the worker exited", fix="read its log", details=["Traceback", "KeyError"])

    with pytest.raises(StepFailed) as caught:
        carry_out(Verb("a"), Verb("b"), Verb("c", failure), Verb("d"), host=host)

    assert host.calls == [("do", "a"), ("do", "b"), ("do", "c"), ("undo", "c"), ("undo", "b"), ("undo", "a")]
    assert caught.value.problem == "`do c` failed: the worker exited"
    assert caught.value.details == ("Traceback", "KeyError", SERVING)
    assert caught.value.fix == "read its log"
    assert caught.value.exit_code == 7
    undone = ["failed", "undone", "undone", "undone", "finished reverted"]
    assert list(events(host)) == ["planned", "started", "done", "started", "done", "started", *undone]
    assert lines(host)[6]["problem"] == "the worker exited"


def test_a_failure_without_a_mend_says_how_to_go_on() -> None:
    with pytest.raises(StepFailed) as caught:
        carry_out(Verb("a", RuntimeError("boom")), host=RecordingHost())

    assert caught.value.problem == "`do a` failed: RuntimeError: boom"
    assert caught.value.fix == "invoke deploy starts afresh"


def test_ctrl_c_undoes_what_was_begun_and_exits_130() -> None:
    host = RecordingHost()

    with pytest.raises(Interrupted) as caught:
        carry_out(Verb("a"), Verb("b", KeyboardInterrupt()), Verb("c"), host=host)

    assert host.calls == [("do", "a"), ("do", "b"), ("undo", "b"), ("undo", "a")]
    assert (caught.value.exit_code, caught.value.problem) == (130, "interrupted in `do b`")
    assert SERVING in caught.value.details
    assert list(events(host))[-1] == "finished reverted"


def test_an_undo_that_fails_is_told_and_stops_no_other() -> None:
    host, heard = RecordingHost(), Heard()
    broken = Verb("b", undo_error=WharfingerError("the edge is gone"))
    plan = Plan("deploy", "x", (Verb("a"), broken, Verb("c", RuntimeError("boom"))), (), SERVING)

    with pytest.raises(StepFailed, match="boom"):
        runner.run([Part(plan, world(sevra(), host), journal_on(host))], heard.console, by="ann@laptop")

    assert host.calls[-3:] == [("undo", "c"), ("undo", "b"), ("undo", "a")]
    assert "warning: could not undo `do b`: the edge is gone" in heard.said
    assert list(events(host))[-4:] == ["undone", "undo failed", "undone", "finished reverted"]


def test_a_second_ctrl_c_stops_the_undoing_at_once_and_the_journal_says_so() -> None:
    host = RecordingHost()

    with pytest.raises(Interrupted) as caught:
        carry_out(Verb("a"), Verb("b", undo_error=KeyboardInterrupt()), Verb("c", KeyboardInterrupt()), host=host)

    assert host.calls[-2:] == [("undo", "c"), ("undo", "b")]
    assert caught.value.exit_code == 130
    assert "invoke recover" in caught.value.fix
    assert list(events(host))[-2:] == ["undone", "abandoned"]


def test_ctrl_c_between_two_steps_undoes_too() -> None:
    """It need not come while a step runs: here it does while the journal is written."""

    class Pressed(RecordingHost):
        def append(self, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:
            super().append(path, line, awaited=awaited)
            if json.loads(line)["event"] == "done":
                raise KeyboardInterrupt

    host = Pressed()

    with pytest.raises(Interrupted):
        carry_out(Verb("a"), Verb("b"), host=host)

    assert host.calls == [("do", "a"), ("undo", "a")]
    assert list(events(host))[-1] == "finished reverted"


def test_a_step_that_tidies_only_warns() -> None:
    host = RecordingHost()

    heard = carry_out(Verb("a"), Tidy("b", WharfingerError("it does not stop")), Tidy("c"), host=host)

    assert host.calls == [("do", "a"), ("do", "b"), ("do", "c")]
    assert "warning: do b failed: it does not stop; the next deploy tries again" in heard.said
    assert list(events(host))[-4:] == ["failed", "started", "done", "finished succeeded"]


@pytest.mark.parametrize("written", [1, 2, 3, 4, 5, 6])
def test_a_journal_that_cannot_be_written_stops_the_run_and_undoes_it(written: int) -> None:
    """A full disk must not leave the traffic on a release that nobody recorded, nor end in a traceback."""
    host = FullDisk(written)

    with pytest.raises(StepFailed):
        carry_out(Verb("a"), Verb("b"), Verb("c", RuntimeError("boom")), host=host)

    done = [name for verb, name in host.calls if verb == "do"]
    undone = [name for verb, name in host.calls if verb == "undo"]
    assert set(done) <= set(undone)
    assert undone == sorted(undone, reverse=True)


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_what_is_to_run_after_a_failure_runs_once_all_is_undone_and_hides_nothing(error: BaseException) -> None:
    host, heard = RecordingHost(), Heard()
    hooks = (Tidy("page", SILENT), Tidy("tidy"))
    plan = Plan("deploy", "x", (Verb("a"), Verb("b", error)), (), SERVING, on_failure=hooks)

    with pytest.raises((StepFailed, Interrupted)) as caught:
        runner.run([Part(plan, world(sevra(), host), journal_on(host))], heard.console, by="ann@laptop")

    assert host.calls[-4:] == [("undo", "b"), ("undo", "a"), ("do", "page"), ("do", "tidy")]
    assert "do b" in caught.value.problem
    assert "warning: do page failed: the pager is silent\n  no carrier" in heard.said
    assert list(events(host))[-3:] == ["failed", "done", "finished reverted"]


def test_nothing_of_it_runs_where_all_goes_well() -> None:
    host = RecordingHost()
    plan = Plan("deploy", "x", (Verb("a"),), (), SERVING, on_failure=(Tidy("page"),))

    runner.run([Part(plan, world(sevra(), host), journal_on(host))], Heard().console, by="ann@laptop")

    assert host.calls == [("do", "a")]


@dataclass(frozen=True)
class Looking(Verb):
    """A step that looks at something."""

    def run(self, on: World, shown: Shown) -> None:
        shown.found("GET /", passed=self.error is None, seen="12 ms")
        Verb.run(self, on, shown)


@pytest.mark.parametrize("error", [None, WharfingerError("the site is down")])
def test_what_a_step_found_is_journaled_and_shown(error: WharfingerError | None) -> None:
    host, heard = RecordingHost(), Heard()
    plan = Plan("deploy", "x", (Verb("a"), Looking("b", error)), (), SERVING)

    with pytest.raises(StepFailed) if error else contextlib.nullcontext():
        runner.run([Part(plan, world(sevra(), host), journal_on(host))], heard.console, by="ann@laptop")

    (line,) = [line for line in lines(host) if "checks" in line]
    assert line["event"] == ("failed" if error else "done")
    assert line["checks"] == [{"name": "GET /", "passed": error is None, "seen": "12 ms"}]
    assert f"GET / {'✗' if error else '✓'} 12 ms" in heard.said


def test_how_long_each_step_took_is_returned() -> None:
    heard = Heard()
    plan = Plan("deploy", "x", (Verb("a"), Verb("b")), (), SERVING)
    host = RecordingHost()

    ran = runner.run([Part(plan, world(sevra(), host), journal_on(host))], heard.console, by="ann@laptop")

    assert [title for title, _ in ran.timings] == ["do a", "do b"]


def test_nothing_secret_reaches_the_journal_or_the_terminal() -> None:
    """Files hold secrets: a plan's steps are journaled without what they write."""
    host, secret = RecordingHost(), "correct-horse-battery"
    hidden = File(f"SESSION_SECRET={secret}\n".encode(), 0o600)
    want = wanted(files={"compose.yaml": hidden, ".env": hidden}, data_files={"data.yaml": hidden, ".env": hidden})
    plan = plan_deploy(want, empty(want), LAYOUT)
    journal = journal_on(host)

    journal.planned(plan.steps, by="ann@laptop", action=plan.action)

    text = (host.read(PATH) or b"").decode()
    assert [step["verb"] for step in json.loads(text)["steps"]][:4] == [
        "UploadRelease",
        "Pull",
        "StartEdge",
        "StartData",
    ]
    assert secret not in text
    assert SITE.decode().strip() not in text
    assert secret not in repr(plan)


def test_a_failing_step_does_not_tell_what_it_writes() -> None:
    """Neither the error nor the journal shows the contents that a real step carries."""
    host, heard = RecordingHost(), Heard()
    upload = UploadRelease("20261120143000", {".env": File(b"SESSION_SECRET=correct-horse\n", 0o600)})
    plan = Plan("deploy", "x", (upload, Verb("b", RuntimeError("boom"))), (), SERVING)

    with pytest.raises(StepFailed) as caught:
        runner.run([Part(plan, world(sevra(), host), journal_on(host))], heard.console, by="ann@laptop")

    assert "correct-horse" not in str(caught.value) + heard.said + (host.read(PATH) or b"").decode()
    assert host.read(LAYOUT.release("20261120143000") / ".env") is None


@dataclass(frozen=True)
class Cutting(Verb):
    """A step in which the connection is lost."""

    def run(self, on: World, shown: Shown) -> None:
        super().run(on, shown)
        assert isinstance(on.host, RecordingHost)
        on.host.cut = True
        raise OSError("socket closed")


@dataclass(frozen=True)
class TidyCutting(Cutting):
    """The same, once the release counts."""

    tidies: ClassVar[bool] = True


@pytest.mark.parametrize("cutting", [Cutting("b"), TidyCutting("b")])
def test_where_the_connection_is_lost_nothing_is_undone_blindly(cutting: Verb) -> None:
    host = RecordingHost()

    with pytest.raises(ConnectionLost, match="recorder: the connection was lost in `do b`") as caught:
        carry_out(Verb("a"), cutting, Tidy("c"), host=host)

    assert host.calls == [("do", "a"), ("do", "b")]
    assert caught.value.details == (SERVING,)
    assert "invoke recover" in caught.value.fix
    assert caught.value.exit_code == 9


class Poisoned(RecordingHost):
    """A host far away, on which what is not awaited fails by way of what is asked next."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.failed = False

    def append(self, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:  # noqa: ARG002
        if self.full and awaited:
            raise OSError(28, "No space left on device")
        self.failed = self.failed or self.full

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if self.failed:
            self.failed = False
            raise OSError(28, "No space left on device")
        return super().run(argv, **options)


@dataclass(frozen=True)
class Commanding(Verb):
    """A step that asks the host, to do and to undo."""

    def run(self, on: World, shown: Shown) -> None:
        assert isinstance(on.host, Poisoned)
        shown.note(self.name)
        on.host.run(("do", self.name), timeout=1)
        on.host.full = self.name == "b"

    def undo(self, on: World) -> None:
        on.host.run(("undo", self.name), timeout=1)


def test_a_journal_that_cannot_be_written_far_away_keeps_nothing_from_being_undone() -> None:
    host = Poisoned()

    with pytest.raises(StepFailed, match="No space left"):
        carry_out(Commanding("a"), Commanding("b"), Commanding("c"), host=host)

    assert host.commands == [("do", "a"), ("do", "b"), ("undo", "c"), ("undo", "b"), ("undo", "a")]
