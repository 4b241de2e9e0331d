"""Rendered files: what lies in build/ is what was rendered, and what Docker refuses is told in its own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.recording import RecordingHost

from wharfinger import checking
from wharfinger.checking import differing, write, write_and_check
from wharfinger.errors import InvalidInput
from wharfinger.hosts import Completed
from wharfinger.hosts.local import LocalHost

FILES: Mapping[str, bytes] = {
    "compose.yaml": b"services: {}\n",
    "data.yaml": b"services: {}\n",
    "edge/nginx.conf": b"events {}\n",
    "edge/.env": b"EDGE_HTTP_PORT=8080\n",
    "edge/sites/shop-local.conf": b"server {}\n",
}


class Commands(LocalHost):
    """This machine's files, with commands that are only recorded."""

    def __init__(self) -> None:
        self.recorded = RecordingHost()

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        """Hand the command to the recording host."""
        return self.recorded.run(argv, **options)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> RecordingHost:
    """Return what stands where Docker would be."""
    commands = Commands()
    monkeypatch.setattr(checking, "LocalHost", lambda: commands)
    return commands.recorded


def checked(docker: RecordingHost) -> list[str]:
    """Return what was handed to Compose and Nginx, in order."""
    names = [
        Path(argv[argv.index("--file") + 1]).name if "compose" in argv else argv[-1].rpartition("/")[2]
        for argv in docker.commands
    ]
    docker.calls.clear()
    return names


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_what_was_rendered_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge/stale.conf").write_bytes(b"from a site that was dropped")
    (tmp_path / "compose.yaml").write_bytes(b"old")

    write(FILES, tmp_path)

    assert held(tmp_path) == FILES


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    write(FILES, tmp_path)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*")}

    write({**FILES, "data.yaml": b"new"}, tmp_path)

    changed = [path.name for path, inode in before.items() if path.stat().st_ino != inode]
    assert changed == ["data.yaml"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, ()),
        ({"compose.yaml": b"other"}, ("compose.yaml",)),
        ({"edge/.env": b"other"}, ("edge/.env",)),
        ({"new.yaml": b""}, ("new.yaml",)),
        ({"compose.yaml": None, "edge/nginx.conf": b"x"}, ("compose.yaml", "edge/nginx.conf")),
    ],
)
def test_what_differs_is_named(tmp_path: Path, change: dict[str, bytes | None], names: tuple[str, ...]) -> None:
    write(FILES, tmp_path)
    wanted = {name: content for name, content in {**FILES, **change}.items() if content is not None}

    assert differing(wanted, tmp_path) == names


def test_where_nothing_was_rendered_everything_differs(tmp_path: Path) -> None:
    assert differing(FILES, tmp_path / "nothing") == tuple(sorted(FILES))


def test_every_file_is_proved_by_the_program_that_will_read_it(tmp_path: Path, docker: RecordingHost) -> None:
    write_and_check(FILES, tmp_path)

    nginx = docker.commands[-1]
    assert f"{tmp_path}/edge:/etc/nginx/wharfinger:ro" in nginx
    assert nginx[nginx.index("--network") :][:2] == ("--network", "none")
    assert checked(docker) == ["compose.yaml", "data.yaml", "nginx.conf"]


def test_what_has_passed_once_is_not_checked_again_until_it_changes(tmp_path: Path, docker: RecordingHost) -> None:
    write_and_check(FILES, tmp_path)
    checked(docker)

    write_and_check(FILES, tmp_path)
    assert checked(docker) == []
    write_and_check({**FILES, "edge/sites/shop-local.conf": b"server { }\n"}, tmp_path)
    assert checked(docker) == ["compose.yaml", "data.yaml", "nginx.conf"]
    assert differing({**FILES, "edge/sites/shop-local.conf": b"server { }\n"}, tmp_path) == ()


def test_another_build_of_an_image_makes_no_good_file_a_bad_one(tmp_path: Path, docker: RecordingHost) -> None:
    def files(image: str) -> dict[str, bytes]:
        return {"compose.yaml": f'services: {{web: {{image: "{image}"}}}}\n'.encode()}

    write_and_check(files("127.0.0.1:5055/shop/app:tree-0123456789abcdef"), tmp_path)
    checked(docker)

    write_and_check(files("127.0.0.1:5055/shop/app:tree-fedcba9876543210"), tmp_path)
    assert checked(docker) == []
    assert b"fedcba" in (tmp_path / "compose.yaml").read_bytes()
    write_and_check(files("127.0.0.1:5055/shop/other:tree-fedcba9876543210"), tmp_path)
    assert checked(docker) == ["compose.yaml"]


def test_a_stack_without_data_or_site_is_checked_for_what_it_has(tmp_path: Path, docker: RecordingHost) -> None:
    write_and_check({"compose.yaml": b"services: {}\n"}, tmp_path)

    assert checked(docker) == ["compose.yaml"]


@pytest.mark.parametrize(
    ("words", "problem", "said", "details"),
    [
        (
            ("compose", "data.yaml"),
            "data.yaml: Compose refuses it",
            'time=… msg="The \\"KEY\\" variable is not set. Defaulting"\nservices.db must be a mapping\n',
            ("services.db must be a mapping",),
        ),
        (("nginx", "-t"), "edge: Nginx refuses it", '[emerg] unknown directive "nonsense"\n', None),
    ],
)
def test_what_is_refused_is_told_and_checked_again_the_next_time(
    tmp_path: Path,
    docker: RecordingHost,
    words: tuple[str, ...],
    problem: str,
    said: str,
    details: tuple[str, ...] | None,
) -> None:
    words = tuple(str(tmp_path / word) if word.endswith(".yaml") else word for word in words)
    docker.answer(*words, status=1, stderr=said)

    for _ in range(2):
        with pytest.raises(InvalidInput) as caught:
            write_and_check(FILES, tmp_path)
        assert caught.value.problem.endswith(problem)
        assert caught.value.details == (details or tuple(said.splitlines()))
        assert "templates/" in caught.value.fix
