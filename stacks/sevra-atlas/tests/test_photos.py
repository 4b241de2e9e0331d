"""Image files and their thumbnails."""

from __future__ import annotations

import asyncio
import io
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sevra_atlas.jobs import HopelessError
from sevra_atlas.media import Bucket, Folder, Media, MediaAwayError
from sevra_atlas.photos import NotAnImageError, find_image, store_image
from sevra_atlas.settings import BucketSettings
from sevra_atlas.thumbnails import make_thumbnail
from tests.conftest import free_port


@pytest.fixture(params=["folder", "bucket"])
def media(request: pytest.FixtureRequest, tmp_path: Path) -> Media:
    """An empty store of each kind."""
    if request.param == "folder":
        return Folder(tmp_path)
    return Bucket(request.getfixturevalue("bucket"))


def image(kind: str = "JPEG", size: tuple[int, int] = (1200, 800), colour: str = "teal", mode: str = "RGB") -> bytes:
    content = io.BytesIO()
    Image.new(mode, size, colour).save(content, kind)
    return content.getvalue()


@pytest.mark.parametrize(("kind", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("GIF", ".gif")])
def test_an_image_is_stored_under_its_content(kind: str, suffix: str, media: Media) -> None:
    name = store_image(media, io.BytesIO(image(kind)))
    assert name.endswith(suffix)
    assert media.get(name) == image(kind)
    assert store_image(media, io.BytesIO(image(kind))) == name


def test_a_folder_holds_whole_images_and_nothing_else(tmp_path: Path) -> None:
    names = {store_image(Folder(tmp_path), io.BytesIO(image())) for _ in range(2)}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize("content", [b"", b"<svg onload=alert(1)>", b"GIF90a......", b"\x89PN", b"%PDF-1.7 RIFFWEBP"])
def test_anything_else_is_not_stored(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(NotAnImageError):
        store_image(Folder(tmp_path), io.BytesIO(content))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../secret.jpg", "a.jpg", "..", "", f"{'0' * 40}.svg", f"{'0' * 40}.jpg\n"])
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    folder = tmp_path / "uploads"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"x")
    assert asyncio.run(find_image(Folder(folder), name, {})) is None


def test_two_environments_in_one_bucket_are_apart(bucket: BucketSettings) -> None:
    staging, production = (Bucket(replace(bucket, prefix=f"{bucket.prefix}/{name}")) for name in ("a", "b"))
    name = store_image(staging, io.BytesIO(image()))
    with pytest.raises(FileNotFoundError):
        production.get(name)


def test_a_bucket_that_refuses_the_key_is_away_and_says_no_secret(bucket: BucketSettings) -> None:
    refused = Bucket(replace(bucket, secret_access_key="hunter2"))
    with pytest.raises(MediaAwayError) as caught:
        store_image(refused, io.BytesIO(image()))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(MediaAwayError):
        refused.get("0" * 40 + ".jpg")


def test_a_server_that_is_down_makes_no_image_hopeless(bucket: BucketSettings) -> None:
    with pytest.raises(MediaAwayError):
        make_thumbnail(Bucket(replace(bucket, endpoint=f"http://127.0.0.1:{free_port()}")), "0" * 40 + ".jpg")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1"])
def test_a_thumbnail_is_small_and_the_same_every_time(mode: str, media: Media) -> None:
    name = store_image(media, io.BytesIO(image("PNG", mode=mode, colour="white")))
    small, width, height = make_thumbnail(media, name)
    first = media.get(small)
    assert (width, height) == (1200, 800)
    with Image.open(io.BytesIO(first)) as made:
        assert (made.format, made.size) == ("JPEG", (480, 320))
    assert make_thumbnail(media, name)[0] == small
    assert media.get(small) == first


def test_a_thumbnail_is_upright_and_says_nothing_of_the_camera(tmp_path: Path) -> None:
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera of somebody"
    Image.new("RGB", (1200, 800)).save(content, "JPEG", exif=exif)
    small, _, _ = make_thumbnail(Folder(tmp_path), store_image(Folder(tmp_path), content_at_start(content)))
    with Image.open(tmp_path / small) as made:
        assert made.size == (320, 480)
        assert not dict(made.getexif())


def content_at_start(content: io.BytesIO) -> io.BytesIO:
    content.seek(0)
    return content


@pytest.mark.parametrize("cut", [20, 200])
def test_a_damaged_image_is_hopeless(cut: int, tmp_path: Path) -> None:
    name = store_image(Folder(tmp_path), io.BytesIO(image("PNG")[:cut]))
    with pytest.raises(HopelessError):
        make_thumbnail(Folder(tmp_path), name)


def test_an_image_that_would_fill_the_memory_is_hopeless(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = store_image(Folder(tmp_path), io.BytesIO(image("PNG", (13000, 13000), "white", "L")))
    with pytest.raises(HopelessError, match="too many"):
        make_thumbnail(Folder(tmp_path), name)


def test_a_missing_image_is_hopeless(media: Media) -> None:
    with pytest.raises(HopelessError, match="gone"):
        make_thumbnail(media, "0" * 40 + ".jpg")
