"""Commands for stock images as literals, and the reading of what Docker prints about them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.commands import images
from wharfinger.commands.buildx import SecretSource


def test_a_stand_in_is_built_with_its_label_and_without_a_value_in_argv() -> None:
    """Proxies may hold passwords: their names are passed, and Docker looks up the values."""
    assert images.build("redis:8", "/images/redis", label="0123", arguments=("http_proxy",)) == (
        *("docker", "build", "--progress=plain", "--tag", "redis:8", "--label", "org.wharfinger.stand-in=0123"),
        *("--build-arg", "http_proxy"),
        "/images/redis",
    )


def test_a_stand_in_is_built_with_what_its_downloads_trust() -> None:
    bundle = SecretSource("ca", file="/etc/ca.crt")
    assert images.build("redis:8", "/images/redis", label="0123", secrets=(bundle,)) == (
        *("docker", "build", "--progress=plain", "--tag", "redis:8", "--label", "org.wharfinger.stand-in=0123"),
        *("--secret", "id=ca,src=/etc/ca.crt"),
        "/images/redis",
    )


def test_a_rebuild_takes_nothing_from_the_cache() -> None:
    assert "--no-cache" in images.build("redis:8", "/images/redis", label="0123", cache=False)
    assert "--no-cache" not in images.build("redis:8", "/images/redis", label="0123")


def test_pull_reads_one_image_and_no_env_file_of_the_current_folder() -> None:
    assert images.pull() == (
        *("docker", "compose", "--progress", "plain", "--project-name", "wharfinger-images"),
        *("--env-file", "/dev/null", "--file", "-", "pull"),
    )
    assert json.loads(images.pull_input("nginx:1.30")) == {"services": {"image": {"image": "nginx:1.30"}}}


def test_bootstrap_as_root_and_by_sudo() -> None:
    command = ("debootstrap", "--variant=minbase", "forky", "/base", "http://mirror.example.com/debian")
    script = "/usr/share/debootstrap/scripts/sid"
    direct = images.bootstrap("forky", "/base", "http://mirror.example.com/debian")
    assert direct[4:] == (*command, script)
    by_sudo = images.bootstrap("forky", "/base", "http://mirror.example.com/debian", root=("sudo", "-n"))
    assert by_sudo[4:] == ("sudo", "-n", *command, script)


def test_a_base_from_an_https_mirror_can_check_certificates() -> None:
    argv = images.bootstrap("trixie", "/base", "https://mirror.example.com/debian")
    assert "--include=ca-certificates" in argv


def test_packing_leaves_caches_and_device_files_out() -> None:
    argv = images.pack("/base", "/rootfs.tar")
    assert argv[:7] == ("tar", "--create", "--file", "/rootfs.tar", "--numeric-owner", "--directory", "/base")
    assert {"--exclude=./var/lib/apt/lists/*", "--exclude=./dev/*", "--exclude=./proc/*"} <= set(argv)
    assert argv[-1] == "."


def test_removal_stays_on_its_file_system() -> None:
    """What a killed bootstrap left mounted in the folder must not be emptied."""
    assert "--one-file-system" in images.remove_folder("/base")


def test_inspected_labels_by_tag() -> None:
    output = '["nginx:1.30","edge:1"]\t0123\n["redis:8"]\t\n[]\t4567\nnull\t\n\n'
    assert images.read_inspected(output) == {"nginx:1.30": "0123", "edge:1": "0123", "redis:8": ""}


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(alphabet="0123456789abcdef", max_size=16), max_size=5))
def test_every_inspected_tag_is_read(labels: dict[str, str]) -> None:
    output = "".join(f"{json.dumps([tag])}\t{label}\n" for tag, label in labels.items())
    assert images.read_inspected(output) == labels


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("#5 [2/4] RUN apt-get update", "[2/4] RUN apt-get update"),
        ("#5 1.234 Unpacking redis-server ...", "Unpacking redis-server ..."),
        ("#5 1.2 Reading 10%\rReading 100%", "Reading 100%"),
        ("#1 [internal] load build definition from Dockerfile", None),
        ("#1 transferring dockerfile: 815B done", None),
        ("#5 DONE 3.2s", None),
        ("#5 1.234 ", None),
        ("", None),
    ],
)
def test_what_a_person_sees_of_a_build(line: str, shown: str | None) -> None:
    assert images.build_progress(line) == shown


def test_a_long_command_is_cut() -> None:
    shown = images.build_progress(f"#5 [2/4] RUN {'x' * 500}")
    assert shown is not None
    assert len(shown) == 120
    assert shown.endswith("…")
