"""Decodes a picture file to RGB bytes. Imports Pillow, so it is imported only where a picture is given."""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageOps

from cromwell.contract.artifact import Array
from cromwell.contract.errors import CommandError

MAX_PIXELS = 40_000_000
"""A decoded picture stays under 120 MB; the model sees 16 tiles of 256x256, a million pixels."""
SHRINK = f"shrink it to at most {MAX_PIXELS // 1_000_000} megapixels"
PNG_END = b"IEND\xaeB`\x82"
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF")
"""What is decoded: formats in common use for screenshots, and no format that runs another program."""


def decode_picture(data: bytes, name: str) -> Array:
    """The first frame, upright, transparency over white, as |u1 [height, width, 3].

    CommandError (exit 2) when `data` is no picture, is truncated, or has too many pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError:
            raise CommandError(f"{name}: a picture of too many pixels", SHRINK) from None
        except Exception:
            raise CommandError(f"{name}: not a picture", f"give one of {', '.join(FORMATS)}") from None
        if picture.width * picture.height > MAX_PIXELS:
            raise CommandError(f"{name}: a picture of {picture.width}x{picture.height} pixels is too large", SHRINK)
        try:
            picture.load()
            if picture.format == "PNG" and PNG_END not in data:  # Pillow is content with all rows
                raise ValueError("image file is truncated")
            upright = ImageOps.exif_transpose(picture)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                layer = upright.convert("RGBA")
                upright = Image.new("RGBA", layer.size, "white")
                upright.alpha_composite(layer)
            rgb = upright.convert("RGB")
        except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
            raise CommandError(f"{name}: a damaged picture: {error}", "make or copy the picture again") from None
    return Array("|u1", (rgb.height, rgb.width, 3), rgb.tobytes())
