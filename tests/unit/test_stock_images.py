"""Where stock images come from: what is there is left alone, the hub comes first, stand-ins are built once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pytest

from wharfinger import stand_ins, stock_images
from wharfinger.errors import BuildFailed, CommandFailed, NotReady, UsageError
from wharfinger.hosts import Completed
from wharfinger.hosts.local import LocalHost
from wharfinger.stock_images import STOCK, Origin

SCRIPT = PurePosixPath("/usr/share/debootstrap/scripts/sid")
KEYRING = PurePosixPath("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = PurePosixPath("/etc/apt/sources.list")
PROGRAMS = {"true", "debootstrap", "tar", "rm", "docker", "apt-get"}
MIRROR = "http://mirror.example.com/debian"


class Machine(LocalHost):
    """A recording host: holds images by stand-in label, answers as Docker would, and does nothing."""

    def __init__(self, images: Mapping[str, str], *, engine: bool = True, failing: str = "") -> None:
        self.images = dict(images)
        self.files = {SCRIPT: b"", KEYRING: b"", SOURCES: f"deb {MIRROR} trixie main\n".encode()}
        self.engine = engine
        self.failing = failing
        self.ran: list[tuple[str, ...]] = []
        self._lock = threading.Lock()

    def run(self, argv: Sequence[str], *, check: bool = True, **_options: Any) -> Completed:
        with self._lock:
            self.ran.append(tuple(argv))
        if argv[1:3] == ("image", "inspect"):
            found = [name for name in argv[5:] if name in self.images and self.engine]
            lines = "".join(f'["{name}"]\t{self.images[name]}\n' for name in found)
            return Completed(tuple(argv), 0 if len(found) == len(argv[5:]) else 1, lines or "\n", "")
        if argv[:2] == ("docker", "version"):
            return Completed(tuple(argv), 0 if self.engine else 1, "", "")
        failed = bool(self.failing) and self.failing in argv
        if failed and check:
            raise CommandFailed(argv, 100, "E: Unable to locate package\n", host="local")
        return Completed(tuple(argv), 100 if failed else 0, "", "")

    def read(self, path: PurePosixPath) -> bytes | None:
        return self.files.get(path)

    def names_in(self, folder: PurePosixPath) -> tuple[str, ...]:
        assert folder == SOURCES.with_name("sources.list.d")
        return ()

    def built(self) -> list[str]:
        return [argv[argv.index("--tag") + 1] for argv in self.ran if argv[:2] == ("docker", "build")]

    def bootstrapped(self) -> list[str]:
        return sorted(argv[-4] for argv in self.ran if "debootstrap" in argv)


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)


def current(*names: str) -> dict[str, str]:
    return {name: stand_ins.label(name) for name in names}


def ensure(
    machine: Machine,
    names: Sequence[str] = STOCK,
    *,
    source: stock_images.Source = "debian",
    rebuild: bool = False,
    environ: Mapping[str, str] | None = None,
) -> tuple[tuple[str, ...], list[str]]:
    said: list[str] = []
    made = stock_images.ensure(
        machine,
        names,
        source=source,
        rebuild=rebuild,
        say=said.append,
        progress=lambda _name, _line: None,
        environ=environ or {},
    )
    return made, said


def test_what_is_there_costs_one_question() -> None:
    machine = Machine(current(*STOCK))
    assert ensure(machine, source="auto") == ((), [])
    assert len(machine.ran) == 1


def test_official_images_are_left_alone() -> None:
    """An image without the label is the hub's: nothing is built over it unless it was asked for."""
    machine = Machine(dict.fromkeys(STOCK, ""))
    assert ensure(machine, source="auto") == ((), [])


def test_a_changed_stand_in_is_built_again_and_no_other() -> None:
    machine = Machine(current(*STOCK, *stand_ins.BASES) | {"redis:8": "an older one"})
    made, said = ensure(machine)
    assert made == ("redis:8",)
    assert machine.built() == ["redis:8"]
    assert said == ["as chosen: building redis:8 from Debian packages"]


def test_bases_come_before_what_is_built_on_them() -> None:
    machine = Machine({})
    made, _ = ensure(machine)
    assert made == STOCK
    assert machine.bootstrapped() == ["bookworm", "forky", "trixie"]
    assert set(machine.built()[:3]) == set(stand_ins.BASES)
    assert sorted(machine.built()[3:]) == sorted(STOCK)


def test_only_the_bases_that_are_needed_are_bootstrapped() -> None:
    machine = Machine({})
    ensure(machine, ("redis:8", "registry:2"))
    assert machine.bootstrapped() == ["trixie"]


def test_a_rebuild_makes_what_is_there_anew() -> None:
    machine = Machine(current(*STOCK, *stand_ins.BASES))
    made, _ = ensure(machine, ("redis:8",), rebuild=True)
    assert made == ("redis:8",)
    assert machine.built() == ["debian:trixie-slim", "redis:8"]
    assert all("--no-cache" in argv for argv in machine.ran if argv[:2] == ("docker", "build"))


def test_the_hub_can_be_forced() -> None:
    machine = Machine(current(*STOCK))
    made, said = ensure(machine, ("redis:8",), source="hub")
    assert made == ("redis:8",)
    assert said == ["pulling redis:8 from the image hub"]
    assert machine.built() == []
    assert any(argv[-1] == "pull" for argv in machine.ran)


