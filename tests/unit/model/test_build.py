from __future__ import annotations

import pydantic
import pytest

from wharfinger.model.build import BuildSpec


def test_the_least_is_a_dockerfile_beside_the_stack() -> None:
    spec = BuildSpec.model_validate({})
    assert (spec.context, spec.dockerfile, spec.target, spec.secrets) == (".", "Dockerfile", None, ())


@pytest.mark.parametrize("name", ["NPM_TOKEN", "db_password", "API_KEY", "apikey", "MY_SECRET", "AWS_ACCESS_KEY_ID"])
def test_a_secret_is_refused_as_an_argument(name: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="use `secrets` instead") as caught:
        BuildSpec.model_validate({"args": {name: "hunter2"}})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["PYTHON_VERSION", "KEYBOARD", "MONKEY", "TOKENIZER_VERSION", "VITE_MAP_TOKEN"])
def test_a_public_argument_is_not(name: str) -> None:
    assert BuildSpec.model_validate({"args": {name: "1"}}).args == {name: "1"}


@pytest.mark.parametrize(
    "secret",
    [
        {"id": "a"},
        {"id": "a", "env": "A", "file": "b"},
        {"id": "a,src=/etc/shadow", "env": "A"},
        {"id": "a", "env": "A,src=/etc/shadow"},
        {"id": "a", "file": "x,env=HOME"},
        {"id": "a", "env": "A", "value": "hunter2"},
    ],
)
def test_a_secret_has_one_source_and_no_tricks(secret: dict[str, str]) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        BuildSpec.model_validate({"secrets": [secret]})
    assert "hunter2" not in str(caught.value)


def test_a_secret_is_named_once() -> None:
    with pytest.raises(pydantic.ValidationError, match="secrets: a twice"):
        BuildSpec.model_validate({"secrets": [{"id": "a", "env": "A"}, {"id": "a", "env": "B"}]})
