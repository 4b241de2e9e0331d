"""What is sent to a server needs nothing there but Python."""

from __future__ import annotations

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from wharfinger.hosts.shipping import OLDEST, SHIPPED, bootstrap

_ROOM = 16 << 10


def imported(module: str) -> set[str]:
    """Return every module that one imports, wherever in it, as it is named there."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            name = node.module or ""
            inner = {f"{name}.{alias.name}" for alias in node.names}
            names |= {
                name,
                *(each for each in inner if each.startswith("wharfinger.") and find_spec(name) and _is(each)),
            }
    return names


def _is(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("module", SHIPPED)
def test_each_module_imports_only_others_that_are_sent_and_the_standard_library(module: str) -> None:
    foreign = {name for name in imported(module) if name.partition(".")[0] not in sys.stdlib_module_names}

    assert foreign <= set(SHIPPED)


def test_all_of_it_fits_into_what_tcp_sends_before_it_waits() -> None:
    """Ten segments, or about 14 KB; a second wait would cost a round trip."""
    assert len(bootstrap("vps1.example.com")) < _ROOM


def test_the_first_lines_can_be_read_by_an_old_python() -> None:
    size, _, rest = bootstrap("vps1").partition(b"\n")
    script = rest[: int(size)].decode()

    ast.parse(script, feature_version=(3, 4))
    assert str(OLDEST) in script
