"""Where the runs of several servers wait for each other, and learn that one of them failed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from typing import Final

from wharfinger.errors import ConnectionLost
from wharfinger.planning.together import COUNTING

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HEARD_WITHIN: Final = 0.5


class Stopped(Exception):
    """Another server's run failed, or the user pressed Ctrl-C: this one is to go no further."""


class Meeting:
    """How far each run is; safe to use from a thread a run. A run alone never waits.

    `agree` is called once, when all have come to the point from which on the release counts; what it raises is what
    keeps it from counting.
    """

    def __init__(self, runs: int, agree: Callable[[], None]) -> None:
        self._changed = threading.Condition()
        self._reached = [0] * runs
        self._agree = agree
        self._stopped = False
        self.counts = False
        """Whether the release counts on all servers, so that nothing is undone any more."""
        self.in_doubt = False
        """Whether it cannot be known if it counts: no server answered when it was to be written down."""
        self.first: int | None = None
        """The run that failed first."""
        self.interrupted = False
        self.abandoned = False
        """Whether the user pressed Ctrl-C again, so that undoing ends too."""

    @property
    def is_of_several(self) -> bool:
        """Whether there is more than one run."""
        return len(self._reached) > 1

    def arrive(self, run: int, stage: int) -> None:
        """Return once every run has come to `stage`; raises Stopped once one of them has failed."""
        with self._changed:
            self._reached[run] = stage
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopped or min(self._reached) >= stage)
            if self._stopped:
                raise Stopped
            if stage == COUNTING and not self.counts:
                self._let_count()

    def _let_count(self) -> None:
        try:
            self._agree()
        except BaseException as error:
            self.in_doubt = isinstance(error, ConnectionLost)
            self._stop()
            raise
        self.counts = True

    def fail(self, run: int, error: BaseException) -> None:
        """Stop every run, unless the release counts already."""
        with self._changed:
            if self.first is None and not isinstance(error, Stopped):
                self.first = run
            if not self.counts:
                self._stop()

    def interrupt(self) -> None:
        """Stop every run where its step ends; the second time, what undoes them too."""
        with self._changed:
            self.abandoned, self.interrupted = self.interrupted, True
            self._stop()

    def _stop(self) -> None:
        self._stopped = True
        self._changed.notify_all()


def side_by_side(runs: Sequence[Callable[[], None]], meeting: Meeting) -> None:
    """Return once all runs have ended; Ctrl-C hits one alone at once, and several where their steps end."""
    if len(runs) == 1:
        runs[0]()
        return
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # until this thread, which alone is woken by them, waits
    waiting, ended = threading.Event(), [threading.Event() for _ in runs]

    def carry_out(number: int) -> None:
        waiting.wait()
        signal.pthread_sigmask(signal.SIG_SETMASK, held)  # the commands that it starts have it too
        try:
            runs[number]()
        finally:
            ended[number].set()

    for number in range(len(runs)):
        threading.Thread(target=carry_out, args=(number,), daemon=True).start()
    pressed = told = 0
    while not all(each.is_set() for each in ended):
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            waiting.set()
            while told < pressed:
                meeting.interrupt()
                told += 1
            for each in ended:  # not of the threads: a join that Ctrl-C ends takes its thread for ended too
                each.wait(_HEARD_WITHIN)  # a Ctrl-C in the moment before it blocks would not wake it
        except KeyboardInterrupt:
            pressed += 1
