"""What a person sees, in a terminal (a real pty, read by a terminal emulator) and in a log."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TextIO

import pydantic
import pyte
import pytest

from wharfinger.console import Console, StepList, detect
from wharfinger.console.live import LiveView
from wharfinger.console.plain import PlainView
from wharfinger.console.text import cell_len, duration, fit, printable, size
from wharfinger.errors import BuildFailed, NotReady
from wharfinger.secrets import Secret


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Log:
    """A console without a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.clock = Clock()
        self.out, self.err = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2))
        self.console = Console(self.out, self.err, clock=self.clock, ticking=False)

    @staticmethod
    def _lines(stream: io.TextIOWrapper) -> list[str]:
        buffer = stream.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode(stream.encoding).splitlines()

    @property
    def told(self) -> list[str]:
        return self._lines(self.err)

    @property
    def given(self) -> list[str]:
        return self._lines(self.out)

    def pass_time(self, steps: StepList, seconds: float) -> None:
        """Let time go by in the half seconds in which the real console looks at its steps."""
        view = steps._view
        assert isinstance(view, PlainView)
        for _ in range(int(seconds * 2)):
            self.clock.now += 0.5
            view.tick()


@pytest.fixture
def log() -> Log:
    return Log()


class Terminal:
    """A pty and the screen that a person would see on it."""

    def __init__(self, columns: int, rows: int) -> None:
        self.master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self.screen = pyte.HistoryScreen(columns, rows, history=500)
        self.raw = b""
        self._parser = pyte.ByteStream(self.screen)
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        termios.tcsetwinsize(self.master, (rows, columns))
        self.screen.resize(rows, columns)

    def see(self) -> list[str]:
        """Return what is on the screen, blank lines left out."""
        self.stream.flush()
        os.set_blocking(self.master, False)
        try:
            while chunk := os.read(self.master, 65536):
                self.raw += chunk
                self._parser.feed(chunk)
        except BlockingIOError:
            pass
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def close(self) -> None:
        self.stream.close()
        os.close(self.master)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def new(columns: int = 80, rows: int = 24) -> Terminal:
        opened.append(Terminal(columns, rows))
        return opened[-1]

    yield new
    for each in opened:
        each.close()


def live(terminal: Terminal, clock: Callable[[], float] = time.monotonic, *, ticking: bool = True) -> Console:
    return Console(terminal.stream, terminal.stream, live=True, clock=clock, ticking=ticking)


def redraw(steps: StepList) -> None:
    view = steps._view
    assert isinstance(view, LiveView)
    view.draw()


# --- a log -------------------------------------------------------------------------------------------------


def test_a_short_step_is_one_timed_line(log: Log) -> None:
    log.clock.now += 12.3
    with log.console.steps(["start api, worker"]) as steps, steps.step("start api, worker"):
        log.pass_time(steps, 0.5)
    assert log.told == ["[  12.8s] start api, worker … done in 0.5s"]


def test_a_long_silent_step_says_that_it_runs(log: Log) -> None:
    with log.console.steps([]) as steps, steps.step("build"):
        log.pass_time(steps, 65)
    assert log.told == [
        "[   1.0s] build …",
        "[  31.0s] build … still running after 31.0s",
        "[ 1m 01s] build … still running after 1m 01s",
        "[ 1m 05s] build … done in 1m 05s",
    ]


def test_progress_is_told_but_not_at_every_event(log: Log) -> None:
    with (
        log.console.steps([]) as steps,
        steps.step("push") as step,
        step.progress("api", total=None, unit="bytes") as bar,
    ):
        for part in range(1000):  # 100 s, 1000 events
            bar.update(part * 100_000, 100_000_000)
            if part % 5 == 0:
                log.pass_time(steps, 0.5)
    about_api = [line for line in log.told if "api" in line]
    assert 10 <= len(about_api) <= 22
    assert about_api[1] == "[   6.0s] push … api 5.5 MB of 100.0 MB (6%)"
    times = [float(line[1:8].strip("s ")) for line in about_api if "m" not in line[1:8]]
    assert max(b - a for a, b in pairwise(times)) <= 5.5


