"""Commands that find, pull and build the stock images, and the meaning of what they print."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from wharfinger.commands.buildx import SecretSource, secret_option

STAND_IN: Final = "org.wharfinger.stand-in"
"""Label of an image built from Debian packages: the content that it was built from."""

_LONG: Final = 120
_OUTPUT: Final = re.compile(r"#\d+ \d+\.\d+ (?P<text>.*)")
_STAGE: Final = re.compile(r"#\d+ (?P<text>\[(?!internal)[^]]+] .+)")

# What apt and dpkg can make again, what nobody reads in a container, and what belongs to one machine.
_LEFT_OUT: Final = (
    *("./dev/*", "./proc/*", "./sys/*", "./etc/hostname", "./etc/resolv.conf"),
    *(
        "./var/cache/apt/*",
        "./var/cache/debconf/*-old",
        "./var/lib/apt/lists/*",
        "./var/lib/dpkg/*-old",
        "./var/log/*",
    ),
    *(
        "./usr/share/doc/*",
        "./usr/share/info/*",
        "./usr/share/lintian/*",
        "./usr/share/locale/*",
        "./usr/share/man/*",
    ),
)


def inspect(names: Sequence[str]) -> tuple[str, ...]:
    """Ask for the tags and the stand-in label of images; it exits 1 when one of them is missing."""
    fields = f'{{{{json .RepoTags}}}}\t{{{{with .Config.Labels}}}}{{{{index . "{STAND_IN}"}}}}{{{{end}}}}'
    return ("docker", "image", "inspect", "--format", fields, *names)


def read_inspected(output: str) -> dict[str, str]:
    """Return the stand-in label by tag, as `inspect` printed it; empty for an image that is no stand-in."""
    labels: dict[str, str] = {}
    for line in filter(None, output.splitlines()):  # there is a blank line where nothing was found
        tags, _, label = line.partition("\t")
        labels |= dict.fromkeys(json.loads(tags) or (), label)
    return labels


def engine_version() -> tuple[str, ...]:
    """Ask which engine answers; exits non-zero when none does."""
    return ("docker", "version", "--format", "{{.Server.Version}}")


def pull() -> tuple[str, ...]:
    """Pull the image that standard input describes (`pull_input`).

    Compose pulls rather than `docker pull` because it reports its progress on standard error, as builds do.
    """
    # The env file is named so that a `.env` which happens to lie in the current folder is not read.
    options = ("--progress", "plain", "--project-name", "wharfinger-images", "--env-file", "/dev/null")
    return ("docker", "compose", *options, "--file", "-", "pull")


def pull_input(name: str) -> bytes:
    """Return the Compose file that makes `pull` pull this image."""
    return json.dumps({"services": {"image": {"image": name}}}).encode()


def build(
    name: str,
    context: str,
    *,
    label: str,
    arguments: Sequence[str] = (),
    secrets: Sequence[SecretSource] = (),
    cache: bool = True,
) -> tuple[str, ...]:
    """Build a stand-in; `arguments` are names of variables whose values Docker takes from its environment."""
    # Unlike `docker buildx build` this always takes the engine's own builder, which sees local base images.
    return (
        *("docker", "build", "--progress=plain", "--tag", name, "--label", f"{STAND_IN}={label}"),
        *(option for argument in arguments for option in ("--build-arg", argument)),
        *(option for secret in secrets for option in ("--secret", secret_option(secret))),
        *(() if cache else ("--no-cache",)),
        context,
    )


def build_progress(line: str) -> str | None:
    """Return what a person wants to see of a plain progress line of a build; None for bookkeeping."""
    match = _OUTPUT.fullmatch(line) or _STAGE.fullmatch(line)
    if match is None:
        return None
    text = match["text"].split("\r")[-1].strip()
    return (text if len(text) <= _LONG else f"{text[: _LONG - 1]}…") or None


def bootstrap(suite: str, target: str, mirror: str, *, root: Sequence[str] = ()) -> tuple[str, ...]:
    """Install a minimal Debian into a folder; `root` is what makes a command run as root.

    The script of `sid` fits every current suite; older debootstraps do not know the newest suites by name.
    """
    # debootstrap reports on standard output; a host shows standard error while a command runs.
    to_stderr = ("sh", "-c", 'exec "$@" >&2', "sh")
    include = ("--include=ca-certificates",) if mirror.startswith("https:") else ()
    script = "/usr/share/debootstrap/scripts/sid"
    return (*to_stderr, *root, "debootstrap", "--variant=minbase", *include, suite, target, mirror, script)


def pack(folder: str, archive: str, *, root: Sequence[str] = ()) -> tuple[str, ...]:
    """Put a bootstrapped folder into a tar archive, without what no image needs."""
    exclude = tuple(f"--exclude={pattern}" for pattern in _LEFT_OUT)
    options = ("--create", "--file", archive, "--numeric-owner", "--directory", folder)
    return (*root, "tar", *options, *exclude, ".")


def remove_folder(folder: str, *, root: Sequence[str] = ()) -> tuple[str, ...]:
    """Remove a folder that root wrote into, and nothing that is mounted in it."""
    return (*root, "rm", "--recursive", "--force", "--one-file-system", folder)


def install_debootstrap(*, root: Sequence[str] = ()) -> tuple[tuple[str, ...], ...]:
    """Install debootstrap and the keys that Debian signs its archive with."""
    packages = ("debootstrap", "debian-archive-keyring")
    return (
        (*root, "apt-get", "update", "--quiet"),
        (*root, "apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *packages),
    )
