"""What we read is what Compose reads, and what we write is what the container gets, held against the real ones."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wharfinger import dotenv
from wharfinger.errors import InvalidInput

NAMES = ("A", "B", "LONG_NAME", "lower", "D1")
OUTSIDE = {"OUTSIDE": "from the shell", "EMPTY": ""}
IMAGE = "debian:trixie-slim"

# The shell that runs the tests must not leak into what Compose reads.
SHELL = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG", "DOCKER_HOST") if name in os.environ}

pieces = st.one_of(
    st.sampled_from(
        [
            "$",
            "$$",
            "\\",
            "\\\\",
            "\\$",
            "'",
            '"',
            "#",
            "=",
            ":",
            "{",
            "}",
            "${",
            "${A}",
            "${A",
            "$A",
            "$B",
            "${B}",
            "${A:-x}",
            "${A-y}",
            "${A:+z}",
            "${A+w}",
            "${B:?gone}",
            "${B?}",
            "${EMPTY:-e}",
            "${EMPTY-f}",
            "${EMPTY:+g}",
            "${EMPTY+h}",
            "${OUTSIDE}",
            "${A:-${B:-deep}}",
            "${A:-{}}",
            "${LONG_NAME-${A}b}c",
            '${lower:+"q"}',
            "$1",
            "$-",
            "${1}",
            "${A:-",
            "${A!x}",
            "\\n",
            "\\r",
            "\\t",
            "\\c",
            "\\0",
            "\\01",
            "\\0101",
            "\\0777",
            "\\0999",
            "\\x41",
            '\\"',
            "\\'",
            "export",
            "KEY",
            "A",
            "B=",
            "A=",
            "lower:",
            "é",
            "日本",
            "🙂",
            "\u017f",
            "\u212a",
            "\u0130",
            "\ufeff",
            "-dash",
            "[0]",
        ]
    ),
    st.sampled_from([" ", "\t", "\r", "\n", "\r\n", " #", "  ", "\xa0", "\x85", "\v", "\f", "\x1f", "\u2028"]),
    st.text("abcAB12_.-", max_size=4),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
)
values = st.lists(pieces, max_size=8).map("".join)
quoted_values = st.one_of(values, values.map('"{}"'.format), values.map("'{}'".format))
one_line = quoted_values.filter(lambda value: "\n" not in value)
lines = st.one_of(
    st.builds("{}{}{}".format, st.sampled_from(NAMES), st.sampled_from(["=", " = ", ": ", "= ", ":"]), quoted_values),
    st.builds("export {}={}".format, st.sampled_from(NAMES), quoted_values),
    st.sampled_from([*NAMES, "OUTSIDE", "# comment", "", "export A", "  # A=1", "export", "9A=1", "a.b=1", "A-B=c"]),
    values,
)
files = st.builds(
    lambda head, body, end, last: head + "".join(line + end for line in body) + last,
    st.sampled_from(["", "\ufeff"]),
    st.lists(lines, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "A=last", "B='x'"]),
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wharfinger-dotenv-") as name:
        yield Path(name)


def _compose(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    argv = ("docker", "compose", "-f", str(folder / "compose.yaml"), "-p", "h-dotenv", *arguments)
    return subprocess.run(argv, env=SHELL | OUTSIDE, cwd=folder, capture_output=True, check=False, timeout=60)


def _by_compose(folder: Path, text: str, names: Sequence[str], *, env_file: bool = False) -> dict[str, str] | None:
    """Return what a service that passes `names` through gets from the text, or None where Compose refuses it."""
    service: dict[str, object] = {"image": "x"}
    if env_file:
        service["env_file"] = ["./other.env"]
    else:
        service["environment"] = dict.fromkeys(names)
    (folder / "compose.yaml").write_text(json.dumps({"services": {"s": service}}))
    (folder / ".env").write_bytes(b"" if env_file else text.encode())
    (folder / "other.env").write_bytes(text.encode())
    done = _compose(folder, "config", "--format", "json")
    if done.returncode != 0:
        return None
    found: dict[str, str | None] = json.loads(done.stdout)["services"]["s"].get("environment", {})
    # `config` doubles every dollar, so that its output is a Compose file again.
    return {name: value.replace("$$", "$") for name, value in found.items() if value is not None and name in names}


def _by_us(text: str, names: Sequence[str]) -> dict[str, str] | None:
    try:
        found = dotenv.parse(text, environ=OUTSIDE)
    except InvalidInput:
        return None
    return {name: value for name, value in found.items() if name in names}


def _dropped_in_silence(text: str) -> bool:
    """Tell whether the only problems are those of which dotenv's docstring says that Compose may drop them."""
    problems = dotenv.read(text, environ=OUTSIDE)[1]
    dropped = ("a value without a name", "a bare name", "holds a NUL")
    return bool(problems) and all(problem.text.startswith(dropped) for problem in problems)


