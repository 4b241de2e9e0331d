"""The journal can be read by a program and by a person, in whatever language people have their names."""

from __future__ import annotations

import json

from tests.examples import LAYOUT
from tests.recording import RecordingHost

from wharfinger.health import Address
from wharfinger.journal import Journal
from wharfinger.model.checks import Check
from wharfinger.model.release import Live
from wharfinger.steps.app import StartApp
from wharfinger.steps.edge import Switch
from wharfinger.steps.verify import Verify

PATH = LAYOUT.journal / "one.jsonl"


def test_a_journal_is_one_json_document_a_line_that_nobody_else_reads() -> None:
    host = RecordingHost()
    journal = Journal(host, PATH, lambda: "now")
    steps = (
        StartApp("r2", "green", {"api": 2}, timeout=120),
        Switch("r2", "green", Live("blue", "r1"), (("api", "/health"),)),
        Verify("20261120143000", Address("http://x", "x", "127.0.0.1", 80), (Check(path="/"),), {"web": 1}),
    )

    journal.planned(steps, by="åsa@laptop", action="deploy")
    journal.step("failed", steps[0], problem="zwei\nZeilen")
    journal.finished("reverted")

    first, second, third = (json.loads(line) for line in (host.read(PATH) or b"").decode().splitlines())
    assert (first["by"], first["action"]) == ("åsa@laptop", "deploy")
    assert first["steps"][0] == {
        "verb": "StartApp",
        "release": "r2",
        "slot": "green",
        "expected": {"api": 2},
        "timeout": 120,
    }
    assert first["steps"][1]["previous"] == "blue:r1"
    assert [step["verb"] for step in first["steps"]] == ["StartApp", "Switch", "Verify"]
    assert second == {"at": "now", "event": "failed", "verb": "StartApp", "problem": "zwei\nZeilen"}
    assert third == {"at": "now", "event": "finished", "outcome": "reverted"}
    assert host.files[PATH].mode == 0o600
