"""Every command that the documents show exists, with the flags that they show."""

from __future__ import annotations

import ast
import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout

import pytest
from invoke.exceptions import ParseError
from invoke.program import Program
from tests.docs import documents
from tests.docs.documents import DOCUMENTS, ROOT

from wharfinger.tasks import namespace

OURS = ("invoke", "wharfinger", "./run", ".venv/bin/invoke")
# Flags of other programs that the documents speak of by name.
OTHERS = {"--no-install", "--wait", "--with-data"}


def shown() -> Iterator[tuple[str, str]]:
    """Yield our own commands with the document that shows them: whole ones from blocks, others from prose."""
    for document in DOCUMENTS:
        commands = [
            *(line for block in documents.blocks(document, "sh") for line in documents.shell_lines(block)),
            *(typed.command for block in documents.blocks(document, "console") for typed in documents.console(block)),
            *documents.inline(document),
        ]
        for command in commands:
            if command.split(" ")[0] in OURS and " " in command:
                yield document.name, command


def parse(words: list[str]) -> None:
    """Let Invoke read a command line, and run nothing; raises ParseError."""
    program = Program(namespace=namespace, binary="invoke")
    program.create_config()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        program.parse_core(["invoke", *words])
        program.parse_collection()
        program.parse_tasks()


def sessions() -> set[str]:
    """Return the names of the Nox sessions."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {function.name for function in functions if "nox.session" in map(_name, function.decorator_list)}


def _name(decorator: ast.expr) -> str:
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


@pytest.mark.parametrize(("document", "command"), sorted(set(shown())))
def test_a_command_that_is_shown_exists(document: str, command: str) -> None:
    words = [word for word in shlex.split(command.partition(" > ")[0])[1:] if word != "--no-install"]
    if words[0] == "test":
        chosen = words[words.index("-s") + 1] if "-s" in words else None
        assert chosen is None or chosen in sessions()
        return
    if words[0] in ("TASK", "TASK…"):
        return
    parse(words)


def test_an_unknown_flag_would_be_found() -> None:
    with pytest.raises(ParseError):
        parse(["deploy", "--env", "local", "--force"])
    assert len(list(shown())) > 40


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_flag_that_is_spoken_of_exists(document: object) -> None:
    known = {flag for context in namespace.to_contexts() for flag in context.flags}
    known |= set(Program(namespace=namespace).initial_context.flags) | OTHERS
    path = next(one for one in DOCUMENTS if one == document)
    spoken = {match[0] for code in documents.inline(path) if (match := re.match(r"--[a-z-]+", code))}
    assert spoken <= known


def test_the_table_of_sessions_names_every_session_once() -> None:
    rows = documents.table(ROOT / "CONTRIBUTING.md", "session", "what it checks")
    assert sorted(documents.codes(name)[0] for name, _ in rows) == sorted(sessions())
