"""Where the runs of several servers wait for each other, and what each is told of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wharfinger.steps import Step

READY, STARTING, SWITCHING, RECORDING, COUNTING = range(5)
"""How far a run is: all is at hand, the new tier starts, it gets the traffic, it becomes current, it counts."""

_STARTS: Final = ("Measure", "StopFirst", "StartApp", "KeepScale", "StartMore")
_SWITCHES: Final = ("PutSite", "Switch", "Verify")


def stages(steps: Sequence[Step]) -> tuple[int, ...]:
    """Return how far a run has to be with all that precedes before each of its steps may begin, never falling.

    What recovers an earlier run comes first and waits for nobody. A run that counts nowhere does so at its end.
    """
    verbs = [type(step).__name__ for step in steps]
    start = _first(verbs, _STARTS, after=0)
    switch = _first(verbs, _SWITCHES, after=start)
    record = _first(verbs, ("Record",), after=start)
    count = record + 1 if record < len(verbs) else _where_only_tidying_is_left(steps)
    begins = {STARTING: start, SWITCHING: switch, RECORDING: record, COUNTING: count}
    return tuple(
        max((stage for stage, begin in begins.items() if index >= begin), default=READY) for index in range(len(verbs))
    )


def _where_only_tidying_is_left(steps: Sequence[Step]) -> int:
    kept = next((number for number, step in enumerate(reversed(steps)) if not step.tidies), len(steps))
    return len(steps) - kept


def _first(verbs: Sequence[str], wanted: Sequence[str], *, after: int) -> int:
    return next((index for index in range(after, len(verbs)) if verbs[index] in wanted), len(verbs))
