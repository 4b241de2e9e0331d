"""Which release a rollback brings back: the last good one of when nobody else can change that any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.examples import LAYOUT
from tests.recording import Heard, RecordingHost, server
from tests.unit.planning.situations import NEW, OLD, STACK, release, serving, wanted

from wharfinger import rolling_back
from wharfinger.carrying_out import Consent
from wharfinger.connecting import Server
from wharfinger.errors import UsageError
from wharfinger.facts import Observed
from wharfinger.project import Place

PLACE: Final = Place(Path("/p"), Path("/p/stacks/sevra-atlas"), STACK, "local")


def test_the_release_is_chosen_once_and_under_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    host, locked = RecordingHost(), []

    @contextmanager
    def connect_all(_: Place) -> Iterator[tuple[Server, ...]]:
        yield (server(host),)

    def look(_servers: Sequence[Server], _paths: object) -> tuple[Observed, ...]:
        locked.append(LAYOUT.lock in host.files)
        return (serving(wanted(NEW), releases=[release(OLD)], current=OLD),)

    monkeypatch.setattr(rolling_back, "connect_all", connect_all)
    monkeypatch.setattr(rolling_back, "look", look)

    with pytest.raises(UsageError, match="no successful release before"):
        rolling_back.roll_back(PLACE, Heard().console, to=None, consent=Consent())

    assert locked == [True]
    assert LAYOUT.lock not in host.files
