"""Thumbnails: the one job kind of the worker."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError

from sevra_atlas.jobs import HopelessError

if TYPE_CHECKING:
    from sevra_atlas.media import Media

EDGE_PX = 480
MAX_DECODED_BYTES = 160_000_000
"""Leaves the rest of the worker room in 256 MB; enough for the 48 megapixels of a telephone."""


def make_thumbnail(media: Media, name: str) -> tuple[str, int, int]:
    """Keep the small form of an image beside it; return its name and the image's own width and height in pixels.

    The small form is upright, carries no metadata (a camera writes where its owner was), and is the same
    file however often it is made. Raises HopelessError for what is no whole image of bearable size.
    """
    try:
        original = media.get(name)
    except FileNotFoundError as error:
        raise HopelessError("the image is gone") from error
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            small, width, height = _shrink(original)
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise HopelessError("not a readable image") from error
    except OSError as error:  # Pillow's word for a truncated or damaged file
        raise HopelessError("a damaged image") from error
    content = io.BytesIO()
    small.save(content, "JPEG", quality=82, optimize=True)
    small_name = f"{Path(name).stem}-small.jpg"
    media.put(small_name, content.getvalue())
    return small_name, width, height


def _shrink(content: bytes) -> tuple[Image.Image, int, int]:
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        if width * height * len(image.getbands()) > MAX_DECODED_BYTES:
            raise HopelessError(f"{width} x {height} pixels are too many")
        image.thumbnail((EDGE_PX, EDGE_PX))
        return ImageOps.exif_transpose(image).convert("RGB"), width, height