def test_a_note_that_does_not_change_is_not_repeated(log: Log) -> None:
    with log.console.steps([]) as steps, steps.step("start") as step:
        step.note("2 of 3 healthy")
        log.pass_time(steps, 20)
    assert sum("2 of 3 healthy" in line for line in log.told) == 1


def test_parallel_work_shares_a_line(log: Log) -> None:
    with (
        log.console.steps([]) as steps,
        steps.step("build") as step,
        step.progress("api", total=12, unit="steps") as api,
        step.progress("worker", total=None, unit="steps") as worker,
    ):
        api.advance(3)
        worker.advance(7)
        log.pass_time(steps, 1)
    assert log.told[0] == "[   1.0s] build … api 3 of 12 (25%); worker 7"


def test_a_failed_step_says_so_and_the_error_goes_on(log: Log) -> None:
    with (
        pytest.raises(BuildFailed, match="no space"),
        log.console.steps(["build", "push"]) as steps,
        steps.step("build"),
    ):
        raise BuildFailed("no space")
    assert log.told == ["[   0.0s] build … failed after 0.0s"]


def test_a_skipped_step_says_why(log: Log) -> None:
    with log.console.steps(["build"]) as steps:
        steps.skip("build", "tree-0123 is in the registry")
    assert log.told == ["[   0.0s] build … tree-0123 is in the registry"]


