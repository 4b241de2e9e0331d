"""The settings that a role needs, checked all together before anything starts."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sevra_atlas import __version__

LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """The settings are not usable; says which and why, and never shows a value."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(("The settings of Sevra Atlas are not usable:", *(f"  {p}" for p in problems))))


@dataclass(frozen=True)
class BucketSettings:
    """A bucket of an S3-compatible server, and the folder in it that is the atlas's own."""

    endpoint: str
    region: str
    name: str
    prefix: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """What the environment says; a setting that the role does not use is empty."""

    database_url: str = field(repr=False)
    redis_cache_url: str = field(repr=False)
    redis_queue_url: str = field(repr=False)
    session_key: bytes = field(repr=False)
    public_url: str
    uploads_dir: Path
    bucket: BucketSettings | None
    log_level: str
    port: int
    version: str


def _url_problem(*schemes: str, needs_path: bool = False) -> Callable[[str], str | None]:
    form = f"must be a URL {schemes[0]}://HOST" + ("/DATABASE" if needs_path else "")

    def problem(value: str) -> str | None:
        try:
            url = urlsplit(value)
            _ = url.port
        except ValueError:
            return form
        right = url.scheme in schemes and url.hostname and (url.path.strip("/") or not needs_path)
        return None if right else form

    return problem


def _key_problem(value: str) -> str | None:
    try:
        key = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    return None if len(key) == 32 else "must be 32 random bytes in base64 (openssl rand -base64 32)"


def _folder_problem(value: str) -> str | None:
    if not Path(value).is_absolute():
        return "must be an absolute path"
    if not (Path(value).is_dir() and os.access(value, os.W_OK | os.X_OK)):
        return f"must be an existing folder that user {os.getuid()} may write to"
    return None


def _level_problem(value: str) -> str | None:
    return None if value in LOG_LEVELS else f"must be one of {', '.join(LOG_LEVELS)}"


def _port_problem(value: str) -> str | None:
    return None if value.isdecimal() and 0 < int(value) < 65536 else "must be a port, 1 to 65535"


def _bucket_problem(value: str) -> str | None:
    return None if re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value) else "must be the name of a bucket"


def _prefix_problem(value: str) -> str | None:
    right = re.fullmatch(r"[\w.-]+(/[\w.-]+)*", value, re.ASCII) and not {".", ".."} & set(value.split("/"))
    return None if right else "must be a folder in the bucket, such as atlas/staging"


def _printable_problem(value: str) -> str | None:
    return None if re.fullmatch(r"[!-~]+", value) else "must be printable ASCII without blanks"


def _version_problem(value: str) -> str | None:
    return None if re.fullmatch(r"[\w.+-]{1,64}", value) else "must be 1 to 64 letters, digits or . _ + -"


PROBLEMS: dict[str, Callable[[str], str | None]] = {
    "DATABASE_URL": _url_problem("postgresql", "postgres", needs_path=True),
    "REDIS_CACHE_URL": _url_problem("redis", "rediss"),
    "REDIS_QUEUE_URL": _url_problem("redis", "rediss"),
    "SESSION_SECRET": _key_problem,
    "PUBLIC_URL": _url_problem("https", "http"),
    "UPLOADS_DIR": _folder_problem,
    "S3_ENDPOINT": _url_problem("https", "http"),
    "S3_REGION": _printable_problem,
    "S3_BUCKET": _bucket_problem,
    "S3_PREFIX": _prefix_problem,
    "S3_ACCESS_KEY_ID": _printable_problem,
    "S3_SECRET_ACCESS_KEY": _printable_problem,
    "LOG_LEVEL": _level_problem,
    "PORT": _port_problem,
    "APP_VERSION": _version_problem,
}

REQUIRED = {
    "api": (
        "DATABASE_URL",
        "REDIS_CACHE_URL",
        "REDIS_QUEUE_URL",
        "SESSION_SECRET",
        "PUBLIC_URL",
        "UPLOADS_DIR",
    ),
    "worker": ("DATABASE_URL", "REDIS_QUEUE_URL", "UPLOADS_DIR"),
    "migrate": ("DATABASE_URL",),
    "seed": ("DATABASE_URL",),
}
"""A role is given no secret that it does not use, so it asks for none."""

BUCKET = ("S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY")
"""All of them, or none: media are in UPLOADS_DIR then."""

BUCKET_DETAILS = ("S3_REGION", "S3_PREFIX")

DEFAULT_PORTS = {"api": 3000, "worker": 3001}


def load_settings(environ: Mapping[str, str], role: str) -> Settings:
    """Return what `role` needs from `environ`; raise SettingsError that names everything wrong, all at once."""
    bucket = (*BUCKET, *BUCKET_DETAILS) if "UPLOADS_DIR" in REQUIRED[role] else ()
    used = (*REQUIRED[role], *bucket, "LOG_LEVEL", "PORT", "APP_VERSION")
    values = {name: environ.get(name, "") for name in used}
    required = {*REQUIRED[role], *(BUCKET if any(values.get(name) for name in BUCKET) else ())}
    problems = tuple(f"{name}: {problem}" for name in used if (problem := _problem(name, values[name], required)))
    if problems:
        raise SettingsError(problems)
    return Settings(
        database_url=values["DATABASE_URL"],
        redis_cache_url=values.get("REDIS_CACHE_URL", ""),
        redis_queue_url=values.get("REDIS_QUEUE_URL", ""),
        session_key=base64.b64decode(values.get("SESSION_SECRET", "")),
        public_url=values.get("PUBLIC_URL", "").rstrip("/"),
        uploads_dir=Path(values.get("UPLOADS_DIR", "")),
        bucket=_bucket(values) if values.get("S3_BUCKET") else None,
        log_level=values["LOG_LEVEL"] or "info",
        port=int(values["PORT"] or DEFAULT_PORTS.get(role, 0)),
        version=values["APP_VERSION"] or __version__,
    )


def _bucket(values: Mapping[str, str]) -> BucketSettings:
    return BucketSettings(
        endpoint=values["S3_ENDPOINT"].rstrip("/"),
        region=values["S3_REGION"] or "us-east-1",
        name=values["S3_BUCKET"],
        prefix=values["S3_PREFIX"],
        access_key_id=values["S3_ACCESS_KEY_ID"],
        secret_access_key=values["S3_SECRET_ACCESS_KEY"],
    )


def _problem(name: str, value: str, required: set[str]) -> str | None:
    if value:
        return PROBLEMS[name](value)
    if name not in required:
        return None
    return "is missing, beside the other settings of the bucket" if name in BUCKET else "is missing"