def test_stand_ins_can_be_forced_over_official_images() -> None:
    machine = Machine({"redis:8": "", "debian:trixie-slim": ""})
    ensure(machine, ("redis:8",))
    assert machine.built() == ["debian:trixie-slim", "redis:8"]


def test_a_failed_pull_says_what_mends_it() -> None:
    with pytest.raises(BuildFailed, match="redis:8 cannot be pulled") as failure:
        ensure(Machine({}, failing="pull"), ("redis:8",), source="hub")
    assert "WHARFINGER_IMAGES=debian" in failure.value.fix


def test_a_failed_build_names_the_image_and_its_last_words() -> None:
    with pytest.raises(BuildFailed, match="stand-in for redis:8") as failure:
        ensure(Machine(current(*stand_ins.BASES), failing="redis:8"), ("redis:8",))
    assert failure.value.details == ("E: Unable to locate package",)


def test_a_failed_bootstrap_builds_nothing_on_it() -> None:
    machine = Machine({}, failing="debootstrap")
    with pytest.raises(BuildFailed, match="debian:trixie-slim"):
        ensure(machine, ("redis:8",))
    assert machine.built() == []


def test_an_image_without_a_stand_in_is_refused_before_anything_is_built() -> None:
    machine = Machine({})
    with pytest.raises(BuildFailed, match="mysql:8"):
        ensure(machine, ("redis:8", "mysql:8"))
    assert machine.built() == []


def test_without_an_engine_the_machine_is_not_ready() -> None:
    with pytest.raises(NotReady, match="no Docker Engine answers"):
        ensure(Machine({}, engine=False))


def test_missing_images_are_no_missing_engine() -> None:
    assert stock_images.origins(Machine({}), ("redis:8",)) == {"redis:8": Origin.MISSING}


def test_origins_of_all_kinds() -> None:
    machine = Machine({"nginx:1.30": "", "postgres:17": "old"} | current("redis:8"))
    assert stock_images.origins(machine, ("nginx:1.30", "postgres:17", "redis:8", "registry:2")) == {
        "nginx:1.30": Origin.OFFICIAL,
        "postgres:17": Origin.OUTDATED,
        "redis:8": Origin.STAND_IN,
        "registry:2": Origin.MISSING,
    }


def test_without_a_debian_mirror_the_variable_is_named() -> None:
    machine = Machine({})
    machine.files[SOURCES] = b"deb http://archive.example.com/ubuntu noble main\n"
    with pytest.raises(NotReady) as failure:
        ensure(machine, ("redis:8",))
    assert "WHARFINGER_DEBIAN_MIRROR" in failure.value.fix


def test_the_variable_names_the_mirror() -> None:
    machine = Machine({})
    ensure(machine, ("redis:8",), environ={"WHARFINGER_DEBIAN_MIRROR": "http://other.example.com/debian"})
    (argv,) = [argv for argv in machine.ran if "debootstrap" in argv]
    assert argv[-2] == "http://other.example.com/debian"


def test_the_mirror_file_of_a_cloud_image_is_followed() -> None:
    machine = Machine({})
    machine.files[SOURCES] = b"deb mirror+file:/etc/apt/mirrors/debian.list trixie main\n"
    machine.files[PurePosixPath("/etc/apt/mirrors/debian.list")] = f"{MIRROR}\n".encode()
    ensure(machine, ("redis:8",))
    assert machine.bootstrapped() == ["trixie"]


def test_a_missing_debootstrap_is_installed() -> None:
    machine = Machine({})
    del machine.files[SCRIPT]
    ensure(machine, ("redis:8",))
    assert any(argv[:2] == ("apt-get", "install") and "debootstrap" in argv for argv in machine.ran)


def test_a_debootstrap_that_cannot_be_installed_is_told_with_the_command() -> None:
    machine = Machine({}, failing="install")
    del machine.files[SCRIPT]
    with pytest.raises(NotReady) as failure:
        ensure(machine, ("redis:8",))
    assert "apt-get install" in failure.value.fix


def test_without_root_and_sudo_nothing_is_bootstrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    machine = Machine({}, failing="true")
    with pytest.raises(NotReady, match="needs root"):
        ensure(machine, ("redis:8",))
    assert machine.bootstrapped() == []


def test_with_sudo_only_what_needs_root_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    machine = Machine({})
    ensure(machine, ("redis:8",))
    by_sudo = {next(word for word in argv if word in PROGRAMS) for argv in machine.ran if "sudo" in argv}
    assert by_sudo == {"true", "debootstrap", "tar", "rm"}


def test_proxies_reach_the_build_by_name_only() -> None:
    machine = Machine(current(*stand_ins.BASES))
    ensure(machine, ("redis:8",), environ={"http_proxy": "http://user:password@proxy.example.com"})
    (build,) = [argv for argv in machine.ran if argv[:2] == ("docker", "build")]
    assert build[build.index("--build-arg") + 1] == "http_proxy"
    assert not any("password" in word for argv in machine.ran for word in argv)


@pytest.mark.parametrize("choice", ["auto", "hub", "debian"])
def test_the_source_is_taken_from_the_environment(choice: str) -> None:
    assert stock_images.source_from({"WHARFINGER_IMAGES": choice}) == choice


def test_an_unknown_source_is_refused() -> None:
    assert stock_images.source_from({}) == "auto"
    with pytest.raises(UsageError, match="WHARFINGER_IMAGES"):
        stock_images.source_from({"WHARFINGER_IMAGES": "dockerhub"})
