"""Thumbnails: the one job kind of the worker."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from sevra_atlas.jobs import HopelessError
from sevra_atlas.photos import write_whole

EDGE_PX = 480
MAX_DECODED_BYTES = 160_000_000
"""Leaves the rest of the worker room in 256 MB; enough for the 48 megapixels of a telephone."""


def make_thumbnail(folder: Path, name: str) -> tuple[str, int, int]:
    """Write the small form of an image beside it; return its name and the image's own width and height in pixels.

    The small form is upright, carries no metadata (a camera writes where its owner was), and is the same
    file however often it is made. Raises HopelessError for what is no whole image of bearable size.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            small, width, height = _shrink(folder / name)
    except FileNotFoundError as error:
        raise HopelessError("the image is gone") from error
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise HopelessError("not a readable image") from error
    except OSError as error:  # Pillow's word for a truncated or damaged file
        raise HopelessError("a damaged image") from error
    content = io.BytesIO()
    small.save(content, "JPEG", quality=82, optimize=True)
    small_name = f"{Path(name).stem}-small.jpg"
    write_whole(folder / small_name, content.getvalue())
    return small_name, width, height


def _shrink(path: Path) -> tuple[Image.Image, int, int]:
    with Image.open(path) as image:
        width, height = image.size
        if width * height * len(image.getbands()) > MAX_DECODED_BYTES:
            raise HopelessError(f"{width} x {height} pixels are too many")
        image.thumbnail((EDGE_PX, EDGE_PX))
        return ImageOps.exif_transpose(image).convert("RGB"), width, height
