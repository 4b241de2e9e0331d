"""The project's documents as tests see them: blocks, commands, links and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = tuple(
    path
    for pattern in ("*.md", "docs/*.md", "stacks/*/README.md")
    for path in sorted(ROOT.glob(pattern))
    if not path.name.startswith(".")
)
_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and its text."""

    document: Path
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The path that the first line names, in a comment."""
        first = self.text.partition("\n")[0]
        return first.removeprefix("# ") if first.startswith("# ") and "/" in first else None


@dataclass(frozen=True)
class Typed:
    """A command that a `console` block shows, and the lines it is to print (none: whatever it likes)."""

    command: str
    output: tuple[str, ...]

    def expected(self) -> re.Pattern[str]:
        """Return what the output must match: `…` is the rest or a part of a line, or on its own any lines."""
        lines = [r"(?:.*\n)*" if line == "…" else self._line(line) for line in self.output]
        return re.compile("".join(lines))

    @staticmethod
    def _line(line: str) -> str:
        return re.escape(line).replace("…", "[^\n]*") + r"[ ]*\n"


def blocks(document: Path, *languages: str) -> tuple[Block, ...]:
    """Return a document's fenced blocks in these languages (none named: in all)."""
    found = _FENCE.findall(document.read_text(encoding="utf-8"))
    return tuple(Block(document, kind, text) for kind, text in found if not languages or kind in languages)


def console(block: Block) -> Iterator[Typed]:
    """Yield what a `console` block shows."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *output = part.splitlines()
        yield Typed(command, tuple(output))


def shell_lines(block: Block) -> Iterator[str]:
    """Yield the commands of a `sh` block, continued lines joined, comments away."""
    for line in block.text.replace("\\\n", " ").splitlines():
        command = re.sub(r"\s+#\s.*", "", line).strip()
        if command:
            yield command


def inline(document: Path) -> tuple[str, ...]:
    """Return what a document's prose and tables show as code."""
    prose = _FENCE.sub("", document.read_text(encoding="utf-8"))
    return tuple(_INLINE.findall(prose))


def table(document: Path, *headers: str) -> tuple[tuple[str, ...], ...]:
    """Return the rows of the table with these headers; fails where there is none."""
    lines = iter(document.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if _cells(line) == headers:
            next(lines)
            rows = []
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append(_cells(row))
            return tuple(rows)
    raise AssertionError(f"{document.name} has no table {headers}")


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|"))


def codes(text: str) -> list[str]:
    """Return what a text shows as code."""
    return _INLINE.findall(text)
