"""Reading and writing `.env` texts; tests/integration holds the same against the real Compose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger import dotenv
from wharfinger.errors import InvalidInput

# What `docker compose config` 2.26.1 and 2.40.3 make of each line, with OUTSIDE=outside in the environment.
AS_COMPOSE = [
    ("A=plain", "plain"),
    ("A=", ""),
    ("  A  =  spaced out  ", "spaced out"),
    ("export A=exported", "exported"),
    ("A: yaml", "yaml"),
    ("A=x # comment", "x"),
    ("A=x#y", "x#y"),
    ("A= # a value", "# a value"),
    ("A='single $OUTSIDE \\n'", "single $OUTSIDE \\n"),
    ("A='it\\'s'", "it's"),
    ("A='c:\\dir\\\\'", "c:\\dir\\\\"),
    ('A="double $OUTSIDE"', "double outside"),
    ('A="a\\nb\\tc\\\\d\\"e\\$f\\xg"', 'a\nb\tc\\d"e$f\\xg'),
    ('A="\\0101\\0777\\09"', "A\\777\\9"),
    ('A="first\nsecond"', "first\nsecond"),
    ('A="crlf\r\ninside"\r', "crlf\r\ninside"),
    ("A=crlf\r", "crlf"),
    ("A=$OUTSIDE/$NOWHERE!", "outside/!"),
    ("A=$$OUTSIDE", "$OUTSIDE"),
    ("A=\\$OUTSIDE", "\\outside"),
    ("A=$1", "$1"),
    ("A=${NOWHERE:-x}${NOWHERE-y}", "xy"),
    ("A=${OUTSIDE:+set}${NOWHERE:+unset}", "set"),
    ("A=${NOWHERE:-${ALSO-deep}} and ${OUTSIDE}", "deep and outside"),
    ("A=é 日本 🙂", "é 日本 🙂"),
    ("A='quoted' # comment", "quoted"),
]


@pytest.mark.parametrize(("line", "value"), AS_COMPOSE)
def test_a_line_reads_as_compose_reads_it(line: str, value: str) -> None:
    assert dotenv.parse(f"# first\n{line}\n", environ={"OUTSIDE": "outside"}) == {"A": value}


def test_later_lines_refer_to_earlier_ones_and_the_last_of_a_name_wins() -> None:
    assert dotenv.parse("\ufeffA=1\nB=$A\nA=2\n") == {"A": "2", "B": "1"}


def test_the_file_wins_over_the_environment() -> None:
    assert dotenv.parse("A=file\nB=$A\n", environ={"A": "shell", "B": "shell"}) == {"A": "file", "B": "file"}


def test_a_bare_name_comes_from_the_environment_or_not_at_all() -> None:
    assert dotenv.parse("A\nB\n", environ={"A": "shell"}) == {"A": "shell"}


def test_an_assignment_knows_its_line_and_where_its_value_stands() -> None:
    text = "\nA='a\nb'\n  B = x # c\n"
    found = dotenv.assignments(text)
    assert [(one.name, one.line) for one in found] == [("A", 2), ("B", 4)]
    assert [text[one.start : one.end] for one in found] == ["'a\nb'", "x"]


def test_a_reference_to_nothing_is_told_unless_it_has_a_default() -> None:
    found = dotenv.assignments("A=pa$word\nB=${word:-x}\nC='pa$word'\nD=pa$$word\n")
    assert [one.dangling for one in found] == [True, False, False, False]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("A=1\nB-=x\nC D=1\n", ":3:1: a name cannot contain a space"),
        ("A=1\n  !B=1\n", ":2:3: not part of a name"),
        ('A="p"ss"\n', ":1:8: not part of a name"),
        ("=x\n", ":1:1: a value without a name"),
        ("A=1\nB='x\ny\n", ":2:3: B: the opening ' has no closing one"),
        ("A=${\n", ":1:3: A: `${` does not begin a reference"),
        ("A=${B:?}\n", ":1:3: A: B is required here"),
        ("A", ":1:1: A: a bare name needs a line end"),
        ('A="\\0000"\n', ":1:3: A: holds a NUL"),
    ],
)
def test_a_malformed_place_is_named_with_line_and_column(text: str, where: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        dotenv.parse(text, source="stacks/x/.env.local")
    assert caught.value.details[0].startswith(f"stacks/x/.env.local{where}")


def test_all_malformed_places_are_found_and_the_rest_is_read() -> None:
    found, problems = dotenv.read('A=1\n!\nB="open\nC=${\nD=4\n')
    assert [one.name for one in found] == ["A", "D"]
    assert [(problem.line, problem.name) for problem in problems] == [(2, ""), (3, "B"), (4, "C")]


def test_no_message_and_no_repr_holds_a_value() -> None:
    text = 'KEY=hunter2\nOTHER=\'hunter2\nTHIRD="hunter2"hunter2!\nFOURTH=hunter2${\n'
    found, problems = dotenv.read(text)
    assert found
    assert problems
    assert "hunter2" not in repr(found) + repr(problems)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    )
)
def test_what_is_written_reads_back(values: dict[str, str]) -> None:
    text = dotenv.dump(values)
    assert dotenv.parse(text) == values
    assert text.count("\n") == len(values), "one line a variable"


@pytest.mark.parametrize("value", ["a\0b", "lone \udc80 surrogate"])
def test_what_no_environment_can_carry_is_not_written(value: str) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        dotenv.dump({"A": value})


@pytest.mark.parametrize("name", ["", "A B", "1A", "A=B", "é", "A\n"])
def test_a_name_that_a_shell_would_not_take_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="name of a variable"):
        dotenv.dump({name: "x"})


@given(st.text("A=${}:-+?'\"\\ #\n\r$B"))
def test_any_text_is_read_or_refused_but_never_crashes(text: str) -> None:
    found, problems = dotenv.read(text)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)
    assert all(0 <= one.start <= one.end <= len(text) for one in found)
