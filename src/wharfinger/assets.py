"""Where the files that Wharfinger brings along lie: in a checkout at its root, in the wheel inside the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

_PACKAGE: Final = Path(__file__).resolve().parent


def folder(name: Literal["templates", "compose", "nginx", "images"]) -> Path:
    """Return the folder of that name."""
    shipped = _PACKAGE / "assets" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent.parent / name
