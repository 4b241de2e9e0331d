"""Passwords and sessions: what must never be taken for right."""

from __future__ import annotations

import asyncio

import pytest

from sevra_atlas.accounts import SESSION_SECONDS, hash_password, is_password, make_session, read_session

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
NOW = 1_800_000_000.0


def test_a_password_is_known_again_and_no_other() -> None:
    stored = asyncio.run(hash_password("correct horse"))
    assert "correct" not in stored
    assert asyncio.run(is_password("correct horse", stored))
    assert not asyncio.run(is_password("correct horsf", stored))


def test_the_same_password_is_stored_differently_each_time() -> None:
    assert asyncio.run(hash_password("correct horse")) != asyncio.run(hash_password("correct horse"))


def test_a_session_is_good_until_it_is_over() -> None:
    cookie = make_session(42, NOW, KEY)
    assert read_session(cookie, NOW + SESSION_SECONDS - 1, KEY) == 42
    assert read_session(cookie, NOW + SESSION_SECONDS, KEY) is None


@pytest.mark.parametrize(
    "cookie",
    [
        "", ".", "..", "a.b.c", "42", "42.1900000000", "42.1900000000.", "42.1900000000.é",
        make_session(42, NOW, OTHER_KEY), "1" + make_session(42, NOW, KEY), make_session(42, NOW, KEY) + "x",
        make_session(42, NOW, KEY).replace("42.", "43.", 1),
    ],
)  # fmt: skip
def test_a_forged_session_is_nobody(cookie: str) -> None:
    assert read_session(cookie, NOW, KEY) is None
