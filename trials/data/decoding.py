"""One image file, decoded to RGB in bounded memory, or one reason why it cannot be.

What is odd but usable is converted, as torchvision's loaders convert it, and said:

- greyscale, 1 bit: the value stands in all three channels
- 16-bit grey: scaled to 8 bits; Pillow's own conversion clips, which leaves a white square
- palette, CMYK: Pillow's conversion
- transparency: dropped; the stored colours are shown, without a background (also torchvision's
  choice)
- several frames: the first
- EXIF orientation: not applied; a trimap is drawn over the stored pixels, and the loaders of both
  papers do not apply it
- a JPEG above 179 megapixels: decoded at a half, a quarter or an eighth of its sides, which libjpeg
  does as it reads

Everything else (truncated, empty, foreign, too large) is `Broken`.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from trials.data.instances import Instances

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
"""What is looked for in a file, whatever its name: some others that Pillow reads start programs
(EPS) or decode in C with complaints of their own.
"""
WHOLE_PIXELS = 178_956_970
"""The most that are decoded whole, Pillow's own limit: 0.7 GB as Pillow keeps RGB, 2.7 GB at the
worst while it is decoded (an animated WebP).
"""
JPEG_PIXELS = 800_000_000
"""The most in a JPEG that is decoded smaller."""
DRAFT_PIXELS = 50_000_000
"""What such a JPEG is brought down to."""
ALONE_PIXELS = 10_000_000
"""Larger images are decoded one at a time, so that memory does not grow with the cores."""
FILE_BYTES = 1 << 30
JPEG_FILE_BYTES = 8 << 20
"""A larger JPEG file is encoded anew for a store of JPEG files: it is mostly side information."""
ORIENTATION = 0x0112

_alone = threading.Lock()


class Broken(Exception):
    """An image that cannot be used; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One decoded image."""

    image: Image.Image
    """RGB."""
    mask: np.ndarray | None = None
    """(height, width) uint8 class numbers, 255 where none counts, or None where the data have none."""
    instances: Instances | None = None
    """Its objects, or None where the data have none."""
    conversions: tuple[str, ...] = ()
    """What had to be done to it, by kind."""
    file: Path | None = None
    """The JPEG file that it was decoded from, if decoding that gives these pixels; else None."""


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings (malformed side information, large images): what matters of them is
    decided and said here.

    Warning filters belong to the process, not to a thread, so this is for around a whole
    preparation.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def read_picture(path: Path | bytes, trimap: Path | None = None) -> Picture:
    """Decode an image, from a file or from the bytes of one, and, where there is one, its trimap.

    Raises:
        Broken: either cannot be used.
    """
    with opened(path) as image:
        size, conversions = image.size, []
        plain = isinstance(image, JpegImageFile) and image.mode == "RGB"
        if isinstance(image, JpegImageFile) and size[0] * size[1] > WHOLE_PIXELS:
            image, kind = _draft(image)
            conversions.append(kind)
        rgb, kinds = _to_rgb(image)
        conversions += kinds
        # asked afterwards, since asking a GIF moves it
        if _quietly(lambda: getattr(image, "is_animated", False), False):
            conversions.append("first of several frames")
        if _quietly(lambda: image.getexif().get(ORIENTATION, 1), 1) not in (0, 1):
            conversions.append("EXIF orientation not applied")
    mask = None if trimap is None else _read_trimap(trimap, size)
    file = path if isinstance(path, Path) and plain and rgb.size == size and path.stat().st_size <= JPEG_FILE_BYTES else None
    return Picture(image=rgb, mask=mask, conversions=tuple(conversions), file=file)


def _read_trimap(path: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        with opened(path) as image:
            if image.size != size:
                raise Broken(f"is {image.width} x {image.height} px, but its image is {size[0]} x {size[1]}")
            values = np.asarray(image)
    except Broken as error:
        raise Broken(f"trimap {path} {error}") from error
    if values.ndim != 2 or values.min() < 1 or values.max() > 3:
        raise Broken(f"trimap {path} holds values outside 1 pet, 2 background, 3 border")
    return values.astype(np.uint8) - np.uint8(1)


@contextlib.contextmanager
def opened(path: Path | bytes) -> Iterator[Image.Image]:
    """The image in a file, or in the bytes of one, opened and within bounds; whatever goes wrong
    inside is one `Broken`.
    """
    try:
        if isinstance(path, Path) and path.exists() and not path.is_file():  # a pipe would be waited on for ever
            raise Broken("is no file")
        with io.BytesIO(path) if isinstance(path, bytes) else open(path, "rb") as handle, contextlib.ExitStack() as stack:
            image = stack.enter_context(_identified(handle))
            if min(image.size) < 1:
                raise Broken("has no pixels")
            if image.width * image.height > ALONE_PIXELS:
                stack.enter_context(_alone)
            yield image
    except Broken:
        raise
    except OSError as error:
        raise Broken(error.strerror or _reason(error)) from error
    except Exception as error:  # Pillow lets through nearly every exception there is on damaged bytes
        raise Broken(_reason(error)) from error


def _identified(handle: BinaryIO) -> Image.Image:
    held = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    if held == 0:
        raise Broken("is empty")
    if held > FILE_BYTES:
        raise Broken(f"holds {held:,} bytes, more than the {FILE_BYTES:,} that are read")
    image: Image.Image
    try:
        image = Image.open(handle, formats=FORMATS)
    except UnidentifiedImageError:
        raise Broken("is no JPEG, PNG, GIF, BMP or WebP image that can be read") from None
    except Image.DecompressionBombError:
        handle.seek(0)
        try:
            image = JpegImageFile(handle)  # past Pillow's limit, which knows nothing of decoding smaller
        except SyntaxError:
            raise Broken(f"holds more than the {WHOLE_PIXELS:,} pixels that are decoded whole; make it smaller") from None
    if image.width * image.height > WHOLE_PIXELS:
        _refuse_huge(image)
    return image


def _refuse_huge(image: Image.Image) -> None:
    size = f"is {image.width:,} x {image.height:,} px"
    if not isinstance(image, JpegImageFile):
        raise Broken(f"{size}, more than the {WHOLE_PIXELS:,} pixels that are decoded whole; make it smaller")
    if image.info.get("progressive"):  # libjpeg keeps all coefficients of these in memory, at whatever size it decodes
        raise Broken(f"{size} and progressive, more than the {WHOLE_PIXELS:,} pixels that are decoded whole; make it smaller")
    if image.width * image.height > JPEG_PIXELS:
        raise Broken(f"{size}, more than the {JPEG_PIXELS:,} pixels that are read of a JPEG; make it smaller")


def _draft(image: JpegImageFile) -> tuple[Image.Image, str]:
    factor = next((f for f in (2, 4) if image.width * image.height <= DRAFT_PIXELS * f * f), 8)
    image.draft(None, (image.width // factor, image.height // factor))
    return image, f"huge JPEG decoded at 1/{factor}"


def _to_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    image.load()
    mode, kinds = image.mode, []
    if mode.startswith("I"):
        kinds.append("16-bit grey")
    elif mode in ("1", "L", "LA", "La"):
        kinds.append("greyscale")
    elif mode in ("P", "PA"):
        kinds.append("palette")
    elif mode not in ("RGB", "RGBA", "RGBX", "RGBa"):
        kinds.append(mode)
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        kinds.append("transparency dropped")
    if mode.startswith("I"):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB"), kinds
    if mode == "P" and isinstance(image.info.get("transparency"), bytes):
        return image.convert("RGBA").convert("RGB"), kinds  # the same pixels as at once, which Pillow warns about
    return image.convert("RGB"), kinds


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """0 .. 65,535 to the nearest of 0 .. 255, some rows at a time."""
    result = np.empty(values.shape, dtype=np.uint8)
    for top in range(0, len(values), 256):
        result[top : top + 256] = (values[top : top + 256].astype(np.int64).clip(0, 65_535) + 128) // 257
    return result


def _quietly(ask: Callable[[], Any], otherwise: Any) -> Any:
    """An answer about side information, which may be damaged where the pixels are not."""
    try:
        return ask()
    except Exception:
        return otherwise


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def fit_short(image: Image.Image, mask: np.ndarray | None, store_px: int) -> tuple[Image.Image, np.ndarray | None]:
    """An image with its short side brought down to `store_px`, and its mask (nearest); a smaller
    image as it is.

    By Lanczos's filter, for crops are resampled again: of a photograph's fine detail (Laplacian rms)
    at areas of .67 to 1 it then keeps 96%, where a bicubic filter keeps 88%
    (`python -m benchmarks.crops`).
    """
    short = min(image.size)
    if short <= store_px:
        return image, mask
    width, height = (max(store_px, round(side * store_px / short)) for side in image.size)
    if mask is not None:
        mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST), dtype=np.uint8)
    return image.resize((width, height), Image.Resampling.LANCZOS), mask
