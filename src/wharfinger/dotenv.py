r"""Reads `.env` files as Docker Compose reads them, and writes values that Compose reads back byte for byte.

Held against the real `docker compose config` (2.26.1 and 2.40.3) by
tests/integration/test_dotenv_against_compose.py. Refused here: a value without a name, a bare name on a last
line that does not end, and a NUL; Compose 2.26 refuses those in `.env`, but drops them in silence in
`env_file:`, as 2.40 does in both. Where a name is both assigned in the file and present in the environment,
the file wins.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from wharfinger.errors import InvalidInput
from wharfinger.model.interpolation import interpolate

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_BLANK: Final = "\t\v\f\r \x85\xa0"  # what Compose skips within a line
_WHITE: Final = _BLANK + "\n\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_EXPORT: Final = re.compile(r"export(?=[\t\n\f\r ])")
_QUOTED: Final = {
    quote: re.compile(rf"{quote}([^{quote}\\]*(?:\\.[^{quote}\\]*)*){quote}", re.DOTALL) for quote in "\"'"
}
_ESCAPE: Final = re.compile(r'\\(?:([abcfnrtv$"\\])|0([0-9]{0,3}))')
_ESCAPED: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    '"': '"',
    "\\": "\\",
}
_OCTAL: Final = re.compile(r"[0-3][0-7]{2}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE: Final = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
_IN_DOUBLE_QUOTES: Final = str.maketrans(
    {"\\": r"\\", '"': r"\"", "$": r"\$", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\f": r"\f"}
)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `NAME=value` of a file, or a bare `NAME` that the environment gave a value.

    `line` counts from 1 (0: not from a file); `start` and `end` bound the value as written, quotes included;
    `dangling` says that it refers to a variable that is not set, which Compose replaces by nothing.
    """

    name: str
    value: str = field(repr=False)
    line: int = 0
    start: int = 0
    end: int = 0
    dangling: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one variable or one place of a file; never holds a value."""

    text: str
    name: str = ""
    line: int = 0
    column: int = 0

    def located(self, source: str) -> str:
        """Return the problem as one line, `file:line:column: NAME: text`, as far as those are known."""
        place = [source, *(str(number) for number in (self.line, self.column) if number)]
        return ": ".join(part for part in (":".join(place), self.name, self.text) if part)


class _MalformedError(Exception):
    """A place in the text that cannot be read; what follows its line can."""

    def __init__(self, at: int, text: str, name: str = "") -> None:
        super().__init__(text)
        self.at, self.text, self.name = at, text, name


def parse(text: str, *, source: str = ".env", environ: Mapping[str, str] = _NOTHING) -> dict[str, str]:
    """Return what Compose makes of the text, name to value; raises InvalidInput with every malformed place.

    `environ` is what bare names and references fall back on.
    """
    return {one.name: one.value for one in assignments(text, source=source, environ=environ)}


def assignments(text: str, *, source: str = ".env", environ: Mapping[str, str] = _NOTHING) -> tuple[Assignment, ...]:
    """Return every assignment in the file's order, repeated names included; raises as `parse` does."""
    found, problems = read(text, environ=environ)
    if problems:
        raise InvalidInput(f"{source} cannot be read", details=tuple(problem.located(source) for problem in problems))
    return found


def read(text: str, *, environ: Mapping[str, str] = _NOTHING) -> tuple[tuple[Assignment, ...], tuple[Problem, ...]]:
    """Return the assignments and the malformed places of the text; reading goes on at the line after each."""
    found: list[Assignment] = []
    problems: list[Problem] = []
    values: dict[str, str] = {}
    at = 1 if text.startswith("\ufeff") else 0
    while (at := _statement(text, at)) < len(text):
        try:
            assignment, at = _assignment(text, at, values, environ)
        except _MalformedError as bad:
            line, column = _position(text, bad.at)
            problems.append(Problem(bad.text, bad.name, line, column))
            at = _line_end(text, bad.at)
            continue
        if assignment is not None:
            found.append(assignment)
            values[assignment.name] = assignment.value
    return tuple(found), tuple(problems)


