"""Given values held against a contract: every problem together, and no value in any of them."""

from __future__ import annotations

from typing import Any

import pytest

from wharfinger import dotenv
from wharfinger.dotenv import Problem
from wharfinger.model.contract import Contract
from wharfinger.secrets import Secret
from wharfinger.settings import InvalidSettings, Settings, resolve

FILE = "stacks/x/.env.local"


def contract(**variables: dict[str, Any]) -> Contract:
    return Contract.model_validate({name: {"meaning": f"What {name} is"} | keys for name, keys in variables.items()})


def problems(checked: Contract, text: str, environment: str = "local") -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        resolve(checked, environment, dotenv.assignments(text), source=FILE)
    assert caught.value.exit_code == 3
    return list(caught.value.details)


def resolved(checked: Contract, environment: str = "local", **values: str) -> Settings:
    return resolve(checked, environment, values, source=FILE)


def test_every_problem_is_reported_together_by_line() -> None:
    checked = contract(
        PORT={"form": "port"},
        HOST={"form": "host"},
        TOKEN={"secret": True},
        KEY={"form": "hex", "bytes": 4, "generated": True},
        MISSING={"form": "url", "schemes": ["https"]},
        MADE={"generated": True},
    )
    text = "PORT=65536\nHSOT=a\nTOKEN=changeme\nKEY=c0ffee\nHOST=\nPORT=99999\n"
    assert problems(checked, text) == [
        f"{FILE}:2: HSOT: no variable of the contract; did you mean HOST?",
        f"{FILE}:3: TOKEN: still a placeholder; give the real value: What TOKEN is (text)",
        f"{FILE}:4: KEY: 3 bytes of hex, fewer than 4",
        f"{FILE}:5: HOST: empty, but required: What HOST is (host)",
        f"{FILE}:6: PORT: given before, in line 1; this one wins, so remove the other",
        f"{FILE}:6: PORT: not a port from 1 to 65535",
        f"{FILE}: MISSING: missing: What MISSING is (url (https://))",
        f"{FILE}: MADE: missing; `invoke env.generate --env local` makes it",
    ]


def test_no_value_of_any_variable_is_in_any_message() -> None:
    checked = contract(A={"form": "port"}, B={"form": "hex", "secret": True}, C={"form": "choice", "choices": ["x"]})
    text = "A=hunter2\nB=hunter2\nC=hunter2\nD=hunter2\n"
    assert "hunter2" not in "\n".join(problems(checked, text))


def test_a_key_pasted_without_quotes_is_not_shown_as_an_unknown_name() -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
    found = problems(contract(KEY={"secret": True}), f"KEY=-----BEGIN\n{body}==\n")
    assert found == [f"{FILE}:2: not a variable; does a value of several lines lack its quotes?"]


@pytest.mark.parametrize(
    "value",
    [
        "changeme",
        "CHANGE_ME",
        "change-me-please",
        "replace_this",
        "xxxx",
        "...",
        "<your token>",
        "your-token-here",
        "secret",
        "the-example",
        "todo",
    ],
)
def test_a_placeholder_is_no_value(value: str) -> None:
    checked = contract(TOKEN={"secret": True, "example": "the-example"})
    assert "placeholder" in problems(checked, f"TOKEN='{value}'\n")[0]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ({"form": "choice", "choices": ["info", "debug"], "example": "info"}, "info"),
        ({"form": "port", "example": 3000}, "3000"),
        ({"default": "changeme"}, "changeme"),
        ({}, "secret"),
        ({"secret": True}, "exchange-mechanism"),
    ],
)
def test_what_only_looks_like_a_placeholder_is_a_value(keys: dict[str, Any], value: str) -> None:
    assert resolved(contract(A=keys), A=value).plain() == {"A": value}


def test_a_dollar_that_refers_to_nothing_is_a_problem() -> None:
    """`PASSWORD=pa$word` reaches the container as `pa`."""
    found = problems(contract(PASSWORD={"secret": True}), "PASSWORD=pa$word\n")
    assert len(found) == 1
    assert found[0].startswith(f"{FILE}:1: PASSWORD: refers to a variable that is not set; a literal $ is written $$")


