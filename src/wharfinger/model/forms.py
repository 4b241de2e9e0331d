"""The forms that a variable's value can have, and what is wrong with a value that has another."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, model_validator

from wharfinger.model.values import Model, seconds

FormName = Literal[
    "text", "url", "integer", "boolean", "host", "port", "duration", "choice", "pattern", "base64", "hex"
]
BOOLEANS: Final = ("true", "false", "yes", "no", "on", "off", "1", "0")
"""What a boolean may be, in any case of letters: what YAML, Compose and shells call true and false."""

_OPTIONS: Final = {
    "url": {"schemes"},
    "integer": {"minimum", "maximum"},
    "choice": {"choices"},
    "pattern": {"pattern"},
    "base64": {"bytes"},
    "hex": {"bytes"},
}
_NEEDED: Final = {"choice": "choices", "pattern": "pattern"}
_WITHOUT_HOST: Final = ("file", "sqlite", "sqlite3", "unix", "data", "mailto")
_HOST_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MAX_HOST: Final = 253
_MAX_PORT: Final = 65535
_HEX: Final = re.compile(r"([0-9A-Fa-f]{2})+")
_NOT_IN_URL: Final = re.compile(r"[\s\x00-\x1f\x7f]")
_INTEGER: Final = re.compile(r"-?[0-9]{1,30}")


def _as_text(value: Any) -> Any:
    """Take what YAML made of `5`, `true` or `1.5` as the text that stands in the file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _as_texts(value: Any) -> Any:
    return tuple(_as_text(item) for item in value) if isinstance(value, list | tuple) else value


Text = Annotated[str, BeforeValidator(_as_text)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_as_texts)]


class Form(Model):
    """What a value must look like."""

    form: FormName = "text"
    schemes: Texts = ()
    """For `url`: the schemes that it may have; absent: any."""
    choices: Texts = ()
    """For `choice`."""
    pattern: str | None = None
    """For `pattern`: a regular expression that the whole value matches."""
    bytes: Annotated[int, Field(ge=1, le=4096)] | None = None
    """For `base64` and `hex`: exactly how many bytes the value stands for."""
    minimum: int | None = None
    """For `integer`."""
    maximum: int | None = None
    """For `integer`."""

    @model_validator(mode="after")
    def _options_must_fit(self) -> Self:
        given = {name for name in Form.model_fields if name != "form" and getattr(self, name) not in (None, ())}
        strays = given - _OPTIONS.get(self.form, set())
        if strays:
            raise ValueError(f"form {self.form} takes no {', '.join(sorted(strays))}")
        if (needed := _NEEDED.get(self.form)) and needed not in given:
            raise ValueError(f"form {self.form} needs {needed}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is greater than maximum")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern is no regular expression: {error}") from None
        return self

    def problem(self, value: str) -> str | None:
        """Return what is wrong with a value, without the value, or None."""
        return _PROBLEMS[self.form](value, self)

    def described(self) -> str:
        """Return the form in a few words, such as `url (postgresql://)`, for env.example and messages."""
        describe = _DESCRIPTIONS.get(self.form)
        return describe(self) if describe else self.form


def _described_integer(form: Form) -> str:
    if form.minimum is not None and form.maximum is not None:
        return f"integer from {form.minimum} to {form.maximum}"
    if form.minimum is not None:
        return f"integer, at least {form.minimum}"
    return "integer" if form.maximum is None else f"integer, at most {form.maximum}"


def _described_url(form: Form) -> str:
    return f"url ({' or '.join(f'{scheme}://' for scheme in form.schemes)})" if form.schemes else "url"


def _described_bytes(form: Form) -> str:
    return f"{form.bytes} bytes as {form.form}" if form.bytes else form.form


def _url_problem(value: str, form: Form) -> str | None:
    if _NOT_IN_URL.search(value):
        return "not a url: it holds a space or control character; write a space as %20"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return "not a url: its host or port is malformed"
    return _scheme_problem(parts.scheme, form.schemes) or _authority_problem(parts, port)


