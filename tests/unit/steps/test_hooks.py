"""Commands of the stack's own: where they run, what they are told, and what their failure is called."""

from __future__ import annotations

import pytest
from tests.examples import LAYOUT, sevra
from tests.recording import Heard, RecordingHost, RecordingRuntime, run_step, world
from tests.unit.planning.situations import NEW

from wharfinger.errors import CommandFailed, StepFailed
from wharfinger.hosts import Completed
from wharfinger.steps.hooks import AfterHook, BeforeHook

URL = "http://localhost:8080"
LOCAL = BeforeHook(NEW, URL, ("./announce", "a release"), None, timeout=5)
INSIDE = AfterHook(NEW, URL, ("app", "warm"), "api", timeout=5)


def test_a_local_command_runs_in_the_stacks_folder_and_is_told_what_is_deployed() -> None:
    host = RecordingHost()

    run_step(LOCAL, world(sevra(), host))

    assert host.commands == [("env", "-C", "/home/ann/stacks/sevra-atlas", "./announce", "a release")]
    assert host.environments == [
        {
            "WHARFINGER_STACK": "sevra-atlas",
            "WHARFINGER_ENVIRONMENT": LAYOUT.target.environment,
            "WHARFINGER_RELEASE": NEW,
            "WHARFINGER_URL": URL,
        }
    ]


def test_a_command_of_a_service_runs_in_the_new_release() -> None:
    host = RecordingHost()

    run_step(INSIDE, world(sevra(), host))

    assert host.calls == [("run_once", NEW, "api", ("app", "warm"))]


def test_the_title_says_when_and_where() -> None:
    assert LOCAL.title == "before_deploy: ./announce a release"
    assert INSIDE.title == "after_deploy in api: app warm"


def test_a_failure_tells_the_last_lines_and_keeps_them_out_of_the_journal() -> None:
    host = RecordingHost()
    done = Completed((), 3, "".join(f"line {number}\n" for number in range(20)), "no such channel\n")

    with pytest.raises(StepFailed) as caught:
        run_step(INSIDE, world(sevra(), host, runtime=RecordingRuntime(host.calls, once=done)))

    assert caught.value.problem == "it exited 3"
    assert len(caught.value.details) == 10
    assert caught.value.details[-1] == "no such channel"


def test_one_that_does_not_end_is_told_so() -> None:
    host = RecordingHost()
    host.answer("./announce", error=CommandFailed(("env",), -9, "no end after 5 s", host="recorder"))

    with pytest.raises(StepFailed, match="it did not end within 5 s"):
        run_step(LOCAL, world(sevra(), host))


def test_the_last_line_of_a_success_is_shown() -> None:
    host, heard = RecordingHost(), Heard()
    host.answer("./announce", stdout="asked\ntold 3 people\n\n")

    with heard.console.steps([LOCAL.title]) as steps, steps.step(LOCAL.title) as shown:
        LOCAL.run(world(sevra(), host), shown)

    assert ": told 3 people" in heard.said