def test_what_came_of_a_step_stays_and_its_notes_go(log: Log, terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    for console in (log.console, live(screen, log.clock, ticking=False)):
        with console.steps([]) as steps, steps.step("build") as step:
            step.note("api: RUN pip")
            step.conclude("2 images built")
    assert log.told == ["[   0.0s] build … done in 0.0s: 2 images built"]
    assert screen.see() == ["✓ build  2 images built  0.0s"]


def test_timings_name_what_ran(log: Log) -> None:
    with log.console.steps(["build", "push", "never"]) as steps:
        with steps.step("build"):
            log.clock.now += 2
        steps.skip("push", "unchanged")
        with steps.step("unannounced"):
            log.clock.now += 1
    assert steps.timings == (("build", 2.0), ("unannounced", 1.0))


def test_the_same_title_twice_is_two_steps(log: Log) -> None:
    with log.console.steps(["verify", "verify"]) as steps:
        with steps.step("verify"):
            log.clock.now += 2
        with steps.step("verify"):
            log.clock.now += 1
    assert steps.timings == (("verify", 2.0), ("verify", 1.0))


def test_steps_inside_steps_go_into_the_running_list(log: Log) -> None:
    with log.console.steps(["a"]) as outer, log.console.steps(["b"]) as inner:
        assert inner is outer
    with log.console.steps([]) as later:
        assert later is not outer


def test_the_real_console_reports_without_being_asked() -> None:
    err = io.StringIO()
    console = Console(io.StringIO(), err)
    with console.steps([]) as steps, steps.step("wait"):
        deadline = time.monotonic() + 5
        while "wait …" not in err.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert err.getvalue().endswith("wait …\n")
    assert not [thread for thread in threading.enumerate() if thread.name == "console"]


# --- errors, data ------------------------------------------------------------------------------------------


def test_an_error_shows_problem_details_and_fix(log: Log) -> None:
    log.console.error(NotReady("no engine", details=["tried /var/run/docker.sock", "a\nb"], fix="./run doctor"))
    assert log.told == ["error: no engine", "  tried /var/run/docker.sock", "  a", "  b", "fix: ./run doctor"]
    assert log.given == []


def test_texts_from_outside_are_shown_as_they_are_and_cannot_move_the_cursor(log: Log) -> None:
    log.console.error(BuildFailed("[red]no[/red] :smile:", details=["\x1b[2J\x1b]0;title\x07\x1b[31mred\r\x08\x9b2J"]))
    assert log.told == ["error: [red]no[/red] :smile:", "  red2J"]


def test_data_is_not_touched(log: Log) -> None:
    log.console.data("a\tb\x1b[0m")
    assert log.given == ["a\tb\x1b[0m"]
    assert log.told == []


def test_json_keeps_order_and_hides_secrets(log: Log) -> None:
    @dataclass(frozen=True)
    class Service:
        name: str
        token: Secret

    class Model(pydantic.BaseModel):
        path: Path

    value = {
        "z": Service("api", Secret("hunter2")),
        "a": [Secret("hunter3"), Path("/x"), datetime(2026, 11, 20, tzinfo=UTC), {"b", "a"}],
        "m": Model(path=Path("/y")),
        "u": "Zürich",
    }
    log.console.json(value)
    text = "\n".join(log.given)
    assert list(json.loads(text)) == ["z", "a", "m", "u"]
    assert json.loads(text) == {
        "z": {"name": "api", "token": "***"},
        "a": ["***", "/x", "2026-11-20T00:00:00+00:00", ["a", "b"]],
        "m": {"path": "/y"},
        "u": "Zürich",
    }
    assert "hunter" not in text


def test_json_refuses_what_it_does_not_know(log: Log) -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        log.console.json({"a": object()})


def test_a_table_is_aligned_by_cells(log: Log) -> None:
    log.console.table(["NAME", "STATE"], [["日本", "up"], ["api", "down\nfor long"], ["e\u0301", ""]])
    assert log.given == ["NAME  STATE", "日本  up", "api   down for long", "e\u0301"]


def test_a_table_without_rows_shows_its_headers(log: Log) -> None:
    log.console.table(["NAME", "STATE"], [])
    assert log.given == ["NAME  STATE"]


def test_a_summary_is_for_people(log: Log) -> None:
    log.console.summary(
        [("release", "20261120143000"), ("url", "http://localhost:8080")],
        [("build", 2.04), ("start api", 65)],
    )
    assert log.given == []
    assert log.told == [
        "  release  20261120143000",
        "  url      http://localhost:8080",
        "  time     1m 07s: build 2.0s · start api 1m 05s",
    ]


def test_a_long_summary_is_wrapped_under_itself_and_a_digest_is_not_broken(log: Log) -> None:
    digest = "127.0.0.1:5055/sevra-atlas/api@sha256:" + "a" * 64
    log.console.summary([("api", digest)], [(f"step {n}", 1.0) for n in range(20)])
    assert log.told[0].endswith(digest)
    assert all(line.startswith("        ") for line in log.told[2:])
    assert max(map(len, log.told[1:])) <= 100


def test_a_poor_encoding_is_not_fatal() -> None:
    log = Log("ascii")
    with log.console.steps([]) as steps, steps.step("start"):
        pass
    log.console.data("Zürich")
    assert log.told == ["[   0.0s] start ... done in 0.0s"]
    assert log.given == ["Z\\xfcrich"]


# --- a terminal --------------------------------------------------------------------------------------------


def test_a_terminal_shows_what_is_done_what_runs_and_what_comes(terminal: Callable[..., Terminal]) -> None:
    screen, clock = terminal(), Clock()
    with live(screen, clock, ticking=False).steps(["render", "build", "push", "start", "switch"]) as steps:
        with steps.step("render"):
            clock.now += 2.1
        steps.skip("build", "unchanged")
        with (
            steps.step("push") as step,
            step.progress("api", total=40_000_000, unit="bytes") as api,
            step.progress("frontend", total=4, unit="steps") as frontend,
        ):
            clock.now += 3
            step.note("2 images")
            api.advance(10_000_000)
            frontend.update(4)
            redraw(steps)
            assert screen.see() == [
                "✓ render  2.1s",
                "- build  unchanged",
                "⠋ push  2 images  3.0s",
                "    api       ━━━━━━──────────────────   25%  10.0 MB of 40.0 MB",
                "    frontend  ━━━━━━━━━━━━━━━━━━━━━━━━  100%  4 of 4",
                "· start",
                "· switch",
            ]
    assert screen.see() == ["✓ render  2.1s", "- build  unchanged", "✓ push  3.0s"]


def test_a_failure_leaves_the_list_as_it_was(terminal: Callable[..., Terminal]) -> None:
    screen, clock = terminal(), Clock()
    console = live(screen, clock, ticking=False)
    error = BuildFailed("[red]no[/red]", fix="free some space")
    with contextlib.suppress(BuildFailed), console.steps(["build", "push"]) as steps, steps.step("build"):
        clock.now += 1
        raise error
    console.error(error)
    assert screen.see() == ["✗ build  failed after 1.0s", "error: [red]no[/red]", "fix: free some space"]


def test_ctrl_c_leaves_a_sane_terminal(terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    before = termios.tcgetattr(screen.master)
    with (
        pytest.raises(KeyboardInterrupt),
        live(screen).steps(["build", "push"]) as steps,
        steps.step("build"),
    ):
        raise KeyboardInterrupt
    assert screen.see()[0].startswith("✗ build  interrupted after ")
    assert len(screen.see()) == 1
    assert termios.tcgetattr(screen.master) == before
    assert not screen.screen.cursor.hidden
    assert (screen.screen.cursor.x, screen.screen.cursor.y) == (0, 1)
    assert not [thread for thread in threading.enumerate() if thread.name == "console"]


def test_words_among_the_steps_stay_above_them(terminal: Callable[..., Terminal]) -> None:
    screen, clock = terminal(), Clock()
    console = live(screen, clock, ticking=False)
    with console.steps(["build", "push"]) as steps, steps.step("build"):
        console.warn("disk is [bold]full")
        console.data("1234")
        assert screen.see() == ["warning: disk is [bold]full", "1234", "⠋ build  0.0s", "· push"]


def test_forty_columns_are_enough(terminal: Callable[..., Terminal]) -> None:
    screen, clock = terminal(40, 12), Clock()
    titles = [
        "start api, worker, frontend beside 20261120143000",
        *(f"step {n} with quite a long title" for n in range(20)),
    ]
    with (
        live(screen, clock, ticking=False).steps(titles) as steps,
        steps.step(titles[0]) as step,
        step.progress("registry.example.com/sevra-atlas/api", total=123_456_789, unit="bytes") as bar,
    ):
        bar.advance(100_000_000)
        step.note("2 of 3 healthy")
        for _ in range(30):
            redraw(steps)
        shown = screen.see()
        assert shown[0] == "⠋ start api, worker, frontend be…  0.0s"
        assert shown[1] == "    registry.exa…  ━━━━━━━━━━━───   81%"
        assert shown[-1] == "… 12 more"
        assert len(shown) == 11
        assert all(cell_len(line) < 40 for line in shown)
    assert not screen.screen.history.top


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (12, 2)])
def test_even_a_tiny_window_is_no_reason_to_fail(terminal: Callable[..., Terminal], size: tuple[int, int]) -> None:
    screen = terminal(*size)
    with live(screen).steps(["build", "push"]) as steps, steps.step("build") as step:
        with step.progress("api", total=3, unit="steps") as bar:
            bar.advance(1)
            redraw(steps)
        step.note("nearly")
        redraw(steps)
    screen.see()
    assert steps.timings[0][0] == "build"


