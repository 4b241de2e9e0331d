"""What a `.dockerignore` keeps out of a build, read exactly as BuildKit reads it.

The Docker SDK has a reader too, but it overlooks exceptions such as `!**/keep.js` below an ignored folder: a
file that BuildKit sends and we overlook would leave an image unbuilt that has changed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_WILD: Final = re.compile(r"[*?\[\]\\]")


@dataclass(frozen=True, slots=True)
class _Pattern:
    expression: re.Pattern[str]
    keeps: bool
    """Whether it is an exception (`!`)."""
    literal: str
    """What it begins with, up to the first wildcard."""


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns of one `.dockerignore`."""

    patterns: tuple[_Pattern, ...] = ()

    def marks(self, path: str, above: Sequence[bool] = ()) -> tuple[bool, ...]:
        """Return which patterns match `path` or (`above`, its folder's marks) a folder that it lies in."""
        inherited = above or (False,) * len(self.patterns)
        return tuple(
            over or pattern.expression.fullmatch(path) is not None
            for pattern, over in zip(self.patterns, inherited, strict=True)
        )

    def leaves_out(self, marks: Sequence[bool]) -> bool:
        """Whether a path with these marks is kept out: the last pattern that matches decides."""
        matching = [pattern for pattern, marked in zip(self.patterns, marks, strict=True) if marked]
        return bool(matching) and not matching[-1].keeps

    def may_keep_below(self, folder: str) -> bool:
        """Whether an exception could match something in an ignored folder."""
        inside = f"{folder}/"
        exceptions = (pattern.literal for pattern in self.patterns if pattern.keeps)
        return any(inside.startswith(literal) or literal.startswith(inside) for literal in exceptions)


def parse(text: str) -> Ignore:
    """Read the text of a `.dockerignore`; raises ValueError naming the line of a pattern that is none."""
    patterns = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if line.startswith("#") or not line.strip():
            continue
        keeps = line.strip().startswith("!")
        pattern = line.strip().removeprefix("!").strip() if keeps else line.strip()
        if not pattern:
            raise ValueError(f"line {number}: `!` without a pattern")
        cleaned = posixpath.normpath(pattern)
        cleaned = cleaned.lstrip("/") or "/"
        if cleaned == ".":
            continue
        try:
            expression = re.compile(_expression(cleaned), re.DOTALL)
        except re.error as error:
            raise ValueError(f"line {number}: {pattern}: {error.msg}") from None
        patterns.append(_Pattern(expression, keeps, _WILD.split(cleaned, maxsplit=1)[0]))
    return Ignore(tuple(patterns))


def _expression(pattern: str) -> str:
    """Return the regular expression that Moby's patternmatcher makes of a pattern."""
    if pattern.startswith("**") and not _WILD.search(pattern[2:]) and not pattern[2:].startswith("/"):
        return ".*" + re.escape(pattern[2:])  # `**.log`: whatever ends so, in whatever folder
    expression, rest = "", pattern
    while rest:
        if rest.startswith("**"):
            rest = rest[2:].removeprefix("/")
            expression += "(?:.*/)?" if rest else ".*"
            continue
        character, rest = rest[0], rest[1:]
        if character == "*":
            expression += "[^/]*"
        elif character == "?":
            expression += "[^/]"
        elif character == "\\":
            expression += re.escape(rest[:1] or "\\")
            rest = rest[1:]
        else:
            expression += character if character in "[]-^" else re.escape(character)
    return expression
