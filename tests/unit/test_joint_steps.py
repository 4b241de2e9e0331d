"""The steps of several servers, as a person sees them."""

from __future__ import annotations

import pytest
from tests.recording import Heard

from wharfinger.console.joint import JointSteps, merged


@pytest.mark.parametrize(
    ("plans", "titles"),
    [
        ([["a", "b"], ["a", "b"]], ("a", "b")),
        ([["a", "migrate", "b"], ["a", "b"]], ("a", "migrate", "b")),
        ([["a", "b"], ["a", "load", "b"]], ("a", "load", "b")),
        ([["recover", "a"], ["a", "tidy"]], ("recover", "a", "tidy")),
    ],
)
def test_each_title_comes_once_and_in_the_order_of_every_plan(plans: list[list[str]], titles: tuple[str, ...]) -> None:
    assert merged(plans) == titles


def test_a_step_is_done_once_all_servers_have_done_it_and_notes_name_them() -> None:
    heard = Heard()
    with heard.console.steps(["start"]) as steps:
        joint = JointSteps(steps, {"web1": ["start"], "web2": ["start"]})
        with joint.of("web1").step("start") as one:
            one.note("1 of 2 healthy")
            with joint.of("web2").step("start") as other:
                (shown,) = steps.in_state("running")
                assert shown.remark == "web1: 1 of 2 healthy"
                other.conclude("both")
                other.found("GET /", passed=True, seen="3 ms")
            assert shown.state == "running"
            one.conclude("both")
        assert (shown.state, shown.outcome) == ("done", "both")
        assert [str(each) for each in steps.findings] == ["web2: GET / ✓ 3 ms"]
        assert [str(each) for each in other.findings] == ["GET / ✓ 3 ms"]


def test_outcomes_that_differ_name_the_servers() -> None:
    with Heard().console.steps(["pull"]) as steps:
        joint = JointSteps(steps, {"web1": ["pull"], "web2": ["pull"]})
        for server, outcome in (("web1", "1 MB"), ("web2", "nothing")):
            with joint.of(server).step("pull") as shown:
                shown.conclude(outcome)
        assert [one.outcome for one in steps.in_state("done")] == ["web1: 1 MB; web2: nothing"]


def test_the_first_that_fails_fails_the_step_and_what_others_never_came_to_is_ended() -> None:
    with Heard().console.steps(["a", "b"]) as steps:
        joint = JointSteps(steps, {"web1": ["a", "b"], "web2": ["a", "b"]})
        with joint.of("web1").step("a"):
            pass
        with pytest.raises(RuntimeError), joint.of("web2").step("a"):
            raise RuntimeError
        assert [one.title for one in steps.in_state("failed")] == ["a"]
        with joint.of("web1").step("b"):
            pass
        assert [one.title for one in steps.in_state("running")] == ["b"]
        joint.close()
        assert [one.title for one in steps.in_state("interrupted")] == ["b"]
