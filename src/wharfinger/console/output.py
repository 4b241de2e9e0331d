"""The one way to the user: stderr for what happens, stdout for what was asked for."""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import PurePath
from typing import Final, TextIO

from wharfinger.console.live import LiveView, size_of
from wharfinger.console.plain import PlainView
from wharfinger.console.steps import Clock, StepList, View
from wharfinger.console.text import cell_len, duration, one_line, pad, paint, printable, write
from wharfinger.errors import WharfingerError
from wharfinger.secrets import Secret

_NO: Final = ("", "0", "false", "no", "off")
_WIDTH: Final = 100  # of a log


class Console:
    """Says what happens on `stderr` and gives data on `stdout`; made by `detect`.

    `live` draws steps as a live list, else they are timed lines. Texts are shown as they are: no markup is
    read in them, and terminal sequences in them are dropped.
    """

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        *,
        live: bool = False,
        colour: tuple[bool, bool] = (False, False),
        stdin: TextIO | None = None,
        clock: Clock = time.monotonic,
        ticking: bool = True,
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._stdin = stdin
        self._live = live
        self._colour_out, self._colour_err = colour
        self._clock = clock
        self._began = clock()
        self._ticking = ticking
        self._running: tuple[StepList, View] | None = None

    def say(self, text: str) -> None:
        """Write a line on stderr."""
        self._tell(printable(text))

    def warn(self, text: str) -> None:
        """Write a line on stderr that asks for attention."""
        self._tell(f"{self._paint('yellow', 'warning:')} {printable(text)}")

    def error(self, error: WharfingerError) -> None:
        """Write on stderr what went wrong, the details, and what mends it."""
        lines = [f"{self._paint('red', 'error:')} {printable(error.problem)}"]
        lines += [f"  {line}" for detail in error.details for line in printable(detail).splitlines()]
        if error.fix:
            lines.append(f"{self._paint('cyan', 'fix:')} {printable(error.fix)}")
        self._tell("\n".join(lines))

    def data(self, text: str) -> None:
        """Write `text` on stdout, unchanged, with a line end."""
        if self._running and self._live and self._stdout.isatty():
            self._running[1].above(printable(text))  # the live region would be drawn over it
        else:
            write(self._stdout, f"{text}\n")

    def json(self, value: object) -> None:
        """Write `value` as JSON on stdout, keys in their given order; every Secret in it is `***`."""
        self.data(json.dumps(value, indent=2, ensure_ascii=False, default=_plain_value))

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write aligned columns on stdout, the headers first."""
        cells = [[one_line(cell) for cell in row] for row in (headers, *rows)]
        widths = [max(cell_len(cell) for cell in column) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(pad, row, widths)).rstrip() for row in cells]
        if self._colour_out:
            lines[0] = paint(lines[0], "bold")
        self.data("\n".join(lines))

    @contextmanager
    def steps(self, titles: Sequence[str]) -> Iterator[StepList]:
        """Show the steps of a run while the block runs; inside another such block they are added to it."""
        if self._running:
            self._running[0].add(titles)
            yield self._running[0]
            return
        view = self._new_view()
        steps = StepList(titles, view, self._clock)
        self._running = (steps, view)
        try:
            view.start(steps)
            yield steps
        finally:
            self._running = None
            view.stop()

    def confirm(self, question: str) -> bool:
        """Ask `question`; only `y` or `yes` is a yes, and where nobody can be asked the answer is no."""
        stdin = self._stdin or sys.stdin
        if stdin is None or stdin.closed or not stdin.isatty() or not self._stderr.isatty():
            return False
        write(self._stderr, f"{printable(question)} {self._paint('bold', '[y/N]')} ")
        answer = stdin.readline()
        if not answer.endswith("\n"):  # Ctrl-D leaves the cursor behind the question
            write(self._stderr, "\n")
        return answer.strip().lower() in ("y", "yes")

    def summary(self, rows: Sequence[tuple[str, str]], timings: Sequence[tuple[str, float]]) -> None:
        """Write on stderr what came out of a run, and its time by step (seconds)."""
        named = [(one_line(name), one_line(value)) for name, value in rows]
        if timings:
            total = duration(sum(seconds for _, seconds in timings))
            parts = (f"{one_line(title)} {duration(seconds)}" for title, seconds in timings)
            named.append(("time", f"{total}: {' · '.join(parts)}"))
        width = max((cell_len(name) for name, _ in named), default=0)
        room = max(20, (size_of(self._stderr)[0] if self._live else _WIDTH) - width - 5)
        for name, value in named:
            lines = textwrap.wrap(value, room, break_long_words=False, break_on_hyphens=False)
            label = self._paint("dim", pad(name, width))
            self._tell(f"  {label}  " + f"\n{' ' * (width + 4)}".join(lines))

    def _new_view(self) -> View:
        if not self._live:
            return PlainView(self._stderr, self._clock, self._began, ticking=self._ticking)
        return LiveView(self._stderr, colour=self._colour_err, ticking=self._ticking)

    def _tell(self, text: str) -> None:
        if self._running:
            self._running[1].above(text if self._live else f"{text}\n")
        else:
            write(self._stderr, f"{text}\n")

    def _paint(self, style: str, text: str) -> str:
        return paint(text, style) if self._colour_err else text


def detect(stdout: TextIO, stderr: TextIO, environ: Mapping[str, str]) -> Console:
    """Return the console that fits these streams.

    A live list needs a UTF-8 terminal that is neither `TERM=dumb` nor a CI's (`CI`). `NO_COLOR` takes colours
    away and wins over `FORCE_COLOR`, which gives them to a pipe too.
    """

    def is_set(name: str) -> bool:
        return environ.get(name, "").lower() not in _NO

    capable = environ.get("TERM", "") not in ("", "dumb")

    def coloured(stream: TextIO) -> bool:
        return not environ.get("NO_COLOR") and (is_set("FORCE_COLOR") or (capable and stream.isatty()))

    utf8 = (stderr.encoding or "").lower().replace("-", "") == "utf8"
    live = capable and utf8 and stderr.isatty() and not is_set("CI")
    return Console(stdout, stderr, live=live, colour=(coloured(stdout), coloured(stderr)))


def _plain_value(value: object) -> object:
    """Return what JSON can show of a value that it does not know."""
    if isinstance(value, Secret | PurePath):
        return str(value)
    if isinstance(value, date):  # and datetime
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping) or hasattr(value, "model_dump"):  # or pydantic's, without loading it
        return dict(value)  # type: ignore[call-overload]
    raise TypeError(f"{type(value).__name__} has no JSON form")
