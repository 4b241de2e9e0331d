"""Python values as the YAML that a person would write into a Compose file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

Node = str | int | float | None | Sequence["Node"] | Mapping[str, "Node"]

# What every YAML reader takes for a string as it stands; anything else is quoted.
_PLAIN: Final = re.compile(r"(?:--)?[A-Za-z_/][A-Za-z0-9_./@:=+-]*(?<!:)|[0-9]+[A-Za-z]+")
_NOT_STRINGS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# What YAML does not allow in a text, and the line breaks that only it knows; JSON leaves them as they are.
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_WIDTH: Final = 100


class Interpolated(str):
    """A string in which Compose replaces `${NAME}`; in every other string it finds each `$` doubled."""

    __slots__ = ()


def block(node: Mapping[str, Node]) -> str:
    """Return a mapping as YAML lines, in its own order and without the last line's end.

    Reading it gives the mapping back, with `$` doubled (see `Interpolated`), as Compose wants literal ones.
    """
    return "\n".join(_mapping(node))


def _mapping(node: Mapping[str, Node]) -> Iterable[str]:
    for key, value in node.items():
        inline = _inline(value)
        if inline is None:
            yield f"{_quoted(key)}:"
            yield from (f"  {line}" for line in _lines(value))
        else:
            yield f"{_quoted(key)}: {inline}".rstrip()


def _lines(value: Node) -> Iterable[str]:
    inline = _inline(value)
    if inline is not None:
        yield inline
    elif isinstance(value, Mapping):
        yield from _mapping(value)
    elif isinstance(value, Sequence):
        for item in value:
            first, *rest = _lines(item)
            yield f"- {first}".rstrip()
            yield from (f"  {line}" for line in rest)


def _inline(value: Node) -> str | None:
    """Return a value as it stands on its key's own line, or None for one that needs lines of its own."""
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return _scalar(value)
    if not value:
        return "{}" if isinstance(value, Mapping) else "[]"
    if isinstance(value, Mapping) or not all(isinstance(item, str | int | float) for item in value):
        return None
    flow = f"[{', '.join(_scalar(item) for item in value if isinstance(item, str | int | float))}]"
    return flow if len(flow) <= _WIDTH else None


def _scalar(value: str | int | float) -> str:
    if isinstance(value, str):
        return _quoted(value if isinstance(value, Interpolated) else value.replace("$", "$$"))
    return json.dumps(value)


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_STRINGS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
