"""What is written reads back as it was, by a YAML reader that is not ours."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from wharfinger.rendering.yaml import Interpolated, Node, block

TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(alphabet=string.digits + "eExXoObB_.:+-~<=!&*?|>%@`'\"#,[]{}\\ \t\n$nyfNYinasl"),
    st.sampled_from(
        ["yes", "Off", "null", "~", "1e3", "12e03", "0x1F", "1:30", "2026-11-20", "<<", "=", "- a", "a: b"]
    ),
)
SCALARS = st.one_of(TEXT, st.integers(-(2**53), 2**53), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
NODES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(SCALARS, st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


def read(text: str) -> Any:
    """Read YAML 1.2."""
    return YAML(typ="safe", pure=True).load(text)


def read_as_1_1(text: str) -> Any:
    """Read YAML 1.1, in which `yes` and `1:30` are no strings."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    return yaml.load(text)


def doubled(node: Any) -> Any:
    """Return a node as Compose finds it: every literal `$` twice, but not in keys."""
    if isinstance(node, str):
        return node.replace("$", "$$")
    if isinstance(node, dict):
        return {key: doubled(value) for key, value in node.items()}
    if isinstance(node, list):
        return [doubled(item) for item in node]
    return node


@given(st.dictionaries(TEXT, NODES, min_size=1, max_size=4))
@example({"a": {"b": []}, "c": [{"d": {"e": None}}, [["f"], {}], None]})
@example({"a": "\x85\u2028\ufeff\x7f\U0001f6a2"})
def test_a_mapping_reads_back_as_it_was(node: dict[str, Any]) -> None:
    """Whatever strings, numbers and nesting: nothing becomes something else."""
    assert read(block(node)) == doubled(node)


@given(TEXT)
def test_a_string_is_a_string_for_readers_of_yaml_1_1_too(text: str) -> None:
    """`on`, `0x1F` and `1:30` stay what they are, whatever version of YAML a reader speaks."""
    assert read_as_1_1(block({"key": text})) == {"key": doubled(text)}


def test_only_an_interpolated_string_keeps_its_dollar() -> None:
    """A literal `$` is doubled, since Compose would take it for a variable."""
    node: dict[str, Node] = {"literal": "${A}$", "wanted": Interpolated("${A:-blue}-api")}

    assert block(node) == 'literal: "$${A}$$"\nwanted: "${A:-blue}-api"'


def test_it_reads_as_written_by_hand() -> None:
    """Short lists on one line, long ones below each other, a key without a value bare."""
    node: dict[str, Node] = {
        "image": "postgres:17",
        "command": ["postgres", "--fsync=on", "-c", "no"],
        "environment": {"NAME": None},
        "volumes": [{"type": "bind", "source": "/srv"}],
        "long": ["a" * 60, "b" * 60],
        "read_only": True,
        "cpus": 0.5,
        "stop_grace_period": "30s",
    }

    assert block(node).splitlines() == [
        "image: postgres:17",
        'command: [postgres, --fsync=on, "-c", "no"]',
        "environment:",
        "  NAME:",
        "volumes:",
        "  - type: bind",
        "    source: /srv",
        "long:",
        f"  - {'a' * 60}",
        f"  - {'b' * 60}",
        "read_only: true",
        "cpus: 0.5",
        "stop_grace_period: 30s",
    ]
