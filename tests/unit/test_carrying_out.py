"""Between a plan and its steps: shown, agreed to, locked, looked at again, journaled."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from tests.examples import LAYOUT
from tests.recording import Heard, RecordingHost, server
from tests.unit.planning.situations import OLD, STACK

from wharfinger.carrying_out import Consent, Outcome, carry_out
from wharfinger.console import Console
from wharfinger.console import Step as Shown
from wharfinger.errors import ConnectionLost, LockHeld, NotConfirmed, WharfingerError
from wharfinger.hosts import Completed, File
from wharfinger.planning import Plan
from wharfinger.project import Place
from wharfinger.steps import World
from wharfinger.steps.app import Retire

PLAN: Final = Plan(
    action="deploy",
    release=OLD,
    steps=(Retire("20261119120000", drain=0), Retire("20261119130000", drain=0)),
    reasons=("image app changed", "values changed: KEY"),
    serving=f"release {OLD} still serves",
    warnings=("the data tier runs with an older data.yaml",),
    changes=("-old", "+new"),
)
PLACE: Final = Place(Path("/p"), Path("/p/stacks/sevra-atlas"), STACK, "local")
YES: Final = Consent(assume_yes=True)


class Terminal(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


def asking() -> Place:
    """The same place, where a deploy must be agreed to."""
    environment = PLACE.environment.model_copy(update={"confirm": True})
    return dataclasses.replace(PLACE, stack=STACK.model_copy(update={"environments": {"local": environment}}))


def carried_out(
    host: RecordingHost,
    console: Console,
    *,
    make_plan: Callable[[], Plan] = lambda: PLAN,
    place: Place = PLACE,
    consent: Consent = Consent(),  # noqa: B008 - it is frozen
) -> Outcome:
    return carry_out(lambda: [make_plan()], place, [server(host)], console, consent)


def untouched(host: RecordingHost) -> bool:
    return not host.calls and not host.files


def test_a_plan_is_shown_run_under_the_lock_and_journaled() -> None:
    host, heard = RecordingHost(), Heard()

    outcome = carried_out(host, heard.console)

    assert [argv[argv.index("--project-name") + 1] for argv in host.commands] == [
        "sevra-atlas-local-20261119120000",
        "sevra-atlas-local-20261119130000",
    ]
    assert outcome.plan == PLAN
    assert [title for title, _ in outcome.timings] == ["retire 20261119120000", "retire 20261119130000"]
    assert heard.said.splitlines()[:4] == [
        "warning: the data tier runs with an older data.yaml",
        "deploy sevra-atlas-local on recorder: image app changed; values changed: KEY",
        "   1  retire 20261119120000",
        "   2  retire 20261119130000",
    ]
    (journal,) = [path for path in host.files if path.parent == LAYOUT.journal]
    assert journal.name.endswith("-deploy.jsonl")
    assert [json.loads(line)["event"] for line in (host.read(journal) or b"").splitlines()][-1] == "finished"
    locking = [call[0] for call in host.calls]
    assert (locking[0], locking[-1]) == ("create", "remove")
    assert LAYOUT.lock not in host.files


@dataclass(frozen=True)
class Looks(Retire):
    """A step that looks at something."""

    def run(self, world: World, shown: Shown) -> None:  # noqa: ARG002 - every step has the same verbs
        shown.found("GET /health", passed=True, seen="200 in 4 ms")
        shown.found("containers", passed=True)


def test_each_line_of_the_checklist_is_a_row_of_the_summary() -> None:
    plan = dataclasses.replace(PLAN, steps=(Looks(OLD, drain=0),))

    outcome = carried_out(RecordingHost(), Heard().console, make_plan=lambda: plan)

    assert outcome.rows == (("check", "GET /health ✓ 200 in 4 ms"), ("check", "containers ✓"))


def test_the_plan_alone_touches_nothing_and_shows_what_would_change() -> None:
    host, heard = RecordingHost(), Heard()

    outcome = carried_out(host, heard.console, consent=Consent(plan_only=True))

    assert untouched(host)
    assert (outcome.plan, outcome.timings) == (PLAN, ())
    assert heard.data == "-old\n+new\n"


def test_an_empty_plan_changes_nothing_and_still_warns() -> None:
    host, heard = RecordingHost(), Heard()
    empty = dataclasses.replace(PLAN, steps=())

    assert carried_out(host, heard.console, make_plan=lambda: empty).plan == empty
    assert (host.commands, host.files) == ([], {})
    assert heard.said == "warning: the data tier runs with an older data.yaml\n"


@pytest.mark.parametrize(
    ("typed", "goes"), [("y\n", True), ("yes\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_where_a_deploy_must_be_agreed_to_only_a_yes_is_one(typed: str, goes: bool) -> None:
    host = RecordingHost()
    console = Console(io.StringIO(), Terminal(), stdin=Terminal(typed), ticking=False)

    if goes:
        carried_out(host, console, place=asking())
    else:
        with pytest.raises(NotConfirmed) as caught:
            carried_out(host, console, place=asking())
        assert caught.value.exit_code == 8

    assert untouched(host) is not goes


def test_ci_agrees_beforehand() -> None:
    host = RecordingHost()

    carried_out(host, Heard().console, place=asking(), consent=YES)

    assert len(host.commands) == 2


def test_where_nobody_can_be_asked_nothing_is_done() -> None:
    host = RecordingHost()

    with pytest.raises(NotConfirmed, match="nothing was changed") as caught:
        carried_out(host, Heard().console, place=asking())

    assert untouched(host)
    assert caught.value.fix == "--yes agrees beforehand"


def test_a_server_that_changed_meanwhile_is_not_touched() -> None:
    """Somebody else deployed while this plan was being read."""
    host, plans = RecordingHost(), [PLAN, dataclasses.replace(PLAN, reasons=("another",))]
    console = Console(io.StringIO(), Terminal(), stdin=Terminal("yes\n"), ticking=False)

    with pytest.raises(WharfingerError, match="changed while the plan was being agreed to; nothing was done") as caught:
        carried_out(host, console, make_plan=lambda: plans.pop(0), place=asking())

    assert caught.value.fix == "invoke deploy"
    assert host.commands == []
    assert host.files == {}


def test_while_somebody_else_deploys_nothing_is_done() -> None:
    host = RecordingHost({LAYOUT.lock: b"somebody"})

    with pytest.raises(LockHeld):
        carried_out(host, Heard().console)

    assert host.commands == []
    assert host.files == {LAYOUT.lock: File(b"somebody")}


def test_where_nobody_is_asked_the_server_is_looked_at_once() -> None:
    looks = []

    def make_plan() -> Plan:
        looks.append("look")
        return PLAN

    carried_out(RecordingHost(), Heard().console, make_plan=make_plan)

    assert looks == ["look"]


class Cut(RecordingHost):
    """A host whose connection is lost as the first tier is to be stopped."""

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if "down" in argv and ("reach again",) not in self.calls:
            self.cut = True
            raise ConnectionLost("recorder: the connection was lost")
        return super().run(argv, **options)


def test_a_connection_that_is_lost_is_made_anew_and_the_run_recovered_from_its_journal() -> None:
    host, heard = Cut(), Heard()

    with pytest.raises(ConnectionLost, match="lost in `retire 20261119120000`") as caught:
        carried_out(host, heard.console)

    assert caught.value.exit_code == 9
    assert caught.value.details == (
        f"the deploy by {host.operator()} was cut off in Retire, and is reverted",
        "nothing is deployed",
    )
    journals = [path for path in host.files if path.parent == LAYOUT.journal]
    ends = [json.loads((host.read(path) or b"").splitlines()[-1]).get("outcome") for path in journals]
    assert sorted(ends) == ["reverted", "succeeded"]
    assert LAYOUT.lock not in host.files


def test_where_there_is_no_other_connection_it_says_what_serves_and_what_mends_it() -> None:
    host, heard = Cut(), Heard()
    host.gone = True

    with pytest.raises(ConnectionLost) as caught:
        carried_out(host, heard.console)

    assert f"release {OLD} still serves" in caught.value.details
    assert "invoke recover" in caught.value.fix
    assert LAYOUT.lock in host.files
