"""The settings: everything wrong is named at once, and no value is ever shown."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sevra_atlas import __version__
from sevra_atlas.settings import BUCKET, REQUIRED, SettingsError, load_settings
from tests.conftest import ROOT


@pytest.fixture
def good(tmp_path: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": "postgresql://sevra:hunter2@postgres:5432/sevra",
        "REDIS_CACHE_URL": "redis://redis_cache:6379/0",
        "REDIS_QUEUE_URL": "redis://redis_queue:6380/0",
        "SESSION_SECRET": base64.b64encode(b"k" * 32).decode(),
        "PUBLIC_URL": "https://atlas.example.com/",
        "UPLOADS_DIR": str(tmp_path),
    }


def test_good_settings_have_defaults(good: dict[str, str]) -> None:
    api = load_settings(good, "api")
    assert (api.port, api.log_level, api.version) == (3000, "info", __version__)
    assert api.public_url == "https://atlas.example.com"
    assert api.session_key == b"k" * 32
    assert load_settings(good, "worker").port == 3001
    assert load_settings({**good, "APP_VERSION": "2.1.0-rc1"}, "api").version == "2.1.0-rc1"


def test_secrets_are_not_in_the_repr(good: dict[str, str]) -> None:
    assert "hunter2" not in repr(load_settings(good, "api"))
    assert "kkkk" not in repr(load_settings(good, "api"))


@pytest.mark.parametrize("role", sorted(REQUIRED))
def test_a_role_asks_for_what_it_uses_and_no_more(role: str, good: dict[str, str]) -> None:
    load_settings({name: good[name] for name in REQUIRED[role]}, role)
    with pytest.raises(SettingsError) as caught:
        load_settings({}, role)
    assert [problem.split(":")[0] for problem in caught.value.problems] == list(REQUIRED[role])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://sevra:hunter2@postgres/sevra"),
        ("DATABASE_URL", "postgresql://sevra:hunter2@postgres"),
        ("DATABASE_URL", "postgresql://sevra:hunter2@postgres:port/sevra"),
        ("DATABASE_URL", "changeme"),
        ("REDIS_CACHE_URL", "http://redis_cache"),
        ("REDIS_QUEUE_URL", "redis:///0"),
        ("SESSION_SECRET", base64.b64encode(b"k" * 31).decode()),
        ("SESSION_SECRET", "not base64 at all!"),
        ("PUBLIC_URL", "atlas.example.com"),
        ("UPLOADS_DIR", "uploads"),
        ("UPLOADS_DIR", "/nowhere/at/all"),
        ("LOG_LEVEL", "INFO "),
        ("PORT", "70000"),
        ("PORT", "³"),
        ("APP_VERSION", "1.0\nX"),
    ],
)
def test_a_malformed_value_is_named_and_not_shown(name: str, value: str, good: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**good, name: value}, "api")
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name}: must be ")
    assert value not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_process_names_all_problems_at_once_and_exits_78() -> None:
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": "mysql://u:hunter2@h/d", "LOG_LEVEL": "loud"}
    ended = subprocess.run(
        (sys.executable, "-m", "sevra_atlas", "api"),
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 78
    for name in (*REQUIRED["api"], "LOG_LEVEL"):
        assert f"{name}: " in ended.stderr
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr


BUCKET_VALUES = {
    "S3_ENDPOINT": "https://s3.example.com/",
    "S3_BUCKET": "atlas-media",
    "S3_ACCESS_KEY_ID": "key-of-atlas",
    "S3_SECRET_ACCESS_KEY": "hunter2",
}


@pytest.mark.parametrize("role", ["api", "worker"])
def test_media_are_in_a_bucket_where_one_is_given(role: str, good: dict[str, str]) -> None:
    assert load_settings(good, role).bucket is None
    bucket = load_settings(good | BUCKET_VALUES, role).bucket
    assert bucket is not None
    assert (bucket.endpoint, bucket.region, bucket.name) == ("https://s3.example.com", "us-east-1", "atlas-media")
    assert bucket.prefix == ""
    assert "hunter2" not in repr(bucket)
    assert "key-of-atlas" not in repr(bucket)


@pytest.mark.parametrize("name", sorted(BUCKET))
def test_a_bucket_is_given_whole_or_not_at_all(name: str, good: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**good, name: BUCKET_VALUES[name]}, "worker")
    others = [f"{each}: is missing, beside the other settings of the bucket" for each in BUCKET if each != name]
    assert list(caught.value.problems) == others


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("S3_ENDPOINT", "s3.example.com"),
        ("S3_ENDPOINT", "ftp://s3.example.com"),
        ("S3_BUCKET", "Atlas_Media"),
        ("S3_ACCESS_KEY_ID", "two words"),
        ("S3_SECRET_ACCESS_KEY", "line\n"),
        ("S3_PREFIX", "/atlas"),
        ("S3_PREFIX", "../production"),
    ],
)
def test_a_malformed_setting_of_the_bucket_is_named_and_not_shown(name: str, value: str, good: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**good, **BUCKET_VALUES, name: value}, "api")
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name}: must be ")
    assert value not in str(caught.value)


@pytest.mark.parametrize("arguments", [[], ["sing"], ["seed", "many"], ["api", "now"]])
def test_a_bad_command_line_exits_64_with_the_usage(arguments: list[str]) -> None:
    ended = subprocess.run(
        (sys.executable, "-m", "sevra_atlas", *arguments),
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (64, "")
    assert ended.stderr.startswith("usage: ")
