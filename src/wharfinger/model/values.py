"""The small typed values that every section of a stack file is made of."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
)

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_UNIT_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE: Final = re.compile(r"(\d+)\s*(b|k|kb|m|mb|g|gb)?", re.IGNORECASE)
_UNIT_BYTES: Final = {
    "": 1,
    "b": 1,
    "k": 2**10,
    "kb": 2**10,
    "m": 2**20,
    "mb": 2**20,
    "g": 2**30,
    "gb": 2**30,
}


class Model(BaseModel):
    """A frozen section of the stack file that refuses unknown keys and never echoes what it was given."""

    model_config = ConfigDict(
        defer_build=True,  # else each section is built by itself too, at every start: 10 ms
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe each key by the docstring below it.

        That takes reading the source, so it is done for the schema alone and not, as by `use_attribute_docstrings`, at
        every start.
        """
        schema = handler(core)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in _docstrings(cls):
            properties[cls.model_fields[name].alias or name].setdefault("description", text)
        return schema


def _docstrings(model: type[Model]) -> Iterator[tuple[str, str]]:
    """Yield the attributes of a model that have a docstring below them, each with it."""
    for parent in model.__mro__:
        if issubclass(parent, Model) and parent is not Model:
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(parent))).body
            for field, below in itertools.pairwise(definition.body if isinstance(definition, ast.ClassDef) else ()):
                match field, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        yield name, inspect.cleandoc(text)


def seconds(duration: str) -> float:
    """Return the seconds in a Compose duration such as `1m30s`; raises ValueError for anything else."""
    parts = _DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError("not a duration such as 500ms, 30s or 1m30s")
    return float(sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts))


def size_in_bytes(size: str) -> int:
    """Return the bytes in a Compose byte value such as `64m`; raises ValueError for anything else."""
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ValueError("not a size such as 512k, 64m or 2g")
    return int(match[1]) * _UNIT_BYTES[(match[2] or "").lower()]


def _checked_duration(duration: str) -> str:
    seconds(duration)
    return duration


def _checked_size(size: str) -> str:
    size_in_bytes(size)
    return size


def _tupled(value: Any) -> Any:
    return value if not isinstance(value, list) else tuple(value)


Duration = Annotated[str, AfterValidator(_checked_duration)]
"""A span of time as the Compose Specification writes it: `500ms`, `30s`, `1m30s`."""

Size = Annotated[str, AfterValidator(_checked_size)]
"""A number of bytes as the Compose Specification writes it: `512k`, `64m`, `2g`."""

Port = Annotated[int, Field(ge=1, le=65535)]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*$", max_length=40)]
"""A name that is safe as a Compose service, a DNS label's part and a folder."""

Argv = Annotated[tuple[str, ...], BeforeValidator(_tupled)]
"""A command as a list of words; never a shell string."""
