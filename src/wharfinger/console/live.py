"""Steps as a live region of a terminal: finished ones scroll up for good, the rest is redrawn below them.

Written by hand rather than with Rich's Live, which leaves torn frames behind when a window is made narrower
and costs 120 ms to load. The cursor is never hidden and no mode is changed: whatever ends us, the terminal is
sane.
"""

from __future__ import annotations

import os
import threading
from typing import Final, TextIO

from wharfinger.console.steps import Progress, Step, StepList
from wharfinger.console.text import cell_len, duration, fit, pad, paint, size, write

_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_REDRAW: Final = 0.1
_BAR: Final = 24
_SHORTEST_BAR: Final = 5
_MARKS: Final = {
    "done": ("✓", "green", ""),
    "failed": ("✗", "red", "failed after "),
    "interrupted": ("✗", "yellow", "interrupted after "),
}
Line = tuple[tuple[str, str], ...]  # (text, style) after each other


class LiveView:
    """Redraws what runs and what is to come ten times a second, cut to the terminal's width of then."""

    def __init__(self, stream: TextIO, *, colour: bool, ticking: bool = True) -> None:
        self._stream = stream
        self._colour = colour
        self._steps: StepList | None = None
        self._drawn: tuple[int, ...] = ()  # the cells that each line of the last frame took
        self._width = 0
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console", daemon=True) if ticking else None

    def start(self, steps: StepList) -> None:
        """Begin to draw `steps`."""
        self._steps = steps
        self.draw()
        if self._thread:
            self._thread.start()

    def finished(self, step: Step) -> None:
        """Put the step's last line above the region, where it stays."""
        if step.state == "skipped":
            self.above(self._painted(((f"- {step.title}  {step.remark}", "dim"),)))
        else:
            mark, style, how = _MARKS[step.state]
            took = f"  {how}{duration(step.seconds)}"
            outcome = f"  {step.outcome}" if step.outcome and step.state == "done" else ""
            line: Line = ((mark, style), (f" {step.title}", ""), (outcome, "cyan"), (took, "dim"))
            found: list[Line] = [((f"    {one}", "dim" if one.passed else "red"),) for one in step.findings]
            self.above("\n".join(map(self._painted, (line, *found))))

    def above(self, text: str) -> None:
        """Put lines above the region."""
        self.draw(text.splitlines())

    def stop(self) -> None:
        """Take the region away."""
        self._over.set()
        if self._thread:
            self._thread.join()
        with self._lock:
            self._steps = None
            self.draw()

    def draw(self, above: list[str] | None = None) -> None:
        """Draw the region anew, below the lines `above`."""
        with self._lock:
            width, height = size_of(self._stream)
            frame = self._frame(width - 1, height - 1)  # a full last column makes some terminals wrap
            # A terminal that gets narrower wraps what it shows anew: the old frame may be taller now.
            up = sum(max(1, -(-cells // width)) for cells in self._drawn)
            lines = [*(above or ()), *map(self._painted, frame)]
            home = f"\x1b[{up}F" if up else ""
            if width != self._width:
                home += "\x1b[J"  # rows that were wrapped before must not be joined with what is written now
            write(self._stream, home + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
            self._width = width
            self._drawn = tuple(sum(cell_len(text) for text, _ in line) for line in frame)

    def _run(self) -> None:
        while not self._over.wait(_REDRAW):
            self.draw()

    def _frame(self, width: int, height: int) -> list[Line]:
        if not self._steps:
            return []
        lines: list[Line] = []
        for step in self._steps.in_state("running"):
            lines.append(_running(step, width))
            bars = step.bars
            labels = min(max((cell_len(bar.label) for bar in bars), default=0), width // 3)
            lines += [_bar(bar, labels, width) for bar in bars]
        lines += [((fit(f"· {step.title}", width), "dim"),) for step in self._steps.in_state("pending")]
        if len(lines) > height:
            more = f"… {len(lines) - height + 1} more"
            lines = [*lines[: max(0, height - 1)], ((fit(more, width), "dim"),)]
        return lines

    def _painted(self, line: Line) -> str:
        return "".join(paint(text, style if self._colour else "") for text, style in line)


def size_of(stream: TextIO) -> tuple[int, int]:
    """Return columns and rows of a terminal; some that know neither say 0."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except OSError:
        columns = rows = 0
    return columns or 80, rows or 24


def _running(step: Step, width: int) -> Line:
    spinner = _SPINNER[int(step.seconds * 10) % len(_SPINNER)]
    took = f"  {duration(step.seconds)}"
    title = fit(step.title, width - 2 - cell_len(took))
    left = width - 2 - cell_len(title) - cell_len(took) - 2
    remark = f"  {fit(step.remark, left)}" if step.remark and left > _SHORTEST_BAR else ""
    return ((spinner, "cyan"), (f" {title}", ""), (remark, "cyan"), (took, "dim"))


def _bar(bar: Progress, labels: int, width: int) -> Line:
    label = f"    {pad(fit(bar.label, labels), labels)}  "
    number = size if bar.unit == "bytes" else str
    done = bar.fraction
    if done is None:
        return ((fit(f"{label}{number(bar.completed) if bar.completed else ''}", width), ""),)
    percent = f"  {done:>4.0%}"
    amount = f"{percent}  {number(bar.completed)} of {number(bar.total or 0)}"
    if cell_len(label) + cell_len(amount) + _SHORTEST_BAR > width:
        amount = percent
    cells = max(0, min(_BAR, width - cell_len(label) - cell_len(amount)))
    if not cells:
        return ((fit(f"{label}{amount}", width), ""),)
    filled = int(cells * done)
    return ((label, ""), ("━" * filled, "green"), ("─" * (cells - filled), "dim"), (amount, ""))
