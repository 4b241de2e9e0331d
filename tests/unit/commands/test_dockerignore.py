"""`.dockerignore` as BuildKit reads it; tests/integration/test_builds.py asks BuildKit itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.commands.dockerignore import Ignore, parse


def leaves_out(ignore: Ignore, path: str) -> bool:
    """Whether a path is kept out, seen from the top of the context downward."""
    marks: tuple[bool, ...] = ()
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        marks = ignore.marks("/".join(parts[:depth]), marks)
    return ignore.leaves_out(marks)


@pytest.mark.parametrize(
    ("text", "out", "kept"),
    [
        ("", [], ["a", "a/b"]),
        ("# a\n\n  \n", [], ["a", "# a"]),
        ("a", ["a", "a/b", "a/b/c"], ["b", "b/a", "ab"]),
        ("/a/", ["a", "a/b"], ["b/a"]),
        ("./a/../b", ["b"], ["a"]),
        ("*.log", ["x.log", ".log"], ["d/x.log", "xlog"]),
        ("**/*.log", ["x.log", "d/x.log", "d/e/x.log"], ["x.logs"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["z", "a/zz", "az"]),
        ("**", ["a", "a/b"], []),
        ("**.log", ["x.log", "d/x.log", ".log"], ["xlog", "x.logs"]),
        ("**b*", ["b", "bc", "a/bc"], ["ab"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
        ("[ab].txt", ["a.txt", "b.txt"], ["c.txt"]),
        ("[^ab].txt", ["c.txt"], ["a.txt"]),
        (r"\*", ["*"], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
        ("a+(b)", ["a+(b)"], ["aab"]),
        ("*\n!keep", ["a", "a/keep"], ["keep", "keep/a"]),
        ("*\n!keep\nkeep/x", ["keep/x", "keep/x/y"], ["keep/y"]),
        ("node_modules\n!**/keep.js", ["node_modules/a.js"], ["node_modules/x/keep.js", "node_modules/keep.js"]),
        ("a\n! a/b", ["a/c"], ["a/b"]),
        (".", [], ["a"]),
        ("\ufeffa\r\nb", ["a", "b"], ["c"]),
    ],
)
def test_patterns(text: str, out: list[str], kept: list[str]) -> None:
    ignore = parse(text)
    assert [path for path in out if not leaves_out(ignore, path)] == []
    assert [path for path in kept if leaves_out(ignore, path)] == []


@pytest.mark.parametrize(
    ("text", "folder", "may"),
    [
        ("a", "a", False),
        ("a\n!a/b", "a", True),
        ("a\n!ab", "a", False),
        ("a\n!**/keep", "a", True),
        ("a\n!*/keep", "a", True),
        ("a\n!b/*", "a", False),
        ("a\n!a/b/c", "a/b", True),
        ("a\n!a/b*", "a/x", False),
        ("a\n!a/b*", "a/bc", True),
    ],
)
def test_an_ignored_folder_is_entered_where_an_exception_may_lie(text: str, folder: str, may: bool) -> None:
    assert parse(text).may_keep_below(folder) is may


@pytest.mark.parametrize(("text", "line"), [("a\n!", "line 2"), ("[a", "line 1"), ("a\n\n[z-a]", "line 3")])
def test_what_is_no_pattern_is_named_by_its_line(text: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        parse(text)


words = st.text("ab*?/!.\\", max_size=6)


@given(st.lists(words, max_size=4), st.lists(st.sampled_from(["a", "b", "ab", "a.b"]), min_size=1, max_size=3))
def test_a_kept_path_is_never_hidden_by_a_folder_that_is_not_entered(lines: list[str], parts: list[str]) -> None:
    try:
        ignore = parse("\n".join(lines))
    except ValueError:
        return
    if leaves_out(ignore, "/".join(parts)):
        return
    for depth in range(1, len(parts)):
        folder = "/".join(parts[:depth])
        assert not leaves_out(ignore, folder) or ignore.may_keep_below(folder)
