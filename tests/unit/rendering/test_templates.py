"""Templates: whose wins, and what a broken one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger import assets
from wharfinger.errors import InvalidInput
from wharfinger.rendering.templates import Templates


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "a.j2").write_text("ours {{ value }}\n")
    (folder / "_macros.j2").write_text("{% macro greet() %}hello{% endmacro %}\n")
    return folder


@pytest.fixture
def users(tmp_path: Path) -> Path:
    folder = tmp_path / "templates"
    folder.mkdir()
    return folder


def test_ours_is_used_where_the_project_has_none(ours: Path, users: Path) -> None:
    assert Templates((users, ours)).render("a.j2", value=1) == "ours 1\n"


def test_a_project_overrides_file_by_file(ours: Path, users: Path) -> None:
    (users / "a.j2").write_text("{% from '_macros.j2' import greet %}\n{{ greet() }} from {{ template }}\n")

    assert Templates((users, ours)).render("a.j2") == "hello from templates/a.j2\n"


def test_a_project_without_templates_gets_ours(tmp_path: Path) -> None:
    templates = Templates.of(tmp_path)

    assert templates.folders == (tmp_path / "templates", assets.folder("templates"))
    assert Templates.of().folders == templates.folders[1:]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        pytest.param("one\n{% if %}\n", 2, "Expected an expression", id="syntax"),
        pytest.param("one\ntwo {{ valeu }}\n", 2, "'valeu' is undefined", id="unknown value"),
        pytest.param("{{ value }}\n\n{{ value.nope }}\n", 3, "no attribute 'nope'", id="unknown member"),
        pytest.param("one\n{{ 1 + 'a' }}\n", 2, "unsupported operand", id="wrong type"),
        pytest.param("{{ value | nope }}\n", 1, "No filter named 'nope'", id="unknown filter"),
        pytest.param("one\ntwo\n{% for x in value %}{% endfor %}\n", 3, "not iterable", id="no list"),
    ],
)
def test_a_broken_template_names_its_line_and_the_mend(
    ours: Path, users: Path, text: str, line: int, problem: str
) -> None:
    (users / "a.j2").write_text(text)

    with pytest.raises(InvalidInput) as caught:
        Templates((users, ours)).render("a.j2", value=1)

    assert caught.value.problem.startswith(f"{users / 'a.j2'}:{line}: ")
    assert problem in caught.value.problem
    assert "remove the file" in caught.value.fix


def test_an_error_in_what_a_template_includes_names_the_included_one(ours: Path, users: Path) -> None:
    (users / "b.j2").write_text("\n\n{{ nope }}\n")
    (users / "a.j2").write_text("{% include 'b.j2' %}\n")

    with pytest.raises(InvalidInput, match=r"b\.j2:3: "):
        Templates((users, ours)).render("a.j2")


def test_a_missing_template_says_where_it_was_looked_for(ours: Path, users: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        Templates((users, ours)).render("nope.j2")

    assert "nope.j2" in caught.value.problem
    assert caught.value.details == (f"looked in {users}", f"looked in {ours}")
