"""The small values of a stack file mean what they mean to Compose, and nothing else is taken for them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from wharfinger.model.values import Argv, Duration, Model, Name, Size, seconds, size_in_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("1m30s", 90),
        ("1h", 3600),
        ("1.5s", 1.5),
        ("100us", 0.0001),
        ("0s", 0),
        ("2h3m4s", 7384),
    ],
)
def test_a_duration_is_so_many_seconds(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("512", 512),
        ("1b", 1),
        ("512k", 524288),
        ("64m", 67108864),
        ("64MB", 67108864),
        ("2g", 2 << 30),
        ("1 gb", 1 << 30),
    ],
)
def test_a_size_is_so_many_bytes(text: str, expected: int) -> None:
    assert size_in_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "5s ", "5S", "1d", "1e3s", "s5", "5s5", "5s\n", ".5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration such as 500ms, 30s or 1m30s"):
        seconds(text)


@pytest.mark.parametrize("text", ["", "m", "-1m", "1.5g", "1t", "64mib", "1m1m", " 1m", "1m\n"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size such as 512k, 64m or 2g"):
        size_in_bytes(text)


@given(text=st.text(alphabet="0123456789.hmsuBkg -", max_size=12))
def test_a_value_is_read_or_refused(text: str) -> None:
    for read in (seconds, size_in_bytes):
        try:
            assert read(text) >= 0
        except ValueError as error:
            assert str(error).startswith("not a")  # noqa: PT017 - not a failure, but the other promise


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Duration, ["30s"], [30, "soon", None]),
        (Size, ["64m"], [64, "lots"]),
        (
            Name,
            ["a", "redis_cache", "sevra-atlas", "a1-b2_c3", "a" * 40],
            ["", "A", "1a", "-a", "a-", "a--b", "a.b", "a b", "a/b", "a\n", "ä", "a" * 41],
        ),
        (Argv, [["python", "-m", "x"], (), ("a b",)], ["python -m x", [1], {"a": "b"}, None]),
    ],
)
def test_a_typed_value_takes_what_it_should_and_no_more(kind: Any, good: list[Any], bad: list[Any]) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    for value in good:
        adapter.validate_python(value)
    for value in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


def test_a_section_is_frozen_refuses_unknown_keys_and_echoes_nothing() -> None:
    class Section(Model):
        port: int

    with pytest.raises(ValidationError, match="frozen"):
        Section(port=1).port = 2
    for wrong in ({"port": "s3cret"}, {"port": 1, "prot": "s3cret"}):
        with pytest.raises(ValidationError) as caught:
            Section.model_validate(wrong)
        assert "s3cret" not in str(caught.value)
