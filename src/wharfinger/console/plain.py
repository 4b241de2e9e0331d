"""Steps as timed lines, for logs and pipes: `[  12.3s] start api, worker … done in 2.1s`."""

from __future__ import annotations

import threading
from typing import Final, TextIO

from wharfinger.console.steps import Clock, Progress, Step, StepList
from wharfinger.console.text import duration, size, write

ANNOUNCE_AFTER: Final = 1.0  # a shorter step needs no line of its own before it is done
REPORT_EVERY: Final = 5.0  # seconds between two lines about progress …
REPORT_PART: Final = 0.10  # … or after this part of the whole, but then a second apart
ALIVE_EVERY: Final = 30.0  # a step that reports nothing says that it still runs
_TICK: Final = 0.5


class PlainView:
    """Writes a line where a step begins to take time, moves on, or ends."""

    def __init__(self, stream: TextIO, clock: Clock, began: float, *, ticking: bool = True) -> None:
        self._stream = stream
        self._clock = clock
        self._began = began
        self._lock = threading.RLock()
        self._steps: StepList | None = None
        self._said: dict[Step, tuple[float, str]] = {}  # when the step's last line was written, and what it told
        self._parts: dict[Progress, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console", daemon=True) if ticking else None

    def start(self, steps: StepList) -> None:
        """Begin to report on `steps`."""
        self._steps = steps
        if self._thread:
            self._thread.start()

    def finished(self, step: Step) -> None:
        """Write how the step ended."""
        how = {
            "done": f"done in {duration(step.seconds)}" + (f": {step.outcome}" if step.outcome else ""),
            "skipped": step.remark,
            "interrupted": f"interrupted after {duration(step.seconds)}",
        }.get(step.state, f"failed after {duration(step.seconds)}")
        with self._lock:
            self._said.pop(step, None)
            self._line(f"{step.title} … {how}")
            for finding in step.findings:
                write(self._stream, f"{'':>10}  {finding}\n")

    def above(self, text: str) -> None:
        """Write lines as they are."""
        with self._lock:
            write(self._stream, text)

    def stop(self) -> None:
        """Report no more."""
        self._over.set()
        if self._thread:
            self._thread.join()

    def tick(self) -> None:
        """Write what is due by now about the running steps."""
        with self._lock:
            for step in self._steps.in_state("running") if self._steps else ():
                self._report(step)

    def _run(self) -> None:
        while not self._over.wait(_TICK):
            self.tick()

    def _report(self, step: Step) -> None:
        if step.seconds < ANNOUNCE_AFTER or step.state != "running":
            return
        bars, told = (
            step.bars,
            "; ".join((*(_amount(bar) for bar in step.bars), *filter(None, [step.remark]))),
        )
        if step not in self._said:
            self._line(f"{step.title} … {told}".rstrip())
        else:
            when, before = self._said[step]
            silent = self._clock() - when
            moved = any((bar.fraction or 0) - self._parts.get(bar, 0) >= REPORT_PART for bar in bars)
            if told != before and (silent >= REPORT_EVERY or (moved and silent >= ANNOUNCE_AFTER)):
                self._line(f"{step.title} … {told}".rstrip())
            elif silent >= ALIVE_EVERY:
                self._line(f"{step.title} … still running after {duration(step.seconds)}")
            else:
                return
        self._said[step] = (self._clock(), told)
        self._parts.update({bar: bar.fraction or 0 for bar in bars})

    def _line(self, text: str) -> None:
        write(self._stream, f"[{duration(self._clock() - self._began):>7}] {text}\n")


def _amount(bar: Progress) -> str:
    number = size if bar.unit == "bytes" else str
    if bar.fraction is None or bar.total is None:
        return f"{bar.label} {number(bar.completed)}" if bar.completed else bar.label
    return f"{bar.label} {number(bar.completed)} of {number(bar.total)} ({bar.fraction:.0%})"
