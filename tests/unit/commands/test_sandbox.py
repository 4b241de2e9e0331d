"""The way to the sandbox's servers."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from wharfinger.commands import sandbox, setup, ssh

CONFIG = sandbox.ssh_config({"vps1": ("192.0.2.7", 22)}, PurePath("/a b/id"), PurePath("/a b/known"))


def test_a_server_is_reached_by_its_own_key_and_no_other() -> None:
    assert CONFIG.splitlines()[2:] == [
        "Host vps1",
        "    HostName 192.0.2.7",
        "    Port 22",
        "    User deploy",
        "    HostKeyAlias vps1",
        '    IdentityFile "/a b/id"',
        "    IdentitiesOnly yes",
        '    UserKnownHostsFile "/a b/known"',
        "    StrictHostKeyChecking yes",
    ]


def test_only_the_servers_that_are_named_are_the_sandboxs() -> None:
    assert sandbox.address_in(CONFIG, "vps1") is not None
    assert sandbox.address_in(CONFIG, "vps2") is None
    assert sandbox.address_in(CONFIG, "vps") is None
    assert sandbox.address_in("", "vps1") is None


def test_the_address_of_a_server_is_told() -> None:
    assert sandbox.address_in(CONFIG, "vps1") == "192.0.2.7"
    assert sandbox.address_in(CONFIG, "vps2") is None


@pytest.mark.parametrize(
    ("destination", "other"),
    [
        ("vps1", "root@vps1"),
        ("deploy@vps1.example.com", "root@vps1.example.com"),
        ("ssh://deploy@vps1.example.com:2222", "ssh://root@vps1.example.com:2222"),
        ("ssh://vps1.example.com", "ssh://root@vps1.example.com"),
    ],
)
def test_the_same_server_for_another_user(destination: str, other: str) -> None:
    assert ssh.as_user(destination, "root") == other


def test_facts_are_read_whatever_is_in_them() -> None:
    assert setup.read_facts("daemon eyJhIjogMX0=\nsystem ZGViaWFuIA==\nempty \n") == {
        "daemon": '{"a": 1}',
        "system": "debian",
        "empty": "",
    }
