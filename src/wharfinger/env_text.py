"""The text of `.env` files for people: every variable explained, and missing secrets filled in."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from wharfinger import dotenv
from wharfinger.model.contract import GENERATED_BYTES, Contract, Variable
from wharfinger.model.interpolation import references

Randomness = Callable[[int], bytes]
"""Gives that many bytes that nobody can guess, as `secrets.token_bytes` does."""

_TEXT_BYTES: Final = 24  # 32 characters of url-safe base64
_EXAMPLE_HEADER: Final = """\
# Every variable that a stack under stacks/ needs: what it means, its form and its default.
# Made from the contracts (`env` in each stack.yaml) by `invoke env.example`; a test fails when it drifts.
#
# The values of one environment lie in stacks/NAME/.env.ENVIRONMENT, which is never committed:
#   invoke env.generate --env local    begins that file and makes the secrets
#   invoke env.check --env local       reports everything that is missing or wrong in it
"""
_FILE_HEADER: Final = """\
# The variables of {stack} in {environment}. Keep this file secret and out of version control.
# A line that begins with #NAME= shows a default: remove the # to give another value.
# `invoke env.check --env {environment}` says what is missing or wrong.
"""


@dataclass(frozen=True, slots=True)
class Generated:
    """A `.env` text with the missing secrets in it, and the names of those that were made or taken over."""

    text: str = field(repr=False)
    names: tuple[str, ...]
    taken: tuple[str, ...] = ()


def generate(
    contract: Contract,
    environment: str,
    text: str,
    *,
    stack: str,
    random: Randomness,
    source: str = ".env",
    known: Mapping[str, str] | None = None,
) -> Generated:
    """Return the text with every missing generated secret filled in, and all else byte for byte as it was.

    One that `known` has is taken from there, and made otherwise. An empty text becomes a whole file that explains
    every variable. Raises InvalidInput where the text cannot be read.
    """
    rules = contract.within(environment)
    given = {one.name: one for one in dotenv.assignments(text, source=source)}
    wanted = [name for name in rules if rules[name].generated and (name not in given or not given[name].value)]
    held = {name: value for name, value in (known or {}).items() if name in wanted and value}
    made = {name: dotenv.quoted(held[name]) if name in held else _secret(rules[name], random) for name in wanted}
    names = tuple(name for name in wanted if name not in held)
    if not text:
        header = _FILE_HEADER.format(stack=stack, environment=environment)
        return Generated("\n".join([header, *_explained(rules, made)]), names, tuple(held))
    filled = text
    for one in sorted((given[name] for name in wanted if name in given), key=lambda one: one.start, reverse=True):
        filled = filled[: one.start] + made[one.name] + filled[one.end :]
    return Generated(
        filled + _appended(filled, rules, {name: made[name] for name in wanted if name not in given}),
        names,
        tuple(held),
    )


def example(contracts: Mapping[str, Contract]) -> str:
    """Return the text of env.example: every variable of every stack, by stack name."""
    sections = [_EXAMPLE_HEADER]
    for stack in sorted(contracts):
        sections += [f"# ---- {stack} {'-' * (72 - len(stack))}\n", *_explained(contracts[stack], {})]
    return "\n".join(sections)


def _secret(variable: Variable, random: Randomness) -> str:
    if variable.form == "text":
        return base64.urlsafe_b64encode(random(_TEXT_BYTES)).decode()
    held = random(variable.bytes or GENERATED_BYTES)
    return held.hex() if variable.form == "hex" else base64.b64encode(held).decode()


def _appended(text: str, rules: Contract, made: Mapping[str, str]) -> str:
    if not made:
        return ""
    end = "\r\n" if "\r\n" in text else "\n"
    lines = [line for name, value in made.items() for line in ("", f"# {_first_line(rules[name])}", f"{name}={value}")]
    return ("" if text.endswith("\n") else end) + end.join([*lines, ""])


def _first_line(variable: Variable) -> str:
    return variable.meaning.splitlines()[0]


def _explained(contract: Contract, values: Mapping[str, str]) -> Iterable[str]:
    """Yield one paragraph a variable, with its value, or its default in a comment."""
    for name in contract:
        one = contract[name]
        comments = [*one.meaning.splitlines(), *_facts(one), *_rules_by_environment(one)]
        shown = values.get(name) or ("" if one.default is None else _as_written(one.default))
        mark = "" if name in values or (one.is_required and one.default is None) else "#"
        yield "".join(f"# {line}\n" for line in comments) + f"{mark}{name}={shown}\n"


def _facts(variable: Variable) -> Iterable[str]:
    facts = [_needed(variable), variable.described()]
    if variable.generated:
        facts.append("a secret that `invoke env.generate` makes")
    elif variable.secret:
        facts.append("secret")
    if variable.services is not None:
        facts.append(f"for {', '.join(variable.services)}")
    yield "; ".join(facts)
    if variable.example is not None:
        yield f"example: {variable.example}"


def _needed(variable: Variable) -> str:
    if variable.default is not None:
        return "has a default"
    return "required" if variable.is_required else "optional"


def _rules_by_environment(variable: Variable) -> Iterable[str]:
    for environment in variable.environments:
        rules, there = variable.environments[environment], variable.within(environment)
        facts = [_needed(there), there.described()]
        if rules.default is not None:
            facts.append(f"default: {_as_written(rules.default)}")
        yield f"in {environment}: {'; '.join(facts)}"


def _as_written(default: str) -> str:
    """Return a default as a `.env` file would give it: its references stay references."""
    if not references(default) and "$" not in default:
        return dotenv.quoted(default)
    plain = not any(char.isspace() or char in "#\"'\\" for char in default)
    escaped = default.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return default if plain else f'"{escaped}"'
