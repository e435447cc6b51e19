"""The classes of segmentation masks: read from `classes.yaml`, or from the masks themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from trials.data.decoding import Broken, Picture, opened, read_picture
from trials.errors import InputError

TRIMAP = ("object", "background", "border")
"""Of sources whose masks are trimaps."""
IGNORED = 255
"""What a stored mask holds where no class counts, whatever the file holds there."""
MOST_CLASSES = 255
FILE = "classes.yaml"
_FILE_BYTES = 1 << 20
_FILE_VALUES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class MaskClasses:
    """Which values the pixels of mask files have, and what they mean."""

    values: tuple[int, ...]
    """In a mask file, one for each class."""
    names: tuple[str, ...]
    ignored: tuple[int, ...]
    """Values of pixels that do not count."""
    said_by: str
    """Where this is from, for messages."""

    def table(self) -> np.ndarray:
        """(65536,) int16: for each value in a file the class, `IGNORED`, or -1 where it is wrong."""
        table = np.full(_FILE_VALUES, -1, dtype=np.int16)
        table[list(self.values)] = np.arange(len(self.values))
        table[list(self.ignored)] = IGNORED
        return table


def read_classes(file: Path) -> MaskClasses:
    """Read `names: [road, car]` (values 0, 1, ...) or `names: {1: road, 2: car}`, and `ignore: 255`,
    one value or a list.

    Raises:
        InputError: the file does not say so.
    """
    example = "write `names: [road, car]` or `names: {1: road, 2: car}`, and `ignore: 255` where some pixels do not count"
    try:
        if file.stat().st_size > _FILE_BYTES:
            raise InputError(f"{file} has more than 1 MB, which no list of classes has: {example}.")
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} cannot be read ({' '.join(str(error).split())[:200]}): {example}.") from None
    names = found.get("names") if isinstance(found, dict) else None
    named = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(named, dict) or not named or not all(isinstance(name, str | int) for name in named.values()):
        raise InputError(f"{file} names no classes: {example}.")
    ignore = found.get("ignore", [])
    ignored = ignore if isinstance(ignore, list) else [ignore]
    for value in (*named, *ignored):
        if type(value) is not int or not 0 <= value < _FILE_VALUES:
            raise InputError(f"{file} gives the pixel value {str(value)[:40]!r}, which is no whole number from 0 to {_FILE_VALUES - 1:,}: {example}.")
    both = set(named) & set(ignored)
    if both:
        raise InputError(f"{file} names the pixel value {min(both)} as a class and ignores it as well: {example}.")
    if len(named) > MOST_CLASSES:
        raise InputError(f"{file} names {len(named)} classes, but a store holds at most {MOST_CLASSES}: merge some of them.")
    if len(set(map(str, named.values()))) < len(named):
        raise InputError(f"{file} gives two classes one name: {example}.")
    ordered = sorted(named)
    return MaskClasses(values=tuple(ordered), names=tuple(str(named[v]) for v in ordered), ignored=tuple(ignored), said_by=file.name)


def classes_in(masks: Sequence[Path]) -> MaskClasses:
    """The classes that masks hold: 0 to the largest value below 255, which is ignored. Reads all of
    them; what cannot be read is left for decoding to name.
    """
    largest = 0
    for mask in masks:
        try:
            values = read_values(mask)
        except Broken:
            continue
        below = values[values != IGNORED]
        largest = max(largest, int(below.max()) if below.size else 0)
    if largest >= MOST_CLASSES:
        raise InputError(
            f"The masks in {masks[0].parent} hold values up to {largest:,}, too many for class numbers: say in {FILE}, beside the "
            "folders of images and masks, which values are classes."
        )
    return MaskClasses(
        values=tuple(range(largest + 1)),
        names=tuple(f"class {value}" for value in range(largest + 1)),
        ignored=(IGNORED,),
        said_by="the masks",
    )


def read_values(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of a mask file, (height, width) of whole numbers.

    Args:
        size: width and height of its image.

    Raises:
        Broken: it cannot be read, has colours, or is of another size than its image.
    """
    try:
        with opened(path) as image:
            if size is not None and image.size != size:
                raise Broken(f"is {image.width} x {image.height} px, but its image is {size[0]} x {size[1]}")
            values = np.asarray(image)
    except Broken as error:
        raise Broken(f"mask {path} {error}") from error
    if values.ndim != 2:
        raise Broken(f"mask {path} has colours instead of one class number a pixel")
    return values.astype(np.int64)


def read_with_mask(path: Path, mask: Path, table: np.ndarray, said_by: str) -> Picture:
    """Decodes an image and its mask.

    Args:
        table: as `MaskClasses.table`.

    Raises:
        Broken: either cannot be used, or the mask holds a value that is no class.
    """
    picture = read_picture(path)
    with opened(path) as image:
        size = image.size
    values = read_values(mask, size)
    wrong = (values < 0) | (values >= _FILE_VALUES)
    classes = np.where(wrong, np.int16(-1), table[np.where(wrong, 0, values)])
    if (classes < 0).any():
        raise Broken(f"mask {mask} holds the value {int(values[classes < 0][0])}, which is no class by {said_by}")
    return Picture(image=picture.image, mask=classes.astype(np.uint8), conversions=picture.conversions, file=picture.file)
