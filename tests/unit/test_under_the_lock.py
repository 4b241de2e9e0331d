"""What a run is about (which release to go back to, which one to scale) is decided when nobody else can change that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from tests.examples import LAYOUT
from tests.recording import Heard, RecordingHost, server
from tests.unit.planning.situations import NEW, OLD, STACK, release, serving, wanted

from wharfinger import rolling_back, scaling
from wharfinger.carrying_out import Consent
from wharfinger.connecting import Server
from wharfinger.console import Console
from wharfinger.errors import WharfingerError
from wharfinger.facts import Observed
from wharfinger.project import Place

PLACE: Final = Place(Path("/p"), Path("/p/stacks/sevra-atlas"), STACK, "local")


def roll_back(console: Console) -> None:
    rolling_back.roll_back(PLACE, console, to=None, consent=Consent())


def scale(console: Console) -> None:
    scaling.scale(PLACE, console, "api=3", consent=Consent())


def restart(console: Console) -> None:
    scaling.restart(PLACE, console, (), consent=Consent())


@pytest.mark.parametrize(
    ("module", "act", "current", "problem"),
    [
        (rolling_back, roll_back, OLD, "no successful release before"),
        (scaling, scale, NEW, "does not run"),
        (scaling, restart, NEW, "does not run"),
    ],
)
def test_what_it_is_about_is_seen_once_and_under_the_lock(
    module: ModuleType, act: Callable[[Console], None], current: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, locked = RecordingHost(), []

    @contextmanager
    def connect_all(_: Place) -> Iterator[tuple[Server, ...]]:
        yield (server(host),)

    def look(_servers: Sequence[Server], _paths: object) -> tuple[Observed, ...]:
        locked.append(LAYOUT.lock in host.files)
        return (serving(wanted(NEW), releases=[release(OLD)], current=current),)

    monkeypatch.setattr(module, "connect_all", connect_all)
    monkeypatch.setattr(module, "look", look)

    with pytest.raises(WharfingerError, match=problem):
        act(Heard().console)

    assert locked == [True]
    assert LAYOUT.lock not in host.files
