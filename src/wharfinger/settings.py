"""The values of one environment: what is given, held against the contract, with its defaults filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from wharfinger.dotenv import Assignment, Problem
from wharfinger.errors import InvalidInput
from wharfinger.model.contract import Contract, Variable
from wharfinger.model.interpolation import interpolate, references
from wharfinger.secrets import Secret

# Forms of few values, of which an example is as good as any other.
_CLOSED_FORMS: Final = ("boolean", "choice", "integer", "port", "duration")
_PLACEHOLDER: Final = re.compile(
    r".*(?<![a-z])(change|replace)[-_ ]?(me|it|this)(?![a-z]).*|x{3,}|\.{3,}|<.*>", re.I | re.S
)
_PLACEHOLDER_WORD: Final = re.compile(
    r"todo|tbd|fixme|placeholder|your[-_ ].*|(my[-_ ]?)?(secret|password|passwd|token)|dummy|example", re.I
)
_SAFE_IN_URL: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:-]*")
_LIKE_A_NAME: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,40}|[a-z_][a-z0-9_]{0,30}")


class InvalidSettings(InvalidInput):
    """The values of an environment are not what the contract asks for; `problems` has them one by one."""

    def __init__(self, problems: Sequence[Problem], *, source: str, environment: str) -> None:
        ordered = sorted(problems, key=lambda problem: problem.line or float("inf"))
        super().__init__(
            f"{source}: {len(ordered)} problem{'s'[: len(ordered) != 1]}",
            details=[problem.located(source) for problem in ordered],
            fix=f"correct {source}; `invoke env.generate --env {environment}` makes missing secrets,"
            " and env.example explains every variable",
        )
        self.problems = tuple(ordered)


@dataclass(frozen=True, slots=True)
class Settings:
    """The variables of one environment in the contract's order, each as it will be in the containers."""

    environment: str
    values: Mapping[str, str | Secret]
    contract: Contract = field(repr=False)

    def plain(self) -> dict[str, str]:
        """Return every value itself, secrets too, for the `.env` file beside a release's Compose files."""
        return {name: one.reveal() if isinstance(one, Secret) else one for name, one in self.values.items()}

    def for_service(self, name: str) -> tuple[str, ...]:
        """Return the names of the variables with a value that a service of the app tier gets."""
        return tuple(key for key in self.contract.for_service(name) if key in self.values)

    def for_data_service(self, name: str) -> tuple[str, ...]:
        """Return the names of the variables with a value that a data service gets."""
        return tuple(key for key in self.contract.for_data_service(name) if key in self.values)


def resolve(
    contract: Contract,
    environment: str,
    values: Mapping[str, str] | Sequence[Assignment],
    *,
    source: str,
    also: Sequence[Problem] = (),
) -> Settings:
    """Return the settings of an environment from what is given, as a mapping or as a file's assignments.

    Raises InvalidSettings with every problem there is, `also` among them (what the caller found out about the
    file): missing, malformed, unknown, repeated, placeholder. No message holds a value. An empty value counts
    as not given where nothing is required and no default waits.
    """
    given = _as_assignments(values)
    rules = contract.within(environment)
    known = {one.name: one for one in given if one.name in rules and not _is_unset(rules[one.name], one)}
    problems = [*also, *_repeated(given), *_unknown(contract, given)]
    problems += [
        Problem(wrong, name, one.line) for name, one in known.items() if (wrong := _given_problem(rules[name], one))
    ]
    # A variable whose line could not be read is there, so it is not reported as missing as well.
    seen = known.keys() | {problem.name for problem in also}
    problems += [Problem(_missing(rules[name], environment), name) for name in _required(rules) if name not in seen]
    resolved, wrong_defaults = _with_defaults(
        rules, {name: one.value for name, one in known.items()}, {problem.name for problem in problems}
    )
    problems += wrong_defaults
    if problems:
        raise InvalidSettings(problems, source=source, environment=environment)
    wrapped = {name: Secret(value) if contract.is_secret(name) else value for name, value in resolved.items()}
    return Settings(environment, MappingProxyType(wrapped), contract)


def _as_assignments(values: Mapping[str, str] | Sequence[Assignment]) -> tuple[Assignment, ...]:
    if isinstance(values, Mapping):
        return tuple(Assignment(name, value) for name, value in values.items())
    return tuple(values)


