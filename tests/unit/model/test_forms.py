"""What counts as a url, a port, a key …"""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import ValidationError

from wharfinger.model.forms import Form

KEY = base64.b64encode(bytes(range(200, 232))).decode()


@pytest.mark.parametrize(
    ("form", "fine", "wrong"),
    [
        ({"form": "text"}, ["", "anything $ at all\n"], []),
        (
            {"form": "url"},
            [
                "https://example.com",
                "redis://redis_cache:6379/0",
                "http://[::1]:80/x",
                "file:../data/x.db",
                "sqlite:///x",
            ],
            [
                "",
                "example.com",
                "https://",
                "http://:80/",
                "http://a:0",
                "http://a:65536",
                "http://a b",
                "//a",
                "http://-a",
                "http://[::1",
                "a\n://b",
            ],
        ),
        (
            {"form": "url", "schemes": ["postgresql"]},
            ["postgresql://u:p@h:5432/d", "POSTGRESQL://h/d"],
            ["postgres://h/d"],
        ),
        ({"form": "integer"}, ["0", "-3", "007"], ["", "1.5", "1_000", " 1", "1 ", "٣", "0x10", "+1"]),
        ({"form": "integer", "minimum": 1, "maximum": 9}, ["1", "9"], ["0", "10"]),
        (
            {"form": "boolean"},
            ["true", "False", "1", "0", "YES", "no", "on", "off"],
            ["", "y", "2", "enabled"],
        ),
        (
            {"form": "host"},
            ["localhost", "redis_cache", "a.example.com", "a.example.com.", "192.0.2.1", "2001:db8::1"],
            ["", "a..b", "-a", "a:80", "http://a", "256.0.0.1", "a/b", "x" * 64, "a b"],
        ),
        ({"form": "port"}, ["1", "65535", "3000"], ["", "0", "65536", "080", "-1", "80/tcp"]),
        ({"form": "duration"}, ["500ms", "1m30s", "0.5s"], ["", "5", "5 s", "soon"]),
        ({"form": "choice", "choices": ["a", "b"]}, ["a", "b"], ["", "c", "A"]),
        ({"form": "pattern", "pattern": "[a-z]+"}, ["abc"], ["", "abc\n", "abc1"]),
        ({"form": "hex"}, ["00", "deadBEEF"], ["", "0", "0g", "de ad", "0x00"]),
        ({"form": "hex", "bytes": 2}, ["dead"], ["de", "deadbe"]),
        ({"form": "base64"}, [KEY, "QQ=="], ["", "QQ", "Q", "QQ =", "QQ==\n", "_-8="]),
        (
            {"form": "base64", "bytes": 32},
            [KEY],
            [base64.b64encode(b"x" * 31).decode(), base64.b64encode(b"x" * 33).decode()],
        ),
    ],
)
def test_a_form_takes_what_fits_and_says_what_does_not(form: dict[str, Any], fine: list[str], wrong: list[str]) -> None:
    checked = Form.model_validate(form)
    assert {value: checked.problem(value) for value in fine} == dict.fromkeys(fine)
    assert [value for value in wrong if checked.problem(value) is None] == []


def test_a_short_key_is_called_short_and_not_shown() -> None:
    problem = Form(form="hex", bytes=32).problem("c0ffee")
    assert problem == "3 bytes of hex, fewer than 32"


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"form": "port", "schemes": ["http"]}, "form port takes no schemes"),
        ({"form": "choice"}, "form choice needs choices"),
        ({"form": "pattern", "pattern": "("}, "no regular expression"),
        ({"form": "integer", "minimum": 3, "maximum": 2}, "minimum is greater"),
        ({"bytes": 3}, "form text takes no bytes"),
        ({"form": "colour"}, "Input should be 'text', 'url'"),
    ],
)
def test_an_option_that_does_not_fit_its_form_is_refused(form: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Form.model_validate(form)


def test_choices_and_schemes_are_texts_whatever_yaml_made_of_them() -> None:
    assert Form.model_validate({"form": "choice", "choices": [1, True, "x"]}).choices == ("1", "true", "x")
