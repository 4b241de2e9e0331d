"""What is asked of the user's OpenSSH."""

from __future__ import annotations

from wharfinger.commands import ssh
from wharfinger.commands.ssh import Way

WAY = Way("deploy@vps1.example.com", "/run/user/1000/w/abc")
OPTIONS = (
    *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6"),
    *("-o", "ControlMaster=auto", "-o", "ControlPath=/run/user/1000/w/abc", "-o", "ControlPersist=60"),
    *("-o", "StreamLocalBindUnlink=yes", "-o", "RemoteCommand=none"),
)


def test_a_session_quotes_its_command_once_and_cannot_be_given_options_by_a_destination() -> None:
    assert ssh.session(WAY, ("python3", "-c", "import sys;a(b)")) == (
        *("ssh", *OPTIONS, "-T", "--", "deploy@vps1.example.com"),
        "python3 -c 'import sys;a(b)'",
    )


def test_a_terminal_is_one_only_where_there_is_one() -> None:
    argv = ("docker", "exec", "-it", "web", "sh", "-c", "echo $HOME")

    assert ssh.terminal(WAY, argv, interactive=True)[-4:] == (
        *("-t", "--", "deploy@vps1.example.com"),
        "docker exec -it web sh -c 'echo $HOME'",
    )
    assert "-t" not in ssh.terminal(WAY, argv, interactive=False)


def test_an_own_ssh_config_takes_the_place_of_the_users() -> None:
    way = Way("vps1", "/run/w/abc", "/tmp/config")

    assert all(
        argv[:3] == ("ssh", "-F", "/tmp/config")
        for argv in (ssh.session(way, ("true",)), ssh.leave(way), ssh.resolve(way), ssh.offered_key(way, "/tmp/k"))
    )


def test_the_engine_is_led_here_and_the_registry_there_over_the_shared_connection() -> None:
    control = ("ssh", "-o", "ControlPath=/run/user/1000/w/abc", "-O")
    last = ("--", "deploy@vps1.example.com")

    assert ssh.lead_here(WAY, "/run/d.sock", "/var/run/docker.sock") == (
        *control,
        *("forward", "-L", "/run/d.sock:/var/run/docker.sock", *last),
    )
    assert ssh.lead_there(WAY, 5055, end=True) == (
        *control,
        *("cancel", "-R", "127.0.0.1:5055:127.0.0.1:5055", *last),
    )


def test_looking_at_a_key_logs_in_nowhere_and_trusts_nothing_for_good() -> None:
    argv = ssh.offered_key(WAY, "/tmp/offered")

    assert {"UserKnownHostsFile=/tmp/offered", "GlobalKnownHostsFile=/dev/null", "PreferredAuthentications=none"} <= {
        *argv
    }
    assert "ControlPath=none" in argv
