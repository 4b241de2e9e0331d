"""Argument lists for the sandbox's servers, and the ssh_config that leads to them; nothing here runs anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Final

Argv = tuple[str, ...]

USER: Final = "deploy"
"""Whom the sandbox's servers let deploy: in the group docker, and nothing more."""

HOST_KEY: Final = "/etc/ssh/ssh_host_ed25519_key.pub"
OWN_CA: Final = "/etc/letsencrypt/ca.pem"
ACME_CA: Final = "/test/certs/pebble.minica.pem"
ACME_ROOTS_PORT: Final = 15000
_SEED_LABEL: Final = "org.wharfinger.seed"


def make_key(path: str) -> Argv:
    """Make a key pair without a passphrase: `path` and `path`.pub."""
    return ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "wharfinger-sandbox", "-f", path)


def read_in(container: str, path: str) -> Argv:
    """Print a file of a container, which may lack every program."""
    return ("docker", "cp", f"{container}:{path}", "-")


def load_images(container: str) -> Argv:
    """Let a server's engine take in the images that come on standard input."""
    return ("docker", "exec", "--interactive", container, "docker", "load", "--quiet")


def save_images(names: Iterable[str]) -> Argv:
    """Write images to standard output, as `load_images` takes them."""
    return ("docker", "save", *names)


def identify(images: Iterable[str]) -> Argv:
    """Print what each image is, by content."""
    return ("docker", "image", "inspect", "--format", "{{.Id}}", *images)


def seeds() -> Argv:
    """List the volumes that new servers begin with, one a line."""
    return ("docker", "volume", "ls", "--quiet", "--filter", f"label={_SEED_LABEL}")


def make_seed(volume: str) -> Argv:
    """Make an empty volume for new servers to begin with."""
    return ("docker", "volume", "create", "--label", _SEED_LABEL, volume)


def remove_volume(volume: str) -> Argv:
    """Remove a volume that no container has."""
    return ("docker", "volume", "rm", volume)


def answer_names_with(container: str, address: str, names: str) -> Argv:
    """Let the sandbox's name server, which has no client of its own, answer every name with an address."""
    body = f'{{"ip": "{address}"}}'
    url = f"http://{names}:8055/set-default-ipv4"
    return ("docker", "exec", container, "curl", "--silent", "--show-error", "--fail", "--data", body, url)


def log_in(config: str, server: str) -> Argv:
    """Log in on a server, and out again."""
    return ("ssh", "-F", config, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", server, "true")


def ssh_config(servers: Mapping[str, tuple[str, int]], key: PurePath, known_hosts: PurePath) -> str:
    """Return the ssh_config by which `ssh NAME` reaches each server, at the address and port given."""
    lines = ["# Made by `invoke sandbox.up`: the servers of the sandbox, and nobody else's."]
    for name, (address, port) in servers.items():
        lines += [
            "",
            f"Host {name}",
            f"    HostName {address}",
            f"    Port {port}",
            f"    User {USER}",
            f"    HostKeyAlias {name}",
            f'    IdentityFile "{key}"',
            "    IdentitiesOnly yes",
            f'    UserKnownHostsFile "{known_hosts}"',
            "    StrictHostKeyChecking yes",
        ]
    return "\n".join(lines) + "\n"


def values(key: str, secret: str) -> str:
    """Return what an application on the sandbox's servers needs for its S3 server, as a `.env` file."""
    lines = (
        "# Made by `invoke sandbox.up`: what a stack on the sandbox's servers gets for these names of its contract.",
        "S3_ENDPOINT=http://s3:9000",
        "S3_REGION=us-east-1",
        "S3_BUCKET=media",
        f"S3_ACCESS_KEY_ID={key}",
        f"S3_SECRET_ACCESS_KEY={secret}",
    )
    return "\n".join(lines) + "\n"


def address_in(config: str, name: str) -> str | None:
    """Return the address to which an ssh_config of `ssh_config` leads for a server; None where it knows none."""
    words = [line.split() for line in config.splitlines()]
    return words[words.index(["Host", name]) + 1][1] if ["Host", name] in words else None
