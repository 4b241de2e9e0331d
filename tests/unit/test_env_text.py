"""The `.env` texts that people read: what they explain, and what of theirs is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger import dotenv, env_text, stackfile
from wharfinger.errors import InvalidInput
from wharfinger.model.contract import Contract
from wharfinger.settings import resolve

PROJECT = Path(__file__).parents[2]


def contract(**variables: dict[str, Any]) -> Contract:
    return Contract.model_validate({name: {"meaning": f"What {name} is"} | keys for name, keys in variables.items()})


CONTRACT = contract(
    PASSWORD={"form": "hex", "bytes": 16, "generated": True, "services": ["postgres"]},
    SESSION={"form": "base64", "bytes": 32, "generated": True},
    TOKEN={"generated": True},
    URL={
        "meaning": "Where the api finds\nits database",
        "form": "url",
        "schemes": ["postgresql"],
        "default": "postgresql://u:${PASSWORD}@db/x",
        "environments": {"production": {"required": True}},
    },
    MAIL={"form": "host", "example": "smtp.example.com"},
    BANNER={"default": "it's $$5 # a day", "required": False},
    LEVEL={"form": "choice", "choices": ["info", "debug"], "default": "info"},
)


def random(count: int) -> bytes:
    return bytes(range(200, 200 + count))


def generate(text: str, environment: str = "local", known: dict[str, str] | None = None) -> env_text.Generated:
    return env_text.generate(CONTRACT, environment, text, stack="x", random=random, known=known)


def test_a_file_is_begun_with_every_variable_explained() -> None:
    made = generate("")
    assert made.names == ("PASSWORD", "SESSION", "TOKEN")
    assert (
        f"""
# What PASSWORD is
# required; 16 bytes as hex; a secret that `invoke env.generate` makes; for postgres
PASSWORD={random(16).hex()}
"""
        in made.text
    )
    assert (
        """
# Where the api finds
# its database
# has a default; url (postgresql://)
# in production: required; url (postgresql://)
#URL=postgresql://u:${PASSWORD}@db/x

# What MAIL is
# required; host
# example: smtp.example.com
MAIL=

# What BANNER is
# has a default; text
#BANNER="it's $$5 # a day"
"""
        in made.text
    )


def test_a_begun_file_lacks_only_what_a_person_must_give() -> None:
    begun = generate("").text.replace("MAIL=\n", "MAIL=smtp.acme.test\n")
    values = resolve(CONTRACT, "local", dotenv.assignments(begun), source="x").plain()
    assert values["URL"] == f"postgresql://u:{random(16).hex()}@db/x"
    assert len(values["TOKEN"]) == 32


def test_uncommented_defaults_are_the_defaults() -> None:
    """What the file shows as a default is what the variable would have had."""
    begun = generate("").text.replace("MAIL=\n", "MAIL=smtp.acme.test\n")
    shown = "".join(
        line.removeprefix("#") if line.startswith("#") and line[1] != " " else line for line in begun.splitlines(True)
    )
    assert dotenv.parse(shown) == resolve(CONTRACT, "local", dotenv.assignments(begun), source="x").plain()


def test_what_is_there_stays_byte_for_byte() -> None:
    text = "\ufeff# mine\r\n  export PASSWORD : 'kept' # why\r\nEXTRA=1"
    made = generate(text)
    assert made.text.startswith(text + "\r\n")
    assert made.names == ("SESSION", "TOKEN")
    assert dotenv.parse(made.text)["PASSWORD"] == "kept"
    assert generate(made.text) == env_text.Generated(made.text, ())


def test_an_empty_secret_is_filled_in_where_it_stands() -> None:
    made = generate("TOKEN=''  # here\nPASSWORD=\nSESSION=kept\n")
    lines = made.text.splitlines()
    assert lines[0].endswith("  # here")
    assert lines[1] == f"PASSWORD={random(16).hex()}"
    assert lines[2:] == ["SESSION=kept"]
    assert len(dotenv.parse(made.text)["TOKEN"]) == 32


def test_what_is_known_is_taken_where_it_is_missing_and_nothing_else_is() -> None:
    known = {"PASSWORD": "ab" * 16, "TOKEN": "it's $known", "SESSION": "", "OTHER": "x"}
    begun = generate("", known=known)
    values = dotenv.parse(begun.text)
    assert (begun.names, begun.taken) == (("SESSION",), ("PASSWORD", "TOKEN"))
    assert (values["PASSWORD"], values["TOKEN"]) == ("ab" * 16, "it's $known")
    assert values["SESSION"], "an empty value is none"
    filled = generate("PASSWORD=mine\nTOKEN=\nSESSION=own\n", known=known)
    assert dotenv.parse(filled.text) == {"PASSWORD": "mine", "TOKEN": "it's $known", "SESSION": "own"}


@given(st.text("AB=PASSWORD TOKEN\n#'\"\r"))
def test_generating_never_touches_what_can_be_read(text: str) -> None:
    try:
        before = dotenv.parse(text)
    except InvalidInput:
        with pytest.raises(InvalidInput):
            generate(text)
        return
    after = dotenv.parse(generate(text).text)
    assert {name: after[name] for name, value in before.items() if value} == {n: v for n, v in before.items() if v}
    assert all(after[name] for name in ("PASSWORD", "SESSION", "TOKEN"))


def test_generated_values_do_not_show() -> None:
    assert random(16).hex() not in repr(generate(""))


def test_the_example_explains_every_variable_of_every_stack_and_gives_no_secret() -> None:
    text = env_text.example({"b-stack": CONTRACT, "a-stack": contract(ONLY={})})
    assert text.index("a-stack") < text.index("b-stack")
    assert all(f"\n{name}=\n" in text for name in ("ONLY", "PASSWORD", "SESSION", "TOKEN", "MAIL"))
    dotenv.parse(text)


def test_env_example_is_up_to_date() -> None:
    """Drift between a contract and env.example is mended by `invoke env.example`."""
    stacks = [stackfile.load(path) for path in sorted(PROJECT.glob("stacks/*/stack.yaml"))]
    assert stacks
    text = env_text.example({stack.name: stack.env for stack in stacks})
    assert (PROJECT / "env.example").read_text(encoding="utf-8") == text
