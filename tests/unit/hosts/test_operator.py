"""Who deploys, and whether that process is still there."""

from __future__ import annotations

import dataclasses
import getpass
import os

import pytest

from wharfinger.hosts.operator import Operator, current, is_gone


def test_an_operator_is_a_person_on_a_machine() -> None:
    assert str(Operator("ann", "laptop", 1, "2")) == "ann@laptop"
    assert current().pid == os.getpid()
    assert current() == current()


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a user of no passwd entry."""

    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)

    assert current().user == str(os.getuid())


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, False),
        ({"started": "0"}, True),  # its pid is another process's now
        ({"pid": 2**22 + 1}, True),  # beyond the largest pid that there can be
        ({"machine": "elsewhere", "pid": 2**22 + 1}, False),  # nobody here can know
    ],
)
def test_only_a_process_of_this_machine_can_be_known_to_have_ended(changes: dict[str, object], gone: bool) -> None:
    assert is_gone(dataclasses.replace(current(), **changes)) is gone  # type: ignore[arg-type]


def test_the_same_pid_and_tick_after_a_reboot_is_another_process() -> None:
    boot, tick = current().started.split(" ")
    assert is_gone(dataclasses.replace(current(), started=f"{boot[:-1]}x {tick}"))
