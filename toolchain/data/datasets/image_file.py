"""One picture of a user's folder: what a person sees in it, as bytes."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.toolchain.data.datasets.archives import readable
from snnas.toolchain.data.datasets.raw import Array

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Background = Literal["white", "black"]

IMAGES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
MAX_SIDE = 4096
_LEVELS = {"white": 255, "black": 0}
_GREY = ("1", "L", "LA")
_COLOURED = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # of 8 bits, which Pillow turns into RGB


def read_image(file: Path, background: Background, found: Counter[str]) -> Array:
    """The pixels, uint8 (1, H, W) of a grey picture and (3, H, W) of any other, turned upright as its EXIF says.

    What is transparent shows ``background``. The content says which format it is, not the name. found: counts what a
    user may want to know of. Raises InvalidFileError; UnsupportedError without Pillow.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise UnsupportedError(
            f"{file}: reading images needs Pillow; install snnas with the extra [search], or save .npy files"
        ) from None
    formats = sorted(set(IMAGES.values()))
    try:
        with (
            readable(file, f"a picture of {', '.join(formats)}"),
            warnings.catch_warnings(action="error"),
            Image.open(file, formats=formats) as image,
        ):
            _check(image, file)
            named = IMAGES[file.suffix.lower()]
            if image.format != named:
                found[f"{image.format} files under the name {file.suffix}, read as what they are"] += 1
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                opaque = upright.convert("RGBA" if upright.mode not in _GREY else "LA")
                levels = np.asarray(opaque)
                if int(levels[..., -1].min()) < 255:
                    found[f"pictures are transparent in part: composited over {background} (--data background=)"] += 1
                    return _composited(levels, background, file)
                upright = opaque
            if upright.mode == "CMYK":
                found["pictures are CMYK, converted to RGB without a colour profile"] += 1
            grey = upright.mode in _GREY
            pixels = np.asarray(upright.convert("L" if grey else "RGB"))
    except Image.DecompressionBombError:  # a size that Pillow refuses before we see it
        raise InvalidFileError(f"{file} declares too many pixels, expected at most {MAX_SIDE} a side") from None
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _check(image: Picture, file: Path) -> None:
    if max(image.size) > MAX_SIDE:
        raise InvalidFileError(f"{file} has {image.size} pixels, expected at most {MAX_SIDE} a side")
    if image.mode not in (*_GREY, *_COLOURED):
        raise InvalidFileError(f"{file} has mode {image.mode}, expected 8 bits a colour; convert it")
    pictures = getattr(image, "n_frames", 1)
    if pictures != 1:
        raise InvalidFileError(
            f"{file} holds {pictures} pictures, expected one; save each as a file, or frames as a .npy (T, C, H, W)"
        )


def _composited(levels: Array, background: Background, file: Path) -> Array:
    """Colours (H, W, 1 or 3 + alpha) over the background, rounded half up: (1 or 3, H, W)."""
    alpha = levels[..., -1:].astype(np.int64)
    mixed = levels[..., :-1] * alpha + _LEVELS[background] * (255 - alpha)
    pixels: Array = ((2 * mixed + 255) // 510).astype(np.uint8)
    if np.ptp(alpha) and not np.ptp(pixels.reshape(-1, pixels.shape[-1]), axis=0).any():
        other = "black" if background == "white" else "white"
        raise InvalidFileError(
            f"{file}: what is drawn in its alpha channel cannot be seen over {background}; give --data "
            f"background={other}"
        )
    return pixels.transpose(2, 0, 1)
