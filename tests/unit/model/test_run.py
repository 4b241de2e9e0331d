"""What a journal tells of a run that did not come to its end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wharfinger.model.run import CutOff, cut_off

PLANNED = {
    "at": "2026-11-20T14:30:00.000+00:00",
    "event": "planned",
    "action": "deploy",
    "by": "ann@laptop",
    "steps": [{"verb": "StartApp", "release": "20261120143000"}, {"verb": "Record", "release": "20261120143000"}],
}
STARTED, DONE = {"event": "started", "verb": "StartApp"}, {"event": "done", "verb": "StartApp"}


def read(*lines: dict[str, Any], torn: bytes = b"") -> CutOff | None:
    return cut_off("x.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines) + torn)


@pytest.mark.parametrize("outcome", ["succeeded", "reverted"])
def test_a_run_that_came_to_its_end_was_not_cut_off(outcome: str) -> None:
    assert read(PLANNED, STARTED, {"event": "finished", "outcome": outcome}) is None


@pytest.mark.parametrize("torn", [b"", b'{"event": "fini', b"\xff\xfe\n", b"[]\n"])
def test_it_says_what_was_begun_and_by_whom_even_with_a_torn_line(torn: bytes) -> None:
    run = read(PLANNED, STARTED, DONE, {"event": "started", "verb": "Record"}, torn=torn)

    assert run is not None
    assert (run.release, run.begun, run.done) == ("20261120143000", ("StartApp", "Record"), ("StartApp",))
    assert str(run) == "the deploy of release 20261120143000 by ann@laptop was cut off in Record"


def test_an_empty_journal_is_that_of_a_run_that_did_nothing() -> None:
    run = cut_off("x.jsonl", b"")

    assert run is not None
    assert (run.release, run.begun) == (None, ())
    assert not run.is_committed("20261120143000")


@pytest.mark.parametrize(
    ("begun", "done", "current", "committed"),
    [
        ((), (), "20261120120000", False),
        (("Record",), (), "20261120120000", False),  # the link was not set yet
        (("Record",), (), "20261120143000", True),
        (("Record",), ("Record",), "20261120143000", True),
        (("Record",), ("Record",), "20261121000000", True),  # and another release followed
        (("StartApp",), (), "20261120143000", False),  # the current release, started again
    ],
)
def test_a_run_counts_from_the_moment_its_release_is_current(
    begun: tuple[str, ...], done: tuple[str, ...], current: str, committed: bool
) -> None:
    events = [*({"event": "started", "verb": verb} for verb in begun), *({"event": "done", "verb": v} for v in done)]
    run = read(PLANNED, *events)

    assert run is not None
    assert run.is_committed(current) is committed


@pytest.mark.parametrize(
    ("action", "done", "committed"),
    [
        ("scale", ("KeepScale",), False),
        ("scale", ("KeepScale", "StartMore"), True),  # only old replicas are left to stop
        ("restart", ("KeepScale", "StartMore", "RetireReplicas"), True),
        ("recover", ("KeepScale", "StartMore"), False),
    ],
)
def test_a_scale_that_records_nothing_counts_once_its_replicas_run(
    action: str, done: tuple[str, ...], committed: bool
) -> None:
    steps = [{"verb": verb} for verb in ("KeepScale", "StartMore", "RetireReplicas")]
    run = read({**PLANNED, "action": action, "steps": steps}, *({"event": "done", "verb": verb} for verb in done))

    assert run is not None
    assert run.is_committed("20261120120000") is committed
