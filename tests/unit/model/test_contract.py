"""What a contract may say, and who gets what."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from wharfinger.model.contract import Contract, Variable


def contract(**variables: dict[str, Any]) -> Contract:
    return Contract.model_validate({name: {"meaning": "x"} | keys for name, keys in variables.items()})


def variable(**keys: Any) -> Variable:
    return Variable.model_validate({"meaning": "x"} | keys)


def test_required_is_what_has_no_default() -> None:
    assert variable().is_required
    assert not variable(default="x").is_required
    assert not variable(required=False).is_required


def test_a_default_is_text_whatever_yaml_made_of_it() -> None:
    assert variable(form="port", default=3000).default == "3000"
    assert variable(form="boolean", default=True).default == "true"


def test_an_environment_that_requires_a_variable_does_not_take_its_default() -> None:
    there = variable(default="dev", environments={"production": {"required": True}}).within("production")
    assert there.default is None
    assert there.is_required


def test_an_environment_gives_a_default_to_what_is_required_elsewhere() -> None:
    there = variable(required=True, environments={"local": {"default": "dev"}}).within("local")
    assert there.default == "dev"
    assert not there.is_required


def test_rules_are_laid_over_one_by_one() -> None:
    base = variable(
        form="url",
        schemes=["http"],
        default="http://x",
        environments={"production": {"schemes": ["https"], "default": None}},
    )
    there = base.within("production")
    assert (there.form, there.schemes, there.default) == ("url", ("https",), None)
    assert base.within("local").schemes == ("http",)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"form": "port", "default": "0"}, "its own default is not a port"),
        ({"form": "port", "generated": True}, "only text, hex, base64 can be generated"),
        ({"generated": True, "default": "x"}, "takes no default"),
        ({"default": "${"}, "does not begin a reference"),
        (
            {"form": "integer", "default": 5, "environments": {"prod": {"minimum": 9}}},
            "environments.prod: .* less than 9",
        ),
        ({"environments": {"prod": {"schemes": ["x"]}}}, "environments.prod: form text takes no schemes"),
        ({"meaning": " "}, "at least 1 character"),
        ({"secert": True}, "Extra inputs"),
    ],
)
def test_what_does_not_hold_together_is_refused(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        variable(**keys)


@pytest.mark.parametrize("name", ["1A", "A-B", "COMPOSE_FILE", "DOCKER_HOST", "WHARFINGER_SLOT", "PATH", "USER", "é"])
def test_a_name_that_something_else_reads_or_nothing_takes_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        contract(**{name: {}})


def test_a_default_refers_to_what_exists_and_not_to_itself() -> None:
    with pytest.raises(ValidationError, match=r"URL: its default refers to PASSWRD, .* did you mean PASSWORD?"):
        contract(PASSWORD={}, URL={"default": "x://${PASSWRD}"})
    with pytest.raises(ValidationError, match="A: its default refers to itself; B: its default refers to itself"):
        contract(A={"default": "$B"}, B={"default": "${X:-$A}"}, X={})


def test_a_default_made_of_a_secret_is_one_however_far_away() -> None:
    checked = contract(
        KEY={"generated": True},
        URL={"default": "x://${KEY}"},
        COPY={"default": "$URL"},
        PLAIN={"default": "$$KEY"},
    )
    assert [name for name in checked if checked.is_secret(name)] == ["KEY", "URL", "COPY"]


def test_a_service_gets_what_names_it_or_nobody_and_a_data_service_what_names_it() -> None:
    checked = contract(ALL={}, API={"services": ["api"]}, DB={"services": ["postgres", "api"]})
    assert checked.for_service("api") == ("ALL", "API", "DB")
    assert checked.for_service("worker") == ("ALL",)
    assert checked.for_data_service("postgres") == ("DB",)
    assert checked.services() == {"api", "postgres"}


def test_no_error_echoes_a_default() -> None:
    with pytest.raises(ValidationError) as caught:
        contract(A={"default": "hunter2", "form": "port", "secret": True})
    assert "hunter2" not in str(caught.value)