def _scheme_problem(scheme: str, wanted: tuple[str, ...]) -> str | None:
    if not scheme:
        return "not a url: it has no scheme" + (f" such as {wanted[0]}://" if wanted else "")
    if wanted and scheme not in {one.lower() for one in wanted}:
        return f"its scheme is not {' or '.join(wanted)}"
    return None


def _authority_problem(parts: SplitResult, port: int | None) -> str | None:
    if parts.scheme in _WITHOUT_HOST:
        return None if parts.netloc or parts.path else "a url without a path"
    if not parts.hostname:
        return "a url without a host"
    if port == 0:
        return "not a url: nothing listens on port 0"
    return "not a url: its host is malformed" if _host_problem(parts.hostname.partition("%")[0]) else None


def _integer_problem(value: str, form: Form) -> str | None:
    if _INTEGER.fullmatch(value) is None:
        return "not an integer"
    if form.minimum is not None and int(value) < form.minimum:
        return f"less than {form.minimum}"
    if form.maximum is not None and int(value) > form.maximum:
        return f"more than {form.maximum}"
    return None


def _bytes_problem(value: str, form: Form) -> str | None:
    held, wanted = (_hex_length if form.form == "hex" else _base64_length)(value), form.bytes
    if not held:
        return f"not {form.form}"
    if wanted is not None and held != wanted:
        return f"{held} bytes of {form.form}, {'fewer' if held < wanted else 'more'} than {wanted}"
    return None


def _hex_length(value: str) -> int:
    return len(value) // 2 if _HEX.fullmatch(value) else 0


def _base64_length(value: str) -> int:
    # The standard alphabet with its padding: what every decoder takes.
    try:
        return len(base64.b64decode(value, validate=True))
    except ValueError:
        return 0


def _host_problem(value: str) -> str | None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        labels = value.removesuffix(".").split(".")
        # A last label of digits would be an address, and this one is none.
        named = all(map(_HOST_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
        if not named or len(value) > _MAX_HOST:
            return "not a host name or an IP address"
    return None


def _port_problem(value: str) -> str | None:
    fine = re.fullmatch(r"[1-9][0-9]{0,4}", value) and int(value) <= _MAX_PORT
    return None if fine else f"not a port from 1 to {_MAX_PORT}"


def _duration_problem(value: str) -> str | None:
    try:
        seconds(value)
    except ValueError as error:
        return str(error)
    return None


def _choice_problem(value: str, form: Form) -> str | None:
    return None if value in form.choices else f"not one of {', '.join(form.choices)}"


def _pattern_problem(value: str, form: Form) -> str | None:
    return None if re.fullmatch(form.pattern or "", value) else f"does not match {form.pattern}"


_PROBLEMS: Final[dict[FormName, Callable[[str, Form], str | None]]] = {
    "text": lambda _value, _form: None,
    "url": _url_problem,
    "integer": _integer_problem,
    "boolean": lambda value, _form: None if value.lower() in BOOLEANS else f"not one of {', '.join(BOOLEANS)}",
    "host": lambda value, _form: _host_problem(value),
    "port": lambda value, _form: _port_problem(value),
    "duration": lambda value, _form: _duration_problem(value),
    "choice": _choice_problem,
    "pattern": _pattern_problem,
    "base64": _bytes_problem,
    "hex": _bytes_problem,
}
_DESCRIPTIONS: Final[dict[FormName, Callable[[Form], str]]] = {
    "url": _described_url,
    "integer": _described_integer,
    "boolean": lambda _form: f"boolean ({', '.join(BOOLEANS)})",
    "port": lambda _form: f"port from 1 to {_MAX_PORT}",
    "duration": lambda _form: "duration such as 500ms, 30s or 1m30s",
    "choice": lambda form: f"one of {', '.join(form.choices)}",
    "pattern": lambda form: f"matching {form.pattern}",
    "base64": _described_bytes,
    "hex": _described_bytes,
}
