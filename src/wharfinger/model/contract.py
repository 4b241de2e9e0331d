"""The contract: the typed list of environment variables that a stack needs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    ValidationError,
    model_validator,
)

from wharfinger.model.forms import Form, Text, Texts
from wharfinger.model.interpolation import references
from wharfinger.model.values import Model, Name

GENERATED_BYTES: Final = 32
_GENERATED_FORMS: Final = ("text", "hex", "base64")
# Compose, Docker and Wharfinger read these for themselves; the shell that runs Compose has the last ones, and what
# it has wins over `.env`.
_RESERVED: Final = re.compile(r"(COMPOSE|DOCKER|WHARFINGER)_.*|PATH|HOME|USER|LOGNAME|SHELL|PWD|SHLVL")


def _not_reserved(name: str) -> str:
    if _RESERVED.fullmatch(name):
        raise ValueError("this name is read by Compose, Docker, Wharfinger or the shell; choose another")
    return name


VariableName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128), AfterValidator(_not_reserved)
]
"""A name that every shell, Compose and container takes: letters, digits and `_`."""


class Rules(Model):
    """What one environment lays over a variable; a key that is not given stays as it is."""

    required: bool | None = None
    """True without a `default` beside it: the variable's own default does not count here."""
    default: Text | None = None
    example: Text | None = None
    schemes: Texts = ()
    choices: Texts = ()
    pattern: str | None = None
    bytes: int | None = None
    minimum: int | None = None
    maximum: int | None = None


class Variable(Form):
    """One environment variable: what it means, what it looks like, where it comes from and who gets it."""

    meaning: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
    default: Text | None = None
    """The value where none is given; may refer to other variables of the contract, as `${NAME}`."""
    example: Text | None = None
    """A value to show, which counts as a placeholder where it is given (except for closed forms)."""
    secret: bool = False
    generated: bool = False
    """`invoke env.generate` makes one: hex or base64 of `bytes`, or 32 characters of text; always a secret."""
    required: bool | None = None
    """Absent: required where there is no default."""
    services: tuple[Name, ...] | None = None
    """The services and data services that get it; absent: every service, no data service."""
    environments: dict[Name, Rules] = Field(default_factory=dict)

    @property
    def is_required(self) -> bool:
        """Whether a value must be there and must not be empty."""
        return self.default is None if self.required is None else self.required

    def within(self, environment: str) -> Variable:
        """Return the variable with one environment's rules laid over it."""
        rules = self.environments.get(environment)
        if rules is None:
            return self
        own = {name: getattr(self, name) for name in self.model_fields_set if name != "environments"}
        overlay = {name: getattr(rules, name) for name in rules.model_fields_set}
        if overlay.get("required") and "default" not in overlay:
            overlay["default"] = None
        elif overlay.get("default") is not None and "required" not in overlay:
            overlay["required"] = None
        return Variable.model_validate(own | overlay)

    @model_validator(mode="after")
    def _must_hold_together(self) -> Self:
        if self.generated and self.form not in _GENERATED_FORMS:
            raise ValueError(f"only {', '.join(_GENERATED_FORMS)} can be generated")
        if self.generated and self.default is not None:
            raise ValueError("a generated variable takes no default")
        if self.default is not None:
            refers = references(self.default)
            if not refers and (wrong := self.problem(self.default.replace("$$", "$"))):
                raise ValueError(f"its own default is {wrong}")
        for environment in self.environments:
            try:
                self.within(environment)
            except ValidationError as error:
                texts = (entry["msg"].removeprefix("Value error, ") for entry in error.errors(include_input=False))
                raise ValueError(f"environments.{environment}: {'; '.join(texts)}") from None
        return self


class Contract(RootModel[dict[VariableName, Variable]]):
    """The variables by name, in the order in which the stack file has them."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    def __getitem__(self, name: str) -> Variable:
        return self.root[name]

    def __contains__(self, name: object) -> bool:
        return name in self.root

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        return iter(self.root)

    def __len__(self) -> int:
        return len(self.root)

    def within(self, environment: str) -> Contract:
        """Return the contract with every variable's rules for one environment laid over it."""
        return Contract.model_construct({name: one.within(environment) for name, one in self.root.items()})

    def for_service(self, name: str) -> tuple[str, ...]:
        """Return the variables that a service of the app tier gets."""
        return tuple(key for key, one in self.root.items() if one.services is None or name in one.services)

    def for_data_service(self, name: str) -> tuple[str, ...]:
        """Return the variables that a data service gets: those that name it."""
        return tuple(key for key, one in self.root.items() if name in (one.services or ()))

    def services(self) -> frozenset[str]:
        """Return every service and data service that a variable names."""
        return frozenset(service for one in self.root.values() for service in one.services or ())

    def is_secret(self, name: str) -> bool:
        """Tell whether a value must not be shown: it is a secret, generated, or by default made from one."""
        return name in self._secrets()

    def closest(self, name: str) -> str | None:
        """Return the variable that a mistyped name most likely means, or None."""
        by_folded = {known.lower(): known for known in self.root}
        near = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.75)
        return by_folded[near[0]] if near else None

    def _secrets(self) -> set[str]:
        found = {name for name, one in self.root.items() if one.secret or one.generated}
        while more := {name for name in self.root if name not in found and self._references(name) & found}:
            found |= more
        return found

    def _references(self, name: str) -> set[str]:
        one = self.root[name]
        defaults = [one.default, *(rules.default for rules in one.environments.values())]
        return {other for default in defaults if default is not None for other in references(default)}

    @model_validator(mode="after")
    def _references_must_lead_somewhere(self) -> Self:
        problems = [
            f"{name}: its default refers to {other}, which is no variable of the contract"
            + (f"; did you mean {near}?" if (near := self.closest(other)) else "")
            for name in self.root
            for other in sorted(self._references(name) - self.root.keys())
        ]
        problems += [f"{name}: its default refers to itself" for name in self.root if self._is_in_a_circle(name)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _is_in_a_circle(self, name: str) -> bool:
        reached: set[str] = set()
        ahead = self._references(name)
        while ahead:
            reached |= ahead
            ahead = {further for one in ahead if one in self.root for further in self._references(one)} - reached
        return name in reached
