"""What a server lacks is decided from what there is on it; what is there is left alone."""

from __future__ import annotations

import json

import pytest

from wharfinger.errors import InvalidInput, NotReady
from wharfinger.planning.setup import Found, already_there, firewall_hints, plan_setup

USER = "deploy"
FOLDER = "/srv/wharfinger"
DAEMON = json.dumps({"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "5"}, "live-restore": True})
READY = {
    "system": "debian",
    "called": "Debian GNU/Linux 13 (trixie)",
    "codename": "trixie",
    "login": "root",
    "root": "direct",
    "python": "3.13",
    "engine": "Docker version 26.1.5+dfsg1, build 411e817",
    "client": "/usr/bin/docker",
    "compose": "2.26.1-4",
    "answers": "26.1.5+dfsg1",
    "swarm": "inactive",
    "daemon": DAEMON,
    "user": USER,
    "groups": "deploy docker",
    "folder": "deploy 750",
    "systemd": "yes",
    "enabled": "enabled",
}
BARE = {name: READY[name] for name in ("system", "called", "codename", "login", "root", "systemd")}
BOOKWORM = BARE | {"codename": "bookworm"}


def titles(**facts: str) -> list[str]:
    return [change.title for change in plan_setup(Found(facts, "vps1"), user=USER, folder=FOLDER)]


def test_a_server_that_is_ready_needs_nothing() -> None:
    assert titles(**READY) == []
    there = already_there(Found(READY, "vps1"), user=USER, folder=FOLDER)
    assert "Docker Engine 26.1.5+dfsg1" in there
    assert FOLDER in there


def test_a_fresh_debian_13_gets_everything() -> None:
    assert titles(**BARE) == [
        "install python3 docker.io iptables ca-certificates docker-cli docker-compose",
        "make the user deploy",
        "put deploy into the group docker",
        "set log-driver, log-opts, live-restore in /etc/docker/daemon.json",
        "start Docker Engine, now and at boot",
        "make /srv/wharfinger deploy's own",
    ]


def test_a_fresh_ubuntu_gets_its_own_packages() -> None:
    first, *_ = titles(**(BARE | {"system": "ubuntu debian", "codename": "noble"}))
    assert first == "install python3 docker.io iptables ca-certificates docker-compose-v2"


@pytest.mark.parametrize(
    ("file", "text", "added"),
    [
        (
            "/etc/apt/sources.list",
            "deb http://mirror.example.com/debian bookworm main\n",
            "deb http://mirror.example.com/debian trixie main\n",
        ),
        (
            "/etc/apt/sources.list.d/debian.sources",
            "Types: deb\nURIs: http://mirror.example.com/debian\nSuites: bookworm bookworm-updates\nComponents: main\n",
            "Types: deb\nURIs: http://mirror.example.com/debian\nSuites: trixie\nComponents: main\n",
        ),
    ],
)
def test_debian_12_gets_docker_from_its_own_mirrors_debian_13(file: str, text: str, added: str) -> None:
    suite, install, *_ = plan_setup(Found(BOOKWORM | {f"apt:{file}": text}, "vps1"), user=USER, folder=FOLDER)
    assert suite.stdin.decode() == added
    assert install.title == (
        "install python3 docker.io/trixie iptables ca-certificates docker-cli/trixie docker-compose/trixie"
    )


def test_debian_12_that_knows_debian_13_already_is_told_nothing_new() -> None:
    sources = "deb http://mirror.example.com/debian bookworm main\ndeb http://mirror.example.com/debian trixie main\n"
    first, *_ = titles(**(BOOKWORM | {"apt:/etc/apt/sources.list": sources}))
    assert first.startswith("install python3 docker.io/trixie")


def test_debian_12_without_an_archive_is_refused() -> None:
    with pytest.raises(NotReady, match="no apt source"):
        titles(**BOOKWORM)


def test_debian_12s_own_engine_is_too_old_and_is_replaced() -> None:
    old = READY | {"codename": "bookworm", "engine": "Docker version 20.10.24+dfsg1", "compose": "1.29.2"}
    suite, install, start = titles(
        **(old | {"apt:/etc/apt/sources.list": "deb http://a.example.com/debian bookworm main\n"})
    )
    assert suite == "let apt know Debian 13 too, for Docker only"
    assert install == "install docker.io/trixie iptables ca-certificates docker-cli/trixie docker-compose/trixie"
    assert start == "start Docker Engine, now and at boot"


def test_an_engine_that_runs_on_after_a_newer_one_was_installed_starts_anew() -> None:
    assert titles(**(READY | {"answers": "24.0.7"})) == ["start Docker Engine, now and at boot"]


def test_dockers_own_packages_stay_dockers_own() -> None:
    assert titles(**(READY | {"docker-ce": "installed", "compose": ""})) == ["install docker-compose-plugin"]
    with pytest.raises(NotReady, match="older than 25") as refused:
        titles(**(READY | {"docker-ce": "installed", "engine": "Docker version 24.0.7"}))
    assert "apt-get install docker-ce" in refused.value.fix


def test_an_unknown_system_is_fine_once_it_has_everything() -> None:
    assert titles(**(READY | {"system": "fedora"})) == []
    with pytest.raises(NotReady, match="lacks compose"):
        titles(**(READY | {"system": "fedora", "compose": ""}))


def test_settings_of_the_engine_that_somebody_made_stay() -> None:
    held = {"log-opts": {"max-size": "50m"}, "bip": "10.9.0.1/24", "live-restore": False}
    (change,) = plan_setup(Found(READY | {"daemon": json.dumps(held)}, "vps1"), user=USER, folder=FOLDER)
    assert json.loads(change.stdin) == {
        "log-opts": {"max-size": "50m", "max-file": "5"},
        "bip": "10.9.0.1/24",
        "live-restore": False,
        "log-driver": "json-file",
    }


def test_another_log_driver_rotates_by_itself() -> None:
    held = {"log-driver": "journald", "live-restore": True}
    assert titles(**(READY | {"daemon": json.dumps(held)})) == []


def test_a_swarm_does_without_live_restore() -> None:
    held = {"log-driver": "journald"}
    assert titles(**(READY | {"daemon": json.dumps(held), "swarm": "active"})) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"log-opts": 1}'])
def test_a_daemon_json_that_nobody_can_read_is_not_overwritten(text: str) -> None:
    with pytest.raises(InvalidInput, match="no JSON object"):
        titles(**(READY | {"daemon": text}))


def test_who_cannot_become_root_is_told_how() -> None:
    with pytest.raises(NotReady, match="deploy is neither root") as refused:
        titles(**{**READY, "login": "deploy", "root": ""})
    assert "--login root" in refused.value.fix


def test_a_folder_of_somebody_elses_changes_hands() -> None:
    assert titles(**(READY | {"folder": "root 755"})) == ["make /srv/wharfinger deploy's own"]


def test_an_engine_that_does_not_start_at_boot_is_enabled() -> None:
    assert titles(**(READY | {"enabled": "disabled"})) == ["start Docker Engine, now and at boot"]


def test_the_firewall_that_is_there_gets_its_commands() -> None:
    def hints(**facts: str) -> tuple[str, ...]:
        return firewall_hints(Found(READY | facts, "vps1"), (22, 80, 443))

    assert hints() == ("open to the world: TCP 22, 80, 443; nothing else of a stack is published",)
    assert hints(ufw="Status: active")[1:] == ("ufw allow 22/tcp", "ufw allow 80/tcp", "ufw allow 443/tcp")
    assert hints(ufw="Status: inactive")[1:] == ()
    assert hints(nft="1")[1:] == ("nft add rule inet filter input tcp dport { 22, 80, 443 } accept",)
