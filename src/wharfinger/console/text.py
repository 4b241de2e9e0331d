"""How texts, durations and amounts look on a screen; pure."""

from __future__ import annotations

import errno
import re
import unicodedata
from typing import Final, TextIO

STYLES: Final = {"bold": "1", "dim": "2", "red": "1;31", "green": "32", "yellow": "33", "cyan": "36"}
_UNSAFE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor movement
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links
    r"|\x1b[@-Z\\-_]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_MINUTE: Final = 60
_HOUR: Final = 3600
_KILO: Final = 1000
_ASCII: Final = str.maketrans({"…": "...", "✓": "ok", "✗": "x", "·": "-", "━": "#", "─": "-"})


def cell_len(text: str) -> int:
    """Return how many cells of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):  # drawn onto the character before
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def paint(text: str, style: str) -> str:
    """Return `text` in a colour or weight of `STYLES`; as it is where `style` is empty."""
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if style and text else text


def printable(text: str) -> str:
    """Return `text` without terminal sequences, so that a container's log cannot move our cursor."""
    return _UNSAFE.sub("", text.replace("\r\n", "\n").replace("\t", "    "))


def one_line(text: str) -> str:
    """Return `text` printable and on one line."""
    return " ".join(printable(text).split())


def fit(text: str, width: int) -> str:
    """Return `text` cut to `width` cells, with `…` where something was cut off."""
    if cell_len(text) <= width:
        return text
    kept = text[: max(0, width)]
    while kept and cell_len(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    """Return `text` filled up with blanks to `width` cells."""
    return text + " " * max(0, width - cell_len(text))


def duration(seconds: float) -> str:
    """Return seconds as `2.1s`, `1m 05s` or `1h 02m`."""
    if seconds < _MINUTE - 0.05:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02d}s"
    return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02d}m"


def size(count: int) -> str:
    """Return a number of bytes as `812 B`, `12.3 kB`, `45.0 MB` (powers of 1000, as Docker counts)."""
    if count < _KILO:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= _KILO
        if value < _KILO:
            return f"{value:.1f} {unit}"
    return f"{value / _KILO:.1f} TB"


def write(stream: TextIO, text: str) -> None:
    """Write `text` and flush; characters that the stream's encoding lacks are spelled out, never fatal.

    Nor is a terminal that is gone: whoever ends a run by closing its window wants it undone all the same.
    """
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
