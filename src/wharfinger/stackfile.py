"""Reading a stack file: all its problems at once, each with file, line and column."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from wharfinger.errors import InvalidInput
from wharfinger.model.stack import Disagreement, Stack

FILE_NAME: Final = "stack.yaml"
_REWORDED: Final = {
    "missing": "required, but missing",
    "union_tag_not_found": "required, but missing",
    "string_type": "should be text; put it in quotes",
    "tuple_type": "should be a list",
    "dict_type": "should be a mapping",
    "model_type": "should be a mapping",
}


def load(path: Path, *, project: Path | None = None) -> Stack:
    """Return the stack that a file describes.

    Raises InvalidInput with every problem as `path:line:col: section.key: what is wrong`, the path seen from `project`.
    """
    shown = path if project is None else path.relative_to(project)
    document = _parse(path, shown)
    try:
        return Stack.model_validate(document)
    except ValidationError as error:
        problems = sorted(_problems(error, document), key=lambda problem: problem[0])
        raise InvalidInput(
            f"{shown}: {len(problems)} problem{'s'[: len(problems) != 1]}",
            details=[f"{shown}:{line}:{column}: {text}" for (line, column), text in problems],
            fix=f"correct {shown}; an editor that knows schema/stack.json shows these as you type",
        ) from None


def locator(path: Path, *, project: Path) -> Callable[[Sequence[int | str]], str]:
    """Return what tells, as `path:line:col`, where the keys of a place lead in a stack file that was loaded before."""
    shown = path.relative_to(project)
    document = _parse(path, shown)

    def locate(keys: Sequence[int | str]) -> str:
        line, column = _position(document, keys)
        return f"{shown}:{line}:{column}"

    return locate


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a stack file, for editors."""
    schema = Stack.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wharfinger stack file",
        **schema,
    }


def _parse(path: Path, shown: Path) -> Any:
    from ruamel.yaml.error import MarkedYAMLError

    try:
        document = _document(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{shown}: {error.strerror}", fix=f"create {shown}; README.md shows one") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{shown}: byte {error.start} is not UTF-8", fix=f"save {shown} as UTF-8") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{shown}:{mark.line + 1}:{mark.column + 1}" if mark else str(shown)
        problem = (error.problem or "not valid YAML").splitlines()[0].partition(" with value ")[0]
        raise InvalidInput(f"{where}: {problem}", fix=f"correct the YAML of {shown}") from None
    except Exception:  # ruamel.yaml lets through what its constructors raise, as for `!!int x` or the 99th of a month
        raise InvalidInput(f"{shown}: not valid YAML", fix=f"correct the YAML of {shown}") from None
    if not isinstance(document, Mapping):
        raise InvalidInput(f"{shown}:1:1: not a mapping of sections", fix="begin with `name: my-stack`")
    return document


@cache
def _document(text: str) -> Any:
    """Return what a file says: read once, though a deploy asks again where its keys stand."""
    from ruamel.yaml import YAML

    return YAML().load(text)


def _problems(error: ValidationError, document: Any) -> Iterable[tuple[tuple[int, int], str]]:
    for entry in error.errors(include_url=False, include_input=False):
        cause = entry.get("ctx", {}).get("error")
        if isinstance(cause, Disagreement):
            for keys, text in cause.problems:
                yield _position(document, keys), f"{'.'.join(map(str, keys))}: {text}"
            continue
        place = tuple(part for part in entry["loc"] if part != "[key]")
        if entry["type"].startswith("union_tag"):  # of a data service, whose `engine` says which kind it is
            place = (*place, entry["ctx"]["discriminator"].strip("'"))
        keys = _within(document, place)
        label = ".".join(str(part) for part in keys)
        text = _reworded(entry["type"], entry["msg"], place)
        yield _position(document, keys), f"{label}: {text}" if label else text


def _reworded(kind: str, message: str, place: Sequence[int | str]) -> str:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _keys_allowed_at(place[:-1]), n=1)
        return "unknown key" + (f"; did you mean {near[0]}?" if near else "")
    if kind == "union_tag_invalid":
        message = f"should be one of {message.rpartition(': ')[2]}"
    return _REWORDED.get(kind) or message.removeprefix("Value error, ").replace("Input should be", "should be")


def _within(document: Any, place: Sequence[int | str]) -> tuple[int | str, ...]:
    """Leave out of an error's place what pydantic adds to it: the tags of unions and of function validators."""
    keys: list[int | str] = []
    node = document
    for index, part in enumerate(place):
        known = isinstance(node, Mapping) and part in node
        listed = isinstance(node, Sequence) and not isinstance(node, str) and isinstance(part, int)
        if known or listed:
            node = node[part]
            keys.append(part)
        elif index == len(place) - 1 and isinstance(node, Mapping):
            keys.append(part)
    return tuple(keys)


def _position(document: Any, keys: Sequence[int | str]) -> tuple[int, int]:
    """Return line and column, from 1, of the key that a place leads to, or of the nearest that exists."""
    line, column, node = 0, 0, document
    for key in keys:
        try:
            places = node.lc
            line, column = places.key(key) if isinstance(node, Mapping) else places.item(key)
            node = node[key]
        except (KeyError, AttributeError, IndexError, TypeError):
            break
    return line + 1, column + 1


def _keys_allowed_at(place: Sequence[int | str]) -> list[str]:
    kinds: list[Any] = [Stack]
    for part in place:
        kinds = [inner for kind in kinds for inner in _step_into(kind, part)]
    models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _step_into(kind: Any, part: int | str) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind.__pydantic_root_model__:
            return _step_into(kind.model_fields["root"].annotation, part)
        named = [field for name, field in kind.model_fields.items() if part in {name, field.alias}]
        return [inner for field in named for inner in _alternatives(field.annotation)] or [kind]
    if get_origin(kind) in {dict, tuple}:
        return _alternatives(get_args(kind)[1 if get_origin(kind) is dict else 0])
    return [kind]


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return [inner for kind in get_args(annotation) for inner in _alternatives(kind)]
    return [annotation]
