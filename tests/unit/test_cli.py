"""The command line: what there is, what a slip of the keyboard is answered, and no traceback."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import pytest

from wharfinger import cli, project, stackfile
from wharfinger.errors import LockHeld, WharfingerError
from wharfinger.tasks import namespace

STACK = """\
name: {name}
services: {{api: {{image: app}}}}
environments:
  local: {{server: local, domain: {name}.localhost}}
  staging: {{server: local, domain: staging.localhost}}
"""
# Invoke takes the explanations out of a task when it first shows them.
HELP: Final = {name: dict(namespace[name].help) for name in namespace.task_names}


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _nothing_lasts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Put back what a command line changes in its process, and keep the user's own settings out of it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("INVOKE_")]:
        monkeypatch.delenv(name)
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    level = logging.root.level
    yield
    logging.root.setLevel(level)
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with two stacks, in which the command is typed; `shop` is the default."""
    home = tmp_path / "project"
    for name in ("shop", "blog"):
        (home / "stacks" / name).mkdir(parents=True)
        (home / "stacks" / name / "stack.yaml").write_text(STACK.format(name=name))
    (home / "invoke.yaml").write_text("wharfinger: {stack: shop}\n")
    monkeypatch.chdir(home)
    return home


def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str) -> Said:
    """Run what somebody types after `wharfinger`."""
    monkeypatch.setattr(sys, "argv", ["wharfinger", *line.split()])
    try:
        cli.main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    out, err = capsys.readouterr()
    return Said(code, out, err)


def listed_in(text: str) -> set[str]:
    return set(re.findall(r"^  (\S+)", text, re.MULTILINE))


def test_every_task_is_listed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = typed(capsys, monkeypatch, "--list")

    assert said.code == 0
    listed = listed_in(said.out)
    assert listed == set(HELP)
    assert {"deploy", "rollback", "down", "status", "releases", "logs", "doctor", "render", "env.check"} <= listed


@pytest.mark.parametrize("name", sorted(HELP))
def test_every_task_and_every_flag_is_explained(name: str) -> None:
    body = namespace[name].body
    flags = {flag.rstrip("_").replace("_", "-") for flag in list(inspect.signature(body).parameters)[1:]}

    assert body.__doc__
    assert set(HELP[name]) == flags
    assert all(HELP[name].values())


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("status --env locl", 2, ["shop has no environment locl; did you mean local?", "fix: there is: local"]),
        (
            "status --env local --stack shp",
            2,
            ["no stack shp; did you mean shop?", "fix: there is: blog, shop"],
        ),
        ("logs --env local --service apo", 2, ["error: shop has no service apo", "fix: there is: api"]),
        ("deploy --env production", 2, ["error: shop has no environment production"]),
        ("rollback --env locl --plan", 2, ["did you mean local?"]),
        ("render --env locl", 2, ["did you mean local?"]),
        ("env.check --env locl", 2, ["did you mean local?"]),
        ("down --env locl", 2, ["did you mean local?"]),
        ("down", 2, ["error: which environment?", "fix: --env; there is: local, staging"]),
    ],
)
def test_what_there_is_not_is_told_with_what_was_meant(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    code: int,
    told: list[str],
) -> None:
    said = typed(capsys, monkeypatch, line)

    assert (said.code, said.out) == (code, "")
    assert all(part in said.err for part in told), said.err
    assert "Traceback" not in said.err


def test_a_wrong_stack_file_is_told_with_line_and_column(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "stacks/shop/stack.yaml").write_text(STACK.format(name="shop") + "deploi: {}\n")

    said = typed(capsys, monkeypatch, "status --env local")

    assert said.code == 3
    assert "  stacks/shop/stack.yaml:6:1: deploi: unknown key; did you mean deploy?" in said.err.splitlines()


def test_outside_of_a_project_the_mend_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    said = typed(capsys, monkeypatch, "status --env local")

    assert said.code == 2
    assert "no stacks/ folder" in said.err


@pytest.mark.parametrize(
    ("line", "word"), [("depoly --env local", "depoly"), ("deploy --evn local", "--evn"), ("deploy --env", "env")]
)
def test_a_command_line_that_cannot_be_understood_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str, word: str
) -> None:
    said = typed(capsys, monkeypatch, line)

    assert said.code == 1
    assert word in said.err
    assert "Traceback" not in said.err


def test_data_goes_to_stdout_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = typed(capsys, monkeypatch, "schema")

    assert json.loads(said.out) == stackfile.json_schema()
    assert (said.code, said.err) == (0, "")


def raising(error: BaseException) -> object:
    def find(*_: object, **__: object) -> NoReturn:
        raise error

    return find


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (LockHeld("bob deploys", fix="wait"), 6, ["error: bob deploys", "fix: wait"]),
        (WharfingerError("x", details=["one", "two"]), 1, ["error: x", "  one", "  two"]),
        (KeyboardInterrupt(), 130, ["error: interrupted"]),
        (PermissionError(13, "Permission denied", "/srv/wharfinger"), 1, ["error: /srv/wharfinger: Permission denied"]),
        (ZeroDivisionError("division by zero"), 1, ["error: ZeroDivisionError: division by zero"]),
    ],
)
def test_every_error_ends_in_words_and_a_code(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    told: list[str],
) -> None:
    monkeypatch.setattr(project, "find", raising(error))

    said = typed(capsys, monkeypatch, "status --env local")

    assert said.code == code
    assert said.err.splitlines()[: len(told)] == told
    assert "Traceback" not in said.err


def test_debug_lets_the_traceback_through(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "find", raising(ZeroDivisionError("division by zero")))
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's, which would keep Invoke from setting up its own

    with pytest.raises(ZeroDivisionError):
        typed(capsys, monkeypatch, "--debug status --env local")


def test_a_request_to_end_is_what_ctrl_c_is(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI ends a job by SIGTERM; what was begun must be undone then too."""

    def find(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(project, "find", find)

    assert typed(capsys, monkeypatch, "status --env local").code == 130