def dump(values: Mapping[str, str]) -> str:
    """Return a `.env` text, one line a variable, that Compose reads back byte for byte.

    Raises ValueError for a name that is not letters, digits and `_`, and for a value that no environment
    can carry.
    """
    for name in values:
        if _NAME.fullmatch(name) is None:
            raise ValueError("the name of a variable is letters, digits and _")
    return "".join(f"{name}={quoted(value)}\n" for name, value in values.items())


def quoted(value: str) -> str:
    """Return the value as a `.env` file writes it, on one line; raises ValueError for NUL and surrogates."""
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("a value that is not UTF-8 text without NUL cannot be written")
    if _BARE.fullmatch(value):
        return value
    if not any(char in "'\\" or unicodedata.category(char) == "Cc" for char in value):
        return f"'{value}'"
    return f'"{value.translate(_IN_DOUBLE_QUOTES)}"'


def _statement(text: str, at: int) -> int:
    """Return where the next statement begins: past white space and comments."""
    while at < len(text) and (text[at] in _WHITE or text[at] == "#"):
        at = _line_end(text, at) if text[at] == "#" else at + 1
    return at


def _assignment(
    text: str, at: int, values: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[Assignment | None, int]:
    name, after, bare = _name(text, at)
    line = _position(text, at)[0]
    if bare:
        inherited = values.get(name, environ.get(name)) if name else None
        return (None if inherited is None else Assignment(name, inherited, line)), after
    raw, end, rest = _raw(text, after, name)
    dangling: list[str] = []
    try:
        value = (
            interpolate(raw, lambda key: values.get(key, environ.get(key)), unset=dangling.append)
            if text[after : after + 1] != "'"
            else raw
        )
    except ValueError as error:
        raise _MalformedError(after, f"{error}; a literal $ is written $$", name) from None
    if "\0" in value:
        raise _MalformedError(after, "holds a NUL, which no environment can carry", name)
    return Assignment(name, value, line, after, end, bool(dangling)), rest


def _name(text: str, at: int) -> tuple[str, int, bool]:
    """Return the name that begins here, where its value begins, and whether it stands bare on its line."""
    if export := _EXPORT.match(text, at):
        at = _past_blanks(text, export.end())
    end = at
    while end < len(text) and text[end] not in "=:\n":
        if not (text[end] in _BLANK or text[end] in "_.-[]" or unicodedata.category(text[end])[0] in "LN"):
            raise _MalformedError(end, "not part of a name; did a quoted value end too early, or does it lack quotes?")
        end += 1
    name = text[at:end].rstrip(_WHITE)
    if " " in name:
        raise _MalformedError(at, "a name cannot contain a space; are there quotes missing around a value?")
    if end == len(text):
        raise _MalformedError(at, "a bare name needs a line end after it", name)
    bare = text[end] == "\n"
    if not name and not bare:
        raise _MalformedError(at, "a value without a name")
    return name, _past_blanks(text, end + 1), bare


def _raw(text: str, at: int, name: str) -> tuple[str, int, int]:
    """Return the value before interpolation, where it ends as written, and where reading goes on."""
    quote = text[at : at + 1]
    if quote not in _QUOTED:
        end = _line_end(text, at)
        raw = text[at:end].partition(" #")[0].rstrip(_WHITE)
        return raw, at + len(raw), end
    match = _QUOTED[quote].match(text, at)
    if match is None:
        raise _MalformedError(at, f"the opening {quote} has no closing one", name)
    raw = re.sub(r"\\(.)", lambda pair: quote if pair[1] == quote else pair[0], match[1], flags=re.DOTALL)
    return (_ESCAPE.sub(_unescaped, raw) if quote == '"' else raw), match.end(), match.end()


def _unescaped(match: re.Match[str]) -> str:
    letter, digits = match.groups()
    if letter == "$":
        return "$$"  # which the interpolation that follows makes a plain $
    if letter is not None:
        return _ESCAPED.get(letter, match[0])
    return chr(int(digits, 8)) if _OCTAL.fullmatch(digits) else f"\\{digits}"


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _position(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
