"""Files are replaced whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from wharfinger.hosts.files import one_at_a_time, write_atomically


def test_a_file_is_written_with_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        write_atomically(tmp_path / "x", b"data", 0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
    assert (tmp_path / "x").read_bytes() == b"data"


def test_a_replaced_file_is_another_file_and_nothing_else_is_left(tmp_path: Path) -> None:
    """Who has the old one open goes on reading it whole."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        write_atomically(path, b"new", 0o640)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new", 0o600)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_a_symbolic_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new", 0o600)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_does_not_take_a_users_file_away(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    os.chown(path, 1234, 1235)
    write_atomically(path, b"new", 0o600)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)


def test_a_folder_is_one_process_at_a_time(tmp_path: Path) -> None:
    """As each open of a folder counts for itself, two threads stand for two processes."""
    inside: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        with one_at_a_time(tmp_path / "build"):
            inside.append("second")

    other = threading.Thread(target=second)
    with one_at_a_time(tmp_path / "build"):
        other.start()
        entered.wait(10)
        other.join(0.05)
        inside.append("first")
    other.join(10)

    assert inside == ["first", "second"]
