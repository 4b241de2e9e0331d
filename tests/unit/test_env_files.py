"""The files of an environment, on a real folder."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import stat
from pathlib import Path

import pytest

from wharfinger import env_files, project
from wharfinger.commands import sandbox
from wharfinger.console import Console
from wharfinger.errors import InvalidInput, WharfingerError
from wharfinger.project import Place

STACK = """\
name: shop
services: {api: {image: "registry.example.com/shop/api:1"}}
env:
  PASSWORD: {meaning: The password, form: hex, bytes: 16, generated: true}
  URL: {meaning: The database, form: url, default: "redis://:${PASSWORD}@db"}
  MAIL: {meaning: Who gets mail, default: nobody}
environments: {local: {server: local, domain: shop.localhost}}
"""
ON_SERVERS = """\
name: shop
services: {api: {image: "registry.example.com/shop/api:1"}}
env:
  S3_ENDPOINT: {meaning: Where the bucket is, form: url}
  S3_ACCESS_KEY_ID: {meaning: The key, secret: true}
  S3_SECRET_ACCESS_KEY: {meaning: Its secret, secret: true}
environments:
  staging: {server: vps1, domain: staging.example.com}
  production: {server: vps9, domain: example.com}
"""


class Terminal:
    """A console whose two streams can be read."""

    def __init__(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.console = Console(self.out, self.err)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("WHARFINGER_ROOT", str(tmp_path / "server"))
    (tmp_path / "stacks/shop").mkdir(parents=True)
    (tmp_path / "stacks/shop/stack.yaml").write_text(STACK)
    return project.find(tmp_path, stack="shop", environment="local")


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def test_a_fresh_checkout_is_one_generate_away_from_valid(place: Place, terminal: Terminal) -> None:
    with pytest.raises(InvalidInput, match="does not exist") as caught:
        env_files.load(place, {})
    assert caught.value.fix == "invoke env.generate --env local --stack shop"
    assert env_files.generate(place, terminal.console) == ("PASSWORD",)
    assert stat.S_IMODE(place.env_file.stat().st_mode) == 0o600
    password = env_files.load(place, {}).plain()["PASSWORD"]
    assert len(password) == 32
    assert password not in terminal.out.getvalue() + terminal.err.getvalue()
    assert "generate PASSWORD in stacks/shop/.env.local" in terminal.err.getvalue()


def test_two_environments_never_get_the_same_secret(place: Place, terminal: Terminal) -> None:
    env_files.generate(place, terminal.console)
    first = place.env_file.read_bytes()
    place.env_file.unlink()
    env_files.generate(place, terminal.console)
    assert place.env_file.read_bytes() != first


def test_generating_again_changes_nothing(place: Place, terminal: Terminal) -> None:
    env_files.generate(place, terminal.console)
    before = place.env_file.read_bytes(), place.env_file.stat().st_ino
    assert env_files.generate(place, terminal.console) == ()
    assert (place.env_file.read_bytes(), place.env_file.stat().st_ino) == before


def test_another_checkout_takes_over_what_is_deployed_here(place: Place, terminal: Terminal) -> None:
    """A database knows the password that it was begun with, and no other."""
    home = Path(os.environ["WHARFINGER_ROOT"]) / "shop/local"
    (home / "data").mkdir(parents=True)
    (home / "data/.env").write_text(f"PASSWORD={'ab' * 16}\n")
    (home / "releases/20261120120000").mkdir(parents=True)
    (home / "current").symlink_to("releases/20261120120000")
    (home / "current/.env").write_text(f"WHARFINGER_SLOT=blue\nPASSWORD={'cd' * 16}\nMAIL=other\n")
    assert env_files.generate(place, terminal.console) == ()
    told = terminal.out.getvalue() + terminal.err.getvalue()
    assert "take PASSWORD from what is deployed here" in told
    assert "abab" not in told
    assert env_files.load(place, {}).plain()["PASSWORD"] == "ab" * 16
    assert env_files.load(place, {}).plain()["MAIL"] == "nobody", "only what is generated is taken over"
    mine = f"PASSWORD={'ef' * 16}\n"
    place.env_file.write_text(mine)
    env_files.generate(place, terminal.console)
    assert place.env_file.read_text() == mine


def test_a_dry_run_writes_nothing(place: Place, terminal: Terminal) -> None:
    env_files.generate(place, terminal.console, dry=True)
    env_files.write_example(place.project, terminal.console, check=False, dry=True)
    assert not place.env_file.exists()
    assert not (place.project / "env.example").exists()


def test_line_ends_are_kept(place: Place, terminal: Terminal) -> None:
    place.env_file.write_bytes(b"# mine\r\nMAIL='a\r\nb'\r\n")
    env_files.generate(place, terminal.console)
    assert place.env_file.read_bytes().startswith(b"# mine\r\nMAIL='a\r\nb'\r\n")
    assert env_files.load(place, {}).plain()["MAIL"] == "a\r\nb"


def test_a_file_that_others_may_read_is_a_problem_that_generate_mends(place: Place, terminal: Terminal) -> None:
    env_files.generate(place, terminal.console)
    place.env_file.chmod(0o644)
    with pytest.raises(InvalidInput) as caught:
        env_files.load(place, {})
    assert caught.value.details == (
        "stacks/shop/.env.local: other users of this machine may use it (mode 0644); chmod 600 stacks/shop/.env.local",
    )
    env_files.generate(place, terminal.console)
    env_files.load(place, {})


def test_malformed_lines_and_wrong_values_are_reported_together(place: Place) -> None:
    place.env_file.touch(mode=0o600)
    place.env_file.write_text("PASSWORD='open\nMAIL=\nMIAL=x\n")
    with pytest.raises(InvalidInput) as caught:
        env_files.load(place, {})
    assert [detail.split(": ")[0:2] for detail in caught.value.details] == [
        ["stacks/shop/.env.local:1:10", "PASSWORD"],
        ["stacks/shop/.env.local:3", "MIAL"],
    ]


def test_a_file_that_is_not_utf_8_is_named_with_its_line(place: Place) -> None:
    place.env_file.write_bytes(b"MAIL=x\nPASSWORD=\xff\n")
    with pytest.raises(InvalidInput, match=r"stacks/shop/\.env\.local:2: not UTF-8"):
        env_files.load(place, {})


@pytest.fixture
def in_sandbox(tmp_path: Path) -> Place:
    """An environment on a server of the sandbox, which has more to give than the contract names."""
    folder = tmp_path / "build" / "sandbox"
    folder.mkdir(parents=True)
    config = sandbox.ssh_config({"vps1": ("192.0.2.7", 22)}, folder / "id", folder / "known")
    (folder / "ssh_config").write_text(config)
    (folder / "values.env").write_text(sandbox.values("key-of-it", "secret-of-it"))
    (tmp_path / "stacks/shop").mkdir(parents=True)
    (tmp_path / "stacks/shop/stack.yaml").write_text(ON_SERVERS)
    return project.find(tmp_path, stack="shop", environment="staging")


def test_on_the_sandbox_what_a_file_leaves_out_is_taken_from_there(in_sandbox: Place) -> None:
    write(in_sandbox, "S3_ACCESS_KEY_ID=mine\nS3_SECRET_ACCESS_KEY=\n")
    settings = env_files.load(in_sandbox, {})
    assert settings.plain() == {
        "S3_ENDPOINT": "http://s3:9000",
        "S3_ACCESS_KEY_ID": "mine",
        "S3_SECRET_ACCESS_KEY": "secret-of-it",
    }
    assert "secret-of-it" not in repr(settings)
    assert "secret-of-it" not in in_sandbox.env_file.read_text(), "the next sandbox has another"


def test_elsewhere_nothing_is_taken_from_the_sandbox(in_sandbox: Place) -> None:
    place = dataclasses.replace(in_sandbox, environment_name="production")
    write(place, "S3_ACCESS_KEY_ID=mine\n")
    with pytest.raises(InvalidInput) as caught:
        env_files.load(place, {})
    assert [line.split(":")[1].strip() for line in caught.value.details] == ["S3_ENDPOINT", "S3_SECRET_ACCESS_KEY"]


def write(place: Place, text: str) -> None:
    place.env_file.touch(mode=0o600)
    place.env_file.write_text(text)


def test_from_the_environment_only_the_contracts_names_are_taken(place: Place) -> None:
    environ = {"PASSWORD": "ab" * 16, "MIAL": "x", "PATH": "/bin"}
    values = env_files.load(place, environ, from_environ=True).plain()
    assert values == {"PASSWORD": "ab" * 16, "URL": f"redis://:{'ab' * 16}@db", "MAIL": "nobody"}
    assert list(values) == ["PASSWORD", "URL", "MAIL"]


def test_the_shell_does_not_leak_into_a_file(place: Place) -> None:
    place.env_file.touch(mode=0o600)
    place.env_file.write_text(f"PASSWORD={'ab' * 16}\nMAIL\n")
    values = env_files.load(place, {"PASSWORD": "cd" * 16, "MAIL": "me"}).plain()
    assert values["PASSWORD"] == "ab" * 16
    assert values["MAIL"] == "me", "a bare name asks for the shell's value"


def test_check_gives_json_whether_it_finds_something_or_not(place: Place, terminal: Terminal) -> None:
    place.env_file.touch(mode=0o600)
    place.env_file.write_text("PASSWORD=hunter2\n")
    with pytest.raises(InvalidInput):
        env_files.check(place, terminal.console, {}, from_environ=False, as_json=True)
    told = json.loads(terminal.out.getvalue())
    assert (told["ok"], told["source"]) == (False, "stacks/shop/.env.local")
    assert told["problems"] == [{"name": "PASSWORD", "line": 1, "column": 0, "problem": "not hex"}]
    good = Terminal()
    env_files.check(place, good.console, {"PASSWORD": "ab" * 16}, from_environ=True, as_json=True)
    told = json.loads(good.out.getvalue())
    assert told["ok"] is True
    assert [(one["name"], one["secret"]) for one in told["variables"]] == [
        ("PASSWORD", True),
        ("URL", True),
        ("MAIL", False),
    ]
    assert "abab" not in good.out.getvalue()


def test_env_example_is_written_and_checked(place: Place, terminal: Terminal) -> None:
    with pytest.raises(WharfingerError, match="differs"):
        env_files.write_example(place.project, terminal.console, check=True)
    env_files.write_example(place.project, terminal.console, check=False)
    env_files.write_example(place.project, terminal.console, check=True)
    assert "# The password\n" in (place.project / "env.example").read_text()
