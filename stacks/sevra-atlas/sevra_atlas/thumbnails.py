"""Thumbnails: the one job kind of the worker."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from sevra_atlas.jobs import HopelessError
from sevra_atlas.photos import write_whole

EDGE_PX = 480
MAX_PIXELS = 60_000_000


def make_thumbnail(folder: Path, name: str) -> tuple[str, int, int]:
    """Write the small form of an image beside it; return its name and the image's own width and height in pixels.

    The small form is upright, carries no metadata (a camera writes where its owner was), and is the same
    file however often it is made. Raises HopelessError for what is no whole image of bearable size.
    """
    try:
        with warnings.catch_warnings(), Image.open(folder / name) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if image.width * image.height > MAX_PIXELS:
                raise HopelessError(f"{image.width} x {image.height} pixels are too many")
            width, height = image.size
            image.draft("RGB", (EDGE_PX * 2, EDGE_PX * 2))  # a JPEG is decoded no larger than needed
            small = ImageOps.exif_transpose(image).convert("RGB")
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
        SyntaxError,
    ) as error:
        raise HopelessError("not a readable image") from error
    except FileNotFoundError as error:
        raise HopelessError("the image is gone") from error
    except OSError as error:  # Pillow's word for a truncated or damaged file
        raise HopelessError("a damaged image") from error
    small.thumbnail((EDGE_PX, EDGE_PX))
    content = io.BytesIO()
    small.save(content, "JPEG", quality=82, optimize=True)
    small_name = f"{Path(name).stem}-small.jpg"
    write_whole(folder / small_name, content.getvalue())
    return small_name, width, height
