"""A chart of latency over time as SVG, written by hand: a dot for every tenth of a second and quantile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from benchmarks.report import Report

_WIDTH: Final = 900
_ROW: Final = 190
_LEFT: Final = 60
_TOP: Final = 34
_PLOT: Final = 120
_BIN: Final = 0.1
_BEFORE: Final = 2.0
_LOW, _HIGH = 0.5, 5000.0  # milliseconds


@dataclass(frozen=True)
class Row:
    """One contender's load around a switch; `began` and `ended` say when it ran, seconds since the epoch."""

    title: str
    report: Report
    began: float
    ended: float


def chart(rows: Sequence[Row]) -> str:
    """Return an SVG with a row for each contender: median and slowest answer, failures, and when the deploy ran."""
    span = max(row.ended - row.began for row in rows) + _BEFORE + 1.0
    height = _ROW * len(rows) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, row in enumerate(rows):
        parts += _row(row, number * _ROW, span)
    return "\n".join([*parts, "</svg>", ""])


def _row(row: Row, top: int, span: float) -> list[str]:
    since = row.began - _BEFORE

    def x(moment: float) -> float:
        return _LEFT + (moment - since) / span * (_WIDTH - _LEFT - 20)

    def y(seconds: float) -> float:
        part = math.log(max(_LOW, min(_HIGH, seconds * 1000)) / _LOW) / math.log(_HIGH / _LOW)
        return top + _TOP + _PLOT * (1 - part)

    bottom = top + _TOP + _PLOT
    parts = [
        f'<text x="{_LEFT}" y="{top + 22}" font-weight="bold">{escape(row.title)}</text>',
        f'<rect x="{x(row.began):.1f}" y="{top + _TOP}" width="{x(row.ended) - x(row.began):.1f}" height="{_PLOT}"'
        ' fill="#eef3fb"/>',
    ]
    for milliseconds in (1, 10, 100, 1000):
        level = y(milliseconds / 1000)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{level:.1f}" y2="{level:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{level + 4:.1f}" text-anchor="end">{milliseconds} ms</text>')
    for second in range(int(span) + 1):
        parts.append(f'<text x="{x(since + second):.1f}" y="{bottom + 16}" text-anchor="middle">{second} s</text>')
    for number in range(int(span / _BIN)):
        due = since + number * _BIN
        found = row.report.between([(due, due + _BIN)])
        failed = sum(found.problems.values())
        middle = x(due + _BIN / 2)
        if len(found.samples) > failed:
            parts.append(f'<circle cx="{middle:.1f}" cy="{y(found.quantile(1)):.1f}" r="2" fill="#e0a030"/>')
            parts.append(f'<circle cx="{middle:.1f}" cy="{y(found.quantile(0.5)):.1f}" r="2" fill="#2060c0"/>')
        if failed:
            parts.append(
                f'<rect x="{middle - 2:.1f}" y="{top + _TOP}" width="4" height="{_PLOT}" fill="#c02020" opacity="0.6"/>'
            )
    return parts