def test_a_window_that_gets_wider_or_narrower_is_redrawn_at_its_width(
    terminal: Callable[..., Terminal],
) -> None:
    screen, clock = terminal(60, 20), Clock()
    title = "start api, worker, frontend beside 20261120143000"
    with live(screen, clock, ticking=False).steps([title, "switch"]) as steps, steps.step(title):
        assert screen.see()[-1] == "· switch"
        screen.resize(30, 20)
        redraw(steps)
        assert "⠋ start api, worker, f…  0.0s" in screen.see()
        screen.resize(100, 20)
        redraw(steps)
        assert f"⠋ {title}  0.0s" in screen.see()
        assert screen.see().count("· switch") == 1


def test_threads_may_report_at_once(terminal: Callable[..., Terminal]) -> None:
    screen = terminal(80, 40)
    console = live(screen)

    def work(number: int) -> None:
        with steps.step(f"part {number}") as step, step.progress("x", total=50, unit="steps") as bar:
            for turn in range(50):
                bar.advance()
                step.note(f"{turn}")
                if turn % 25 == 0:
                    console.say(f"{number} is at {turn}")

    with console.steps([f"part {number}" for number in range(8)]) as steps:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    shown = screen.see()
    done, said = ([line for line in shown if word in line] for word in ("✓ part", " is at "))
    assert (len(done), len(said), len(shown)) == (8, 16, 24)