def _agree(folder: Path, text: str, *, env_file: bool) -> None:
    ours, theirs = _by_us(text, NAMES), _by_compose(folder, text, NAMES, env_file=env_file)
    if ours is None and _dropped_in_silence(text):
        return
    assert ours == theirs


@pytest.mark.parametrize("env_file", [False, True], ids=[".env", "env_file"])
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(text=files)
@example(text="A=1\nB=$A\nA=2\n")
@example(text="A= # not a comment\nB=x # comment\nlower=x#y\n")
@example(text="A=\"x\" B='y' # z\n")
@example(text="A=\"one\ntwo\"\r\nB='three\r\nfour'\r\n")
@example(text="OUTSIDE\nA=$OUTSIDE\nB")
@example(text="export\nA=1\n")
@example(text='A="\\0101\\0777\\0999\\01\\c"\nB="${A:-{}}${C-{}}"\n')
@example(text="A='it\\'s'\nB='c:\\dir\\\\'\n")
def test_a_file_reads_as_compose_reads_it(folder: Path, env_file: bool, text: str) -> None:
    _agree(folder, text, env_file=env_file)


@pytest.mark.long
@pytest.mark.parametrize("env_file", [False, True], ids=[".env", "env_file"])
@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(text=files)
def test_many_files_read_as_compose_reads_them(folder: Path, env_file: bool, text: str) -> None:
    _agree(folder, text, env_file=env_file)


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(raws=st.lists(one_line, min_size=60, max_size=120))
def test_values_read_as_compose_reads_them(folder: Path, raws: list[str]) -> None:
    """Many values a call: those that we accept go into one file, the first that we refuse into another."""
    texts = {f"V{number}": f"V{number}={raw}\n" for number, raw in enumerate(raws)}
    fine = {name: text for name, text in texts.items() if set(_by_us(text, [name]) or ()) == {name}}
    together = "A=one\n" + "".join(fine.values())
    assert _by_us(together, tuple(texts)) == _by_compose(folder, together, tuple(texts))
    refused = next((text for name, text in texts.items() if name not in fine), None)
    if refused is not None and not _dropped_in_silence(refused):
        assert _by_us(refused, tuple(texts)) == _by_compose(folder, refused, tuple(texts))


def _in_container(folder: Path, given_values: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that a real container has when its `.env` was written by us."""
    service = {
        "image": IMAGE,
        "command": ["cat", "/proc/self/environ"],
        "environment": dict.fromkeys(given_values),
        "network_mode": "none",
    }
    (folder / "compose.yaml").write_text(json.dumps({"services": {"s": service}}))
    (folder / ".env").write_bytes(dotenv.dump(given_values).encode())
    done = _compose(folder, "run", "--rm", "--no-deps", "-T", "s")
    assert done.returncode == 0, done.stderr.decode()
    pairs = (entry.partition(b"=") for entry in done.stdout.split(b"\0") if entry)
    return {name.decode(): value.decode() for name, _, value in pairs if name.decode() in given_values}


any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
@given(written=st.lists(st.one_of(any_text, values), min_size=40, max_size=120))
@example(
    written=[
        "",
        " ",
        "'",
        '"',
        "\\",
        "\\'",
        '\\"',
        "$",
        "$$",
        "${A}",
        "$V0",
        "#",
        " # x",
        "a\nb",
        "a\r\nb\n",
        "é🙂",
        "=",
        "%",
    ]
)
def test_what_is_written_is_what_the_container_gets(folder: Path, written: list[str]) -> None:
    given_values = {f"V{number}": value for number, value in enumerate(written)}
    assert _in_container(folder, given_values) == given_values
