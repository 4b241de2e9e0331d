"""A stand-in is known by its content: any changed byte of it or of its base makes it another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from wharfinger import assets, stand_ins


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "images"
    shutil.copytree(assets.folder("images"), folder)
    monkeypatch.setattr("wharfinger.assets.folder", lambda _name: folder)
    return folder


def test_the_same_content_gives_the_same_label_anywhere(images: Path) -> None:
    before = stand_ins.label("nginx:1.30")
    moved = images.rename(images.with_name("elsewhere"))
    shutil.copytree(moved, images)
    assert stand_ins.label("nginx:1.30") == before


def test_a_changed_file_changes_its_image_only(images: Path) -> None:
    before = {name: stand_ins.label(name) for name in stand_ins.STOCK}
    with (images / "redis" / "docker-entrypoint.sh").open("a", encoding="utf-8") as script:
        script.write("# changed\n")
    after = {name: stand_ins.label(name) for name in stand_ins.STOCK}
    assert [name for name in before if before[name] != after[name]] == ["redis:8"]


def test_a_renamed_file_changes_its_image(images: Path) -> None:
    before = stand_ins.label("nginx:1.30")
    (images / "nginx" / "html" / "50x.html").rename(images / "nginx" / "html" / "5xx.html")
    assert stand_ins.label("nginx:1.30") != before


def test_a_changed_base_changes_all_that_is_built_on_it(images: Path) -> None:
    before = {name: stand_ins.label(name) for name in stand_ins.STOCK}
    (images / "debian" / "apt.conf").write_text("", encoding="utf-8")
    assert not [name for name in stand_ins.STOCK if stand_ins.label(name) == before[name]]


def test_another_base_suite_changes_the_image(images: Path) -> None:
    before = stand_ins.label("redis:8")
    dockerfile = images / "redis" / "Dockerfile"
    text = dockerfile.read_text(encoding="utf-8")
    dockerfile.write_text(text.replace("trixie", "forky"), encoding="utf-8")
    assert stand_ins.base("redis:8") == "debian:forky-slim"
    assert stand_ins.label("redis:8") != before


def test_two_versions_from_one_folder_stand_on_the_release_that_has_them() -> None:
    assert stand_ins.base("postgres:17") == "debian:trixie-slim"
    assert stand_ins.base("postgres:15") == "debian:bookworm-slim"


def test_labels_differ_between_images() -> None:
    names = (*stand_ins.STOCK, *stand_ins.TRIAL, *stand_ins.BASES)
    assert len({stand_ins.label(name) for name in names}) == len(names)


def test_what_has_no_stand_in_has_no_label() -> None:
    assert stand_ins.label("postgres:16") == ""


@pytest.mark.parametrize("name", [*stand_ins.STOCK, *stand_ins.TRIAL])
def test_every_stock_image_stands_on_a_known_base(name: str) -> None:
    assert stand_ins.base(name) in stand_ins.BASES


def test_no_image_names_a_registry_or_mirror() -> None:
    """Where packages come from is the machine's own setting."""
    for path in assets.folder("images").rglob("*"):
        if path.is_file():
            assert "://" not in path.read_text(encoding="utf-8"), path
