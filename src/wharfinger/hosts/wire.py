"""What travels between an operator and a server: one JSON document a line, with the nouns of `Host` tagged in it.

JSON rather than pickle: what a server answers must not be able to run anything here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from wharfinger import errors
from wharfinger.errors import CommandFailed, WharfingerError
from wharfinger.hosts import Completed, File
from wharfinger.hosts.operator import Operator
from wharfinger.secrets import Secret

_TAG: Final = "$"


def dump(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line."""
    return json.dumps({name: _tagged(value) for name, value in message.items()}).encode() + b"\n"


def load(line: bytes) -> dict[str, Any]:
    """Return the message that a line holds; raises ValueError for anything else."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")
    return {name: _untagged(value) for name, value in message.items()}


def _tagged(value: Any) -> Any:  # noqa: PLR0911 - a table
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return {_TAG: "bytes", "is": base64.b64encode(value).decode()}
        case PurePosixPath():
            return {_TAG: "path", "is": str(value)}
        case Secret():
            return {_TAG: "secret", "is": value.reveal()}
        case File():
            return {_TAG: "file", "is": [_tagged(value.content), value.mode]}
        case Completed():
            return {_TAG: "completed", "is": [list(value.argv), value.status, value.stdout, value.stderr]}
        case Operator():
            fields = [value.user, value.machine, value.pid, value.started, value.by_way_of]
            return {_TAG: "operator", "is": fields}
        case BaseException():
            return {_TAG: "error", "is": _facts(value)}
        case Mapping():
            return {_TAG: "map", "is": [[_tagged(key), _tagged(held)] for key, held in value.items()]}
        case _:
            return [_tagged(each) for each in value]


def _untagged(value: Any) -> Any:  # noqa: PLR0911 - a table
    if isinstance(value, list):
        return tuple(_untagged(each) for each in value)
    if not isinstance(value, dict):
        return value
    held = value["is"]
    match value[_TAG]:
        case "bytes":
            return base64.b64decode(held)
        case "path":
            return PurePosixPath(held)
        case "secret":
            return Secret(held)
        case "file":
            return File(_untagged(held[0]), held[1])
        case "completed":
            return Completed(tuple(held[0]), *held[1:])
        case "operator":
            return Operator(*held)
        case "error":
            return _error(held)
        case "map":
            return {_untagged(key): _untagged(each) for key, each in held}
    raise ValueError(f"unknown tag {value[_TAG]!r}")


def _facts(error: BaseException) -> dict[str, Any]:
    """Return what an error says, without a traceback."""
    if isinstance(error, CommandFailed):
        facts = {"argv": list(error.argv), "status": error.status, "stderr": error.stderr}
    elif isinstance(error, WharfingerError):
        facts = {}
    elif isinstance(error, OSError):
        return {"errno": error.errno, "strerror": error.strerror or str(error), "file": _name_of(error)}
    else:
        return {"kind": "WharfingerError", "problem": f"{type(error).__name__}: {error}", "fix": "", "details": []}
    said = {"problem": error.problem, "fix": error.fix, "details": list(error.details)}
    return {"kind": type(error).__name__, **said, **facts}


def _name_of(error: OSError) -> str | None:
    return None if error.filename is None else str(error.filename)


def _error(facts: Mapping[str, Any]) -> BaseException:
    if "errno" in facts:
        return OSError(facts["errno"], facts["strerror"], facts["file"])
    if facts["kind"] == CommandFailed.__name__:
        error: WharfingerError = CommandFailed(facts["argv"], facts["status"], facts["stderr"], host="")
    else:
        kind = getattr(errors, facts["kind"], WharfingerError)
        error = WharfingerError.__new__(kind)
    WharfingerError.__init__(error, facts["problem"], fix=facts["fix"], details=facts["details"])
    return error
