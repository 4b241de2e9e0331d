"""Make docs/deploy.svg from a real run: `.venv/bin/python docs/picture.py ./run deploy --env local`.

The command gets a real terminal (a pty); what stands on it at the end becomes the picture. Needs the `dev` environment.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

COLUMNS, ROWS = 120, 80
CELL, LINE, PAD = 8.43, 19, 20
COLOURS = {"default": "#d5d9e0", "green": "#7ec699", "cyan": "#6bc7d6", "red": "#ef7a85", "brown": "#e5c07b"}
DIM = "#7d8590"


def run(argv: list[str]) -> pyte.Screen:
    """Return the screen that a command leaves behind; its exit code ends this program unless it is 0."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(b"\x1b[32m$\x1b[0m " + " ".join(argv).encode() + b"\r\n")
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", PYTHONUTF8="1")
        os.environ.pop("CI", None)
        os.execvp(argv[0], argv)  # noqa: S606 - the command is the user's own
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    while True:
        try:
            read = os.read(terminal, 1 << 16)
        except OSError:  # how Linux says that the other side has closed its terminal
            break
        stream.feed(read.replace(b"\x1b[2m", b"\x1b[90m"))  # pyte knows no dim text, but bright black
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(status)
    return screen


def svg(screen: pyte.Screen) -> str:
    """Return a picture of the rows that hold anything."""
    rows = [screen.buffer[number] for number in range(ROWS)]
    while rows and all(rows[-1][column].data == " " for column in range(COLUMNS)):
        rows.pop()
    width, height = round(COLUMNS * CELL + 2 * PAD), len(rows) * LINE + 2 * PAD
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#161b22"/>',
    ]
    for number, row in enumerate(rows):
        cells = [(column, row[column]) for column in range(COLUMNS)]
        for (colour, bold), run_of in groupby(cells, key=lambda cell: (cell[1].fg, cell[1].bold)):
            found = list(run_of)
            text = "".join(cell.data for _, cell in found)
            if not text.strip():
                continue
            first = found[len(text) - len(text.lstrip())][0]
            x, y = PAD + first * CELL, PAD + number * LINE + 14
            weight = ' font-weight="bold"' if bold else ""
            length = f' textLength="{len(text.strip()) * CELL:.1f}" lengthAdjust="spacingAndGlyphs"'
            lines.append(
                f'<text x="{x:.1f}" y="{y}" fill="{COLOURS.get(colour, DIM)}"{weight}{length} xml:space="preserve">'
                f"{escape(text.strip())}</text>"
            )
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    Path(__file__).with_name("deploy.svg").write_text(svg(run(sys.argv[1:])), encoding="utf-8")
