"""How an image of the stack is built; keys as in the Compose Specification's `build`."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from wharfinger.model.values import Model

_LOOKS_SECRET: Final = re.compile(
    r"password|passwd|secret|credential|(api|access|private)_?key|(^|_)token(s?)(_|$)", re.IGNORECASE
)
# What frontends are built with on purpose: everybody who opens the site can read it.
_MEANT_FOR_BROWSERS: Final = (
    "VITE_",
    "PUBLIC_",
    "NEXT_PUBLIC_",
    "NUXT_PUBLIC_",
    "EXPO_PUBLIC_",
    "REACT_APP_",
    "GATSBY_",
)


def _public(args: dict[str, str]) -> dict[str, str]:
    named = [name for name in args if _LOOKS_SECRET.search(name) and not name.startswith(_MEANT_FOR_BROWSERS)]
    if named:
        raise ValueError(
            f"{', '.join(named)}: build arguments can be read in the image's history; use `secrets` instead"
        )
    return args


class BuildSecret(Model):
    """A file that a RUN of the Dockerfile sees, at /run/secrets or where it mounts it; no layer keeps it."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """The name by which the Dockerfile asks for it: `RUN --mount=type=secret,id=NAME`."""
    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The variable of Wharfinger's own environment that holds it."""
    file: Annotated[str, Field(pattern=r"^[^,\n\"]+$")] | None = None
    """The file that holds it, seen from the stack's folder."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("a build secret comes either from `env` or from `file`")
        return self


class BuildSpec(Model):
    """A Dockerfile and what it is built from."""

    context: str = "."
    """The folder that the Dockerfile may copy from, seen from the stack's folder."""
    dockerfile: str = "Dockerfile"
    """Seen from the context."""
    target: str | None = None
    """The stage to build; absent: the last one."""
    platform: Annotated[str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$")] | None = None
    """What to build for, such as `linux/amd64`; absent: the engine's own kind of machine."""
    args: Annotated[dict[str, str], AfterValidator(_public)] = Field(default_factory=dict)
    """Public build arguments."""
    secrets: Annotated[tuple[BuildSecret, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)] = ()

    @model_validator(mode="after")
    def _names_each_secret_once(self) -> Self:
        ids = [secret.id for secret in self.secrets]
        twice = sorted({each for each in ids if ids.count(each) > 1})
        if twice:
            raise ValueError(f"secrets: {', '.join(twice)} twice")
        return self
