"""`$NAME` and `${NAME:-default}` as Docker Compose reads them, in `.env` files and in a contract's defaults.

Checked against the real `docker compose config` by tests/integration/test_dotenv_against_compose.py; whatever
looks odd here (a brace skipped, a default evaluated though unused) is what Compose does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

Lookup = Callable[[str], str | None]
"""Gives a variable's value, or None where it is not set."""

# Go folds the long s and the Kelvin sign into [a-z] when it ignores case.
_NAME: Final = "[_a-zA-Z\u017f\u212a][_a-zA-Z0-9\u017f\u212a]*"
_REFERENCE: Final = re.compile(
    rf"\$(?:(?P<dollar>\$)|(?P<named>{_NAME})|\{{(?:(?P<braced>{_NAME}(?::?[-+?].*)?)\}}|(?P<invalid>)))"
)
_BRACED: Final = re.compile(rf"(?P<name>{_NAME})(?P<operator>:?[-+?])?(?P<word>.*)")


def interpolate(template: str, lookup: Lookup, *, unset: Callable[[str], None] | None = None) -> str:
    """Return the template with every reference replaced by the variable's value.

    A reference without an operator to a variable that is not set gives nothing, as in Compose, and is told
    to `unset`. Raises ValueError for `${` without a valid name and for `${NAME:?}` where the value is
    missing; the message never holds a value.
    """

    def plain(name: str) -> str:
        value = lookup(name)
        if value is None and unset is not None:
            unset(name)
        return value or ""

    def replaced(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["named"]:
            return plain(match["named"])
        if not match["braced"]:
            raise ValueError("`${` does not begin a reference such as ${NAME} or ${NAME:-default}")
        inner, rest = _split(match[0])
        parts = _BRACED.fullmatch(inner)
        if parts is None or parts["operator"] is None:
            return plain(match["braced"])
        word = interpolate(parts["word"], lookup, unset=unset)
        value = _operated(parts["name"], parts["operator"], word, lookup(parts["name"]))
        return value + interpolate(rest, lookup, unset=unset)

    return _REFERENCE.sub(replaced, template)


def references(template: str) -> tuple[str, ...]:
    """Return the names that the template refers to, in order, each once; raises as `interpolate` does."""
    names: dict[str, None] = {}

    def note(name: str) -> str:
        names[name] = None
        return "set"

    interpolate(template, note)
    return tuple(names)


def _operated(name: str, operator: str, word: str, value: str | None) -> str:
    present = value is not None if len(operator) == 1 else bool(value)
    match operator[-1]:
        case "-":
            return (value or "") if present else word
        case "+":
            return word if present else ""
        case _:
            if not present:
                raise ValueError(f"{name} is required here and has no value")
            return value or ""


def _split(reference: str) -> tuple[str, str]:
    """Split `${A:-b} c ${D}`, which one greedy match took whole, into `A:-b` and ` c ${D}`."""
    depth = index = 0
    while index < len(reference):
        if reference[index] == "}":
            depth -= 1
            if depth == 0:
                return reference[2:index], reference[index + 1 :]
        elif reference[index] == "{":
            depth += 1
            index += 1  # Compose does not look at the character after an opening brace
        index += 1
    return reference[2:-1], ""
