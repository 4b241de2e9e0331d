"""What goes over a connection comes out as it went in, and no secret shows where it is looked at."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest

from wharfinger.errors import CommandFailed, ConnectionLost, NotReady, WharfingerError
from wharfinger.hosts import Completed, File
from wharfinger.hosts.operator import Operator
from wharfinger.hosts.wire import dump, load
from wharfinger.secrets import Secret

NOUNS: list[Any] = [
    None,
    True,
    7,
    0.25,
    "grüße\n",
    b"\x00\xff",
    PurePosixPath("/srv/wharfinger"),
    Secret("hunter2"),
    File(b"\xff", 0o600),
    Completed(("true",), 0, "out", "err"),
    Operator("ann", "laptop", 7, "boot 9", "vps1"),
    ("docker", ("exec", 1)),
    {PurePosixPath("/a"): File(b"x"), "b": Secret("y")},
    {},
]


@pytest.mark.parametrize("noun", NOUNS, ids=repr)
def test_nouns_come_back(noun: Any) -> None:
    line = dump({"id": 1, "args": (noun,)})

    assert line.count(b"\n") == 1
    assert load(line) == {"id": 1, "args": (noun,)}


def test_an_error_of_ours_comes_back_with_its_mend() -> None:
    raised = load(dump({"error": NotReady("no engine", fix="install one", details=["a", "b"])}))["error"]

    assert type(raised) is NotReady
    assert (raised.problem, raised.fix, raised.details) == ("no engine", "install one", ("a", "b"))
    assert type(load(dump({"error": ConnectionLost("gone")}))["error"]) is ConnectionLost


def test_a_failed_command_comes_back_whole() -> None:
    raised = load(dump({"error": CommandFailed(("docker", "ps"), 3, "one\ntwo\n", host="vps1")}))["error"]

    assert type(raised) is CommandFailed
    assert (raised.argv, raised.status, raised.stderr) == (("docker", "ps"), 3, "one\ntwo\n")
    assert (raised.problem, raised.details) == ("vps1: `docker ps` exited 3", ("one", "two"))


def test_an_error_of_the_system_is_of_its_own_kind_again() -> None:
    raised = load(dump({"error": FileNotFoundError(2, "No such file or directory", "/nope")}))["error"]

    assert type(raised) is FileNotFoundError
    assert (raised.strerror, raised.filename) == ("No such file or directory", "/nope")


def test_any_other_error_is_told_without_its_traceback() -> None:
    raised = load(dump({"error": KeyError("x")}))["error"]

    assert type(raised) is WharfingerError
    assert raised.problem == "KeyError: 'x'"


@pytest.mark.parametrize("line", [b"[]", b"Welcome to vps1", b'{"id": {"$": "pickle", "is": "..."}}'])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        load(line)