# --- which console -----------------------------------------------------------------------------------------


def is_live(console: Console) -> bool:
    with console.steps([]) as steps:
        return isinstance(steps._view, LiveView)


@pytest.mark.parametrize(
    ("environ", "lives", "colours"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({}, False, False),
        ({"TERM": "xterm", "CI": "true"}, False, True),
        ({"TERM": "xterm", "CI": "false"}, True, True),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False, True),
    ],
)
def test_the_console_fits_the_terminal(
    terminal: Callable[..., Terminal], environ: dict[str, str], lives: bool, colours: bool
) -> None:
    screen = terminal()
    console = detect(screen.stream, screen.stream, environ)
    assert is_live(console) is lives
    console.warn("look")
    screen.see()
    assert (b"\x1b[33m" in screen.raw) is colours


def test_a_pipe_is_neither_live_nor_coloured_unless_forced() -> None:
    for environ, colours in (({"TERM": "xterm"}, False), ({"FORCE_COLOR": "1"}, True)):
        out, err = io.StringIO(), io.StringIO()
        console = detect(out, err, environ)
        assert not is_live(console)
        console.warn("look")
        console.table(["A"], [["b"]])
        assert ("\x1b[" in err.getvalue()) is colours
        assert ("\x1b[" in out.getvalue()) is colours


def test_a_terminal_that_lacks_our_signs_gets_lines(terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    with os.fdopen(os.dup(screen.stream.fileno()), "w", encoding="latin-1") as stream:
        assert not is_live(detect(stream, stream, {"TERM": "xterm"}))


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("yep\n", False), ("\x04", False)],
)
def test_only_a_yes_is_a_yes(terminal: Callable[..., Terminal], typed: str, answer: bool) -> None:
    screen = terminal()
    with os.fdopen(os.dup(screen.stream.fileno()), "r", encoding="utf-8") as stdin:
        console = Console(screen.stream, screen.stream, stdin=stdin)
        os.write(screen.master, typed.encode())
        assert console.confirm("Deploy [red]production[/red]?") is answer
    assert "Deploy [red]production[/red]? [y/N]" in "\n".join(screen.see())


def test_where_nobody_can_be_asked_the_answer_is_no(terminal: Callable[..., Terminal]) -> None:
    screen = terminal()
    with os.fdopen(os.dup(screen.stream.fileno()), "r", encoding="utf-8") as tty:
        for stdin, stderr in ((io.StringIO("y\n"), screen.stream), (tty, io.StringIO())):
            streams: tuple[TextIO, TextIO] = (stdin, stderr)
            assert Console(io.StringIO(), streams[1], stdin=streams[0]).confirm("Deploy?") is False
    assert screen.see() == []


# --- texts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (59.94, "59.9s"), (59.96, "1m 00s"), (61.4, "1m 01s"), (3725, "1h 02m")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (45_000_000, "45.0 MB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_fit_cuts_by_cells() -> None:
    assert fit("abcdef", 6) == "abcdef"
    assert fit("abcdef", 4) == "abc…"
    assert fit("日本語", 4) == "日…"
    assert fit("abc", 0) == ""


def test_printable_keeps_what_people_wrote() -> None:
    assert printable("naïve — ✓ 日本\n[x] `y`") == "naïve — ✓ 日本\n[x] `y`"
    assert printable("a\r\nb\rc\x1b[1;31md\x1b(0") == "a\nbcd(0"