def test_defaults_are_filled_in_from_each_other_in_the_contracts_order() -> None:
    checked = contract(
        URL={"form": "url", "default": "postgresql://${USER_NAME:-nobody}:${PASSWORD}@db/${USER_NAME}"},
        USER_NAME={"default": "sevra"},
        PASSWORD={"secret": True},
    )
    settings = resolved(checked, PASSWORD="pa$$w")
    assert list(settings.plain().items()) == [
        ("URL", "postgresql://sevra:pa$$w@db/sevra"),
        ("USER_NAME", "sevra"),
        ("PASSWORD", "pa$$w"),
    ]
    assert [name for name, value in settings.values.items() if isinstance(value, Secret)] == ["URL", "PASSWORD"]


def test_a_password_that_would_break_a_url_is_a_problem_of_the_url() -> None:
    checked = contract(PASSWORD={"secret": True}, URL={"form": "url", "default": "redis://:${PASSWORD}@cache:6379"})
    found = problems(checked, "PASSWORD='p@ss/w'\n")
    assert found == [
        f"{FILE}: URL: its default puts PASSWORD into a url, where some of its characters would have to be escaped;"
        " give URL itself, or make PASSWORD of letters, digits and -._~"
    ]


def test_a_default_that_comes_out_wrong_is_a_problem() -> None:
    checked = contract(BASE={}, PORT={"form": "port", "default": "${BASE}1"})
    assert problems(checked, "BASE=x\n") == [
        f"{FILE}: PORT: its default, made from BASE, is wrong: not a port from 1 to 65535"
    ]
    checked = contract(BASE={"required": False}, OTHER={"default": "${BASE:?}"})
    assert problems(checked, "") == [
        f"{FILE}: OTHER: its default cannot be filled in: BASE is required here and has no value"
    ]


def test_what_is_missing_is_told_once_and_not_again_for_what_is_made_of_it() -> None:
    checked = contract(
        PASSWORD={"generated": True}, URL={"form": "url", "default": "${PASSWORD}"}, COPY={"default": "$URL"}
    )
    assert problems(checked, "") == [f"{FILE}: PASSWORD: missing; `invoke env.generate --env local` makes it"]


def test_an_empty_value_stands_for_none_where_nothing_is_needed_and_for_itself_where_text_has_a_default() -> None:
    checked = contract(OPTIONAL={"form": "url", "required": False}, BANNER={"default": "hello"})
    assert resolved(checked, OPTIONAL="", BANNER="").plain() == {"BANNER": ""}


def test_an_empty_value_does_not_fit_a_form() -> None:
    found = problems(contract(PORT={"form": "port", "default": 80}), "PORT=\n")
    assert found == [f"{FILE}:1: PORT: empty; remove the line to get its default"]


def test_the_rules_of_the_environment_hold() -> None:
    checked = contract(
        URL={
            "form": "url",
            "default": "http://x",
            "environments": {"production": {"required": True, "schemes": ["https"]}},
        }
    )
    assert resolved(checked).plain() == {"URL": "http://x"}
    assert problems(checked, "", "production") == [f"{FILE}: URL: missing: What URL is (url (https://))"]
    assert problems(checked, "URL=http://a\n", "production") == [f"{FILE}:1: URL: its scheme is not https"]


def test_what_the_caller_knows_of_the_file_is_reported_too_and_not_as_missing_as_well() -> None:
    with pytest.raises(InvalidSettings) as caught:
        resolve(contract(A={}, B={}), "local", {}, source=FILE, also=[Problem("cannot be read", "A", 3, 7)])
    assert list(caught.value.details) == [f"{FILE}:3:7: A: cannot be read", f"{FILE}: B: missing: What B is (text)"]


def test_secrets_do_not_show_and_plain_gives_them() -> None:
    settings = resolved(contract(A={"secret": True}, B={}), A="hunter2", B="seen")
    assert "hunter2" not in repr(settings)
    assert "seen" in repr(settings)
    assert settings.plain() == {"A": "hunter2", "B": "seen"}


def test_a_service_gets_the_names_that_have_a_value() -> None:
    checked = contract(ALL={}, NONE={"required": False}, DB={"services": ["postgres"]})
    settings = resolved(checked, ALL="x", DB="y")
    assert settings.for_service("api") == ("ALL",)
    assert settings.for_data_service("postgres") == ("DB",)