def _is_unset(variable: Variable, one: Assignment) -> bool:
    return not one.value and not one.dangling and variable.default is None and not variable.is_required


def _repeated(given: Iterable[Assignment]) -> Iterable[Problem]:
    first: dict[str, int] = {}
    for one in given:
        if one.name in first:
            yield Problem(
                f"given before, in line {first[one.name]}; this one wins, so remove the other",
                one.name,
                one.line,
            )
        first.setdefault(one.name, one.line)


def _unknown(contract: Contract, given: Iterable[Assignment]) -> Iterable[Problem]:
    for one in given:
        if one.name in contract:
            continue
        if near := contract.closest(one.name):
            yield Problem(f"no variable of the contract; did you mean {near}?", one.name, one.line)
        elif _LIKE_A_NAME.fullmatch(one.name):
            yield Problem("no variable of the contract; remove it, or add it to `env` of the stack", one.name, one.line)
        else:
            # A line of a key pasted without quotes reads as a name too, and must not be shown.
            yield Problem("not a variable; does a value of several lines lack its quotes?", "", one.line)


def _given_problem(variable: Variable, one: Assignment) -> str | None:
    if one.dangling:
        return "refers to a variable that is not set; a literal $ is written $$, or the value in single quotes"
    if not one.value:
        if variable.is_required:
            return f"empty, but required: {variable.meaning} ({variable.described()})"
        return None if variable.form == "text" else "empty; remove the line to get its default"
    if _is_placeholder(variable, one.value):
        return f"still a placeholder; give the real value: {variable.meaning} ({variable.described()})"
    return variable.problem(one.value)


def _is_placeholder(variable: Variable, value: str) -> bool:
    if value == variable.default:
        return False
    if value == variable.example and variable.form not in _CLOSED_FORMS:
        return True
    worded = (variable.secret or variable.generated) and _PLACEHOLDER_WORD.fullmatch(value)
    return bool(worded or _PLACEHOLDER.fullmatch(value))


def _missing(variable: Variable, environment: str) -> str:
    if variable.generated:
        return f"missing; `invoke env.generate --env {environment}` makes it"
    return f"missing: {variable.meaning} ({variable.described()})"


def _required(rules: Contract) -> Iterable[str]:
    return (name for name in rules if rules[name].is_required and rules[name].default is None)


def _with_defaults(
    rules: Contract, given: Mapping[str, str], troubled: set[str]
) -> tuple[dict[str, str], list[Problem]]:
    """Return all values in the contract's order, and what is wrong with those that a default made.

    What is made from a `troubled` variable is wrong on that account, which is no problem of its own.
    """
    values = dict(given)
    problems: list[Problem] = []

    def fill(name: str) -> None:
        # Ends, because a contract with a circle of defaults does not load.
        if name in values or rules[name].default is None:
            return
        refers = references(rules[name].default or "")
        for other in refers:
            fill(other)
        wrong = _fill_in(name, rules, values)
        if not troubled.isdisjoint(refers):
            troubled.add(name)
        elif wrong:
            troubled.add(name)
            problems.append(Problem(wrong, name))

    for name in rules:
        fill(name)
    return {name: values[name] for name in rules if name in values}, problems


def _fill_in(name: str, rules: Contract, values: dict[str, str]) -> str | None:
    """Put the default of a variable into `values`, and return what is wrong with it there."""
    default = rules[name].default or ""
    try:
        values[name] = interpolate(default, values.get)
    except ValueError as error:
        return f"its default cannot be filled in: {error}"
    refers = references(default)
    secrets = (other for other in refers if rules.is_secret(other))
    unsafe = [other for other in secrets if not _SAFE_IN_URL.fullmatch(values.get(other, ""))]
    if rules[name].form == "url" and unsafe:
        return (
            f"its default puts {unsafe[0]} into a url, where some of its characters would have to be escaped;"
            f" give {name} itself, or make {unsafe[0]} of letters, digits and -._~"
        )
    wrong = rules[name].problem(values[name]) if refers else None
    return wrong and f"its default, made from {', '.join(refers)}, is wrong: {wrong}"
