"""Files of this machine as a host: whole or not at all, and where they are expected."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path, PurePosixPath

import pytest

from wharfinger.errors import WharfingerError
from wharfinger.hosts import File
from wharfinger.hosts.files import write_atomically
from wharfinger.hosts.local import LocalHost

HOST = LocalHost()


def posix(path: Path) -> PurePosixPath:
    return PurePosixPath(path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_written_files_have_their_mode_and_their_folders(tmp_path: Path) -> None:
    HOST.write({posix(tmp_path / "a/b/x"): File(b"1"), posix(tmp_path / "a/.env"): File(b"2", 0o600)})

    assert (tmp_path / "a/b/x").read_bytes() == b"1"
    assert (mode(tmp_path / "a/b/x"), mode(tmp_path / "a/.env")) == (0o644, 0o600)
    assert names(tmp_path / "a") == [".env", "b"]


def test_a_file_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")

    with pytest.raises(
        WharfingerError, match=r"local: .*/file/x was not written: (Not a directory|File exists)"
    ) as told:
        HOST.write({posix(tmp_path / "file" / "x"): File(b"1")})

    assert f"df -h {tmp_path}/file" in told.value.fix


def test_a_file_that_is_not_there_reads_as_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1")

    assert HOST.read(posix(tmp_path / "x")) == b"1"
    assert HOST.read(posix(tmp_path / "y")) is None
    assert HOST.read(posix(tmp_path / "x/y")) is None  # what should be a folder is a file


def test_create_makes_a_file_only_where_there_is_none(tmp_path: Path) -> None:
    path = posix(tmp_path / "home/lock")

    assert HOST.create(path, File(b"first", 0o600)) is True
    assert HOST.create(path, File(b"second", 0o644)) is False
    assert HOST.read(path) == b"first"
    assert mode(Path(path)) == 0o600
    assert names(tmp_path / "home") == ["lock"]


def test_a_folder_that_a_lock_alone_was_in_goes_with_it(tmp_path: Path) -> None:
    path = posix(tmp_path / "root/stack/env/lock")
    (tmp_path / "root").mkdir()
    for kept in ((), ("env/journal",), ("other",)):
        for name in kept:
            (tmp_path / "root/stack" / name).mkdir(parents=True)
        HOST.create(path, File(b"held"))
        HOST.remove_if(path, b"another's")
        assert HOST.read(path) == b"held"

        HOST.remove_if(path, b"held")

        assert {posix(each).name for each in (tmp_path / "root").rglob("*") if not list(each.iterdir())} == {
            name.rpartition("/")[2] for name in kept
        }
        shutil.rmtree(tmp_path / "root/stack", ignore_errors=True)
    assert (tmp_path / "root").is_dir()
    HOST.remove_if(path, b"held")  # gone, folder and all


def test_a_folder_that_vanishes_while_a_lock_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's refused run takes the folder with its own lock, just before this one's is written."""
    path, gone = tmp_path / "stack/env/lock", [True]

    def write(complete: Path, content: bytes, mode: int) -> None:
        if gone:
            gone.clear()
            complete.parent.rmdir()
            complete.parent.parent.rmdir()
        write_atomically(complete, content, mode)

    monkeypatch.setattr("wharfinger.hosts.local.write_atomically", write)
    assert HOST.create(posix(path), File(b"held")) is True
    assert path.read_bytes() == b"held"


def test_appended_lines_follow_each_other_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    path = posix(tmp_path / "journal/one.jsonl")

    HOST.append(path, "eins")
    HOST.append(path, "zwei ü")

    assert HOST.read(path) == "eins\nzwei ü\n".encode()
    assert mode(Path(path)) == 0o600


def test_a_new_folder_gets_its_mode_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "shared/uploads"

    HOST.make_folder(posix(folder), mode=0o750)
    assert mode(folder) == 0o750
    folder.chmod(0o700)
    HOST.make_folder(posix(folder), mode=0o755)
    assert mode(folder) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_a_new_folder_belongs_to_the_services_that_write_it(tmp_path: Path) -> None:
    HOST.make_folder(posix(tmp_path / "uploads"), mode=0o750, owner=10001)

    facts = (tmp_path / "uploads").stat()
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (10001, 10001, 0o750)


def test_where_a_folder_cannot_be_given_away_everybody_may_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user without root runs `server: local`; the containers run as another user."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    HOST.make_folder(posix(tmp_path / "uploads"), mode=0o750, owner=10001)

    assert mode(tmp_path / "uploads") == 0o777


def test_a_link_is_pointed_elsewhere_in_one_act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = posix(tmp_path / "current")
    HOST.link(link, "releases/1")
    seen = []
    real = os.rename

    def watching(source: Path, target: Path) -> None:
        seen.append((HOST.link_target(link), HOST.link_target(posix(Path(source)))))
        real(source, target)

    monkeypatch.setattr(os, "rename", watching)
    HOST.link(link, "releases/2")

    assert seen == [("releases/1", "releases/2")]  # the old one is there until the new one takes its place
    assert HOST.link_target(link) == "releases/2"
    assert names(tmp_path) == ["current"]


def test_what_a_killed_run_left_of_a_link_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".current.{os.getpid()}").symlink_to("releases/0")

    HOST.link(posix(tmp_path / "current"), "releases/1")

    assert HOST.link_target(posix(tmp_path / "current")) == "releases/1"
    assert names(tmp_path) == ["current"]


def test_only_a_link_has_a_target(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    assert HOST.link_target(posix(tmp_path / "file")) is None
    assert HOST.link_target(posix(tmp_path / "nothing")) is None


def test_removing_a_link_spares_what_it_points_at(tmp_path: Path) -> None:
    (tmp_path / "release/sub").mkdir(parents=True)
    (tmp_path / "release/sub/file").write_bytes(b"x")
    (tmp_path / "current").symlink_to("release")

    HOST.remove(posix(tmp_path / "current"))
    assert names(tmp_path) == ["release"]
    HOST.remove(posix(tmp_path / "release"))
    HOST.remove(posix(tmp_path / "release"))
    assert names(tmp_path) == []


def test_names_are_sorted_and_a_missing_folder_has_none(tmp_path: Path) -> None:
    for name in ("b", "a", ".c"):
        (tmp_path / name).write_bytes(b"")

    assert HOST.names_in(posix(tmp_path)) == (".c", "a", "b")
    assert HOST.names_in(posix(tmp_path / "nothing")) == ()
    assert HOST.names_in(posix(tmp_path / "a")) == ()


def test_free_space_is_known_before_the_folder_exists(tmp_path: Path) -> None:
    there, not_yet = HOST.free_bytes(posix(tmp_path)), HOST.free_bytes(posix(tmp_path / "not/yet"))

    assert there > 0
    assert abs(there - not_yet) < 1 << 28  # others write meanwhile
