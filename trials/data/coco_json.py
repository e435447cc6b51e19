"""A file of COCO's format: which images it names, and the objects of each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from trials.data.decoding import Broken
from trials.data.instances import Instances
from trials.errors import InputError
from trials.received_files import is_plain_name

INSTALL = "pip install 'scaling-law-laboratory[detection]'"
FILE_BYTES = 4 << 30
BEYOND_PX = 1.0
"""How far a box may reach beyond its image, by rounding; it is then clipped."""
FARTHEST_SIDES = 10
"""Sides of its image within which the corners of a polygon lie; pycocotools draws every pixel of an
edge, and so ends the process without a word where one leads far away.
"""
_LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """What an annotations file says."""

    path: Path
    names: tuple[str, ...]
    """File name of each image, in the order of the image ids."""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of each image."""
    categories: tuple[str, ...]
    """Category names, ordered by category id."""
    category_ids: tuple[int, ...]
    of_image: tuple[tuple[dict[str, Any], ...], ...]
    """The annotations of each image, as the file has them."""
    has_masks: bool
    """Whether every annotated object has a mask (the field `segmentation`)."""
    sha256: str

    def objects(self, index: int) -> Instances:
        """The objects of an image, in pixels of the size that the file gives.

        Raises:
            Broken: a box or a segmentation of it makes no sense.
        """
        height, width = self.sizes[index]
        found = self.of_image[index]
        boxes = [_box(one, height, width) for one in found]
        return Instances(
            classes=np.array([self.category_ids.index(one["category_id"]) for one in found], dtype=np.int64),
            boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
            crowds=np.array([bool(one.get("iscrowd", 0)) for one in found], dtype=bool),
            runs=tuple(_runs(one, height, width) for one in found) if self.has_masks else (),
        )


@lru_cache(maxsize=2)
def _read(path: Path, _state: tuple[int, int]) -> CocoFile:
    raw = path.read_bytes()
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON that can be read ({' '.join(str(error).split())[:200]}): download or export it anew.") from None
    lists = [values.get(name) if isinstance(values, dict) else None for name in _LISTS]
    if not all(isinstance(one, list) and all(isinstance(entry, dict) for entry in one) for one in lists):
        raise InputError(f"{path} is no file of COCO's format, which has the lists {', '.join(_LISTS)}: export it anew.")
    images, annotations, categories = lists
    assert images is not None
    assert annotations is not None
    assert categories is not None
    images = sorted(images, key=lambda one: _number(path, one, "id", "an image"))
    categories = sorted(categories, key=lambda one: _number(path, one, "id", "a category"))
    places = {one["id"]: place for place, one in enumerate(images)}
    known = {one["id"] for one in categories}
    for ids, entries, what in ((places, images, "images"), (known, categories, "categories")):
        if len(ids) < len(entries):
            raise InputError(f"{path} gives two {what} the same id: number them anew.")
    names = [one.get("file_name") for one in images]
    wrong = next((name for name in names if not isinstance(name, str) or not all(is_plain_name(part) for part in name.split("/"))), "")
    if wrong != "":
        raise InputError(f"{path} names the image {str(wrong)[:60]!r}, which is no plain file name: correct it.")
    of_image: list[list[dict[str, Any]]] = [[] for _ in images]
    for one in annotations:
        image, category = one.get("image_id"), one.get("category_id")
        if not isinstance(image, int | float) or image not in places:
            raise InputError(
                f"{path}: annotation {_id(one)} is of image {str(image)[:40]}, which the file does not list: remove it, or list the image."
            )
        if not isinstance(category, int | float) or category not in known:
            raise InputError(f"{path}: annotation {_id(one)} has the category {str(category)[:40]}, which the file does not name: name it.")
        of_image[places[image]].append(one)
    return CocoFile(
        path=path,
        names=tuple(str(name) for name in names),
        sizes=tuple((_number(path, one, "height", f"image {one['id']}"), _number(path, one, "width", f"image {one['id']}")) for one in images),
        categories=tuple(str(one.get("name", one["id"])) for one in categories),
        category_ids=tuple(one["id"] for one in categories),
        of_image=tuple(tuple(of_one) for of_one in of_image),
        has_masks=bool(annotations) and all(one.get("segmentation") for one in annotations),
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def read_coco(path: Path) -> CocoFile:
    """Read and check an annotations file; the boxes are checked image by image, by `objects`.

    Raises:
        InputError: it cannot be read, or names images or categories that it does not list.
    """
    found = path.stat()
    if not path.is_file() or found.st_size > FILE_BYTES:
        raise InputError(f"{path} is no file of at most {FILE_BYTES >> 30} GB, so it is not read as annotations.")
    read = _read(path, (found.st_size, found.st_mtime_ns))
    if read.has_masks and any(_needs_pycocotools(one["segmentation"]) for of_one in read.of_image for one in of_one):
        coco_masks()
    return read


def _needs_pycocotools(segmentation: Any) -> bool:
    return not (isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), list))


def coco_masks() -> Any:
    """The module `pycocotools.mask`.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pycocotools.mask
    except ImportError:
        raise InputError(f"pycocotools reads COCO's masks and scores boxes, and it is not installed: {INSTALL}.") from None
    return pycocotools.mask


def _number(path: Path, entry: dict[str, Any], key: str, what: str) -> int:
    value = entry.get(key)
    if type(value) is not int or value < 0:
        raise InputError(f"{path}: {what} has the {key} {str(value)[:40]}, which is no whole number: correct it.")
    return value


def _is_number(value: Any) -> bool:
    """Whether it is a finite number; JSON also has whole numbers that no float holds."""
    return type(value) in (int, float) and abs(value) < 1e300


def _id(annotation: dict[str, Any]) -> str:
    return str(annotation.get("id"))[:40]


def _box(annotation: dict[str, Any], height: int, width: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, within the image."""
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        raise Broken(f"annotation {_id(annotation)} has no box of four numbers")
    left, top, wide, tall = box
    if wide <= 0 or tall <= 0:
        raise Broken(f"annotation {_id(annotation)} has a box of no area, {box}")
    right, bottom = left + wide, top + tall
    if min(left, top) < -BEYOND_PX or right > width + BEYOND_PX or bottom > height + BEYOND_PX:
        raise Broken(f"annotation {_id(annotation)} has the box {box}, which reaches out of the image of {width} x {height} px")
    clipped = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise Broken(f"annotation {_id(annotation)} has the box {box}, which lies outside the image of {width} x {height} px")
    return clipped


def _runs(annotation: dict[str, Any], height: int, width: int) -> np.ndarray:
    """Run lengths of a segmentation: of polygons as pycocotools draws them, else as they are."""
    of = annotation["segmentation"]
    fault = Broken(f"annotation {_id(annotation)} has a segmentation that is neither polygons nor run lengths of {width} x {height} px")
    counts = of.get("counts") if isinstance(of, dict) else None
    if isinstance(of, dict) and of.get("size") != [height, width]:
        raise fault
    if isinstance(counts, list):
        sound = all(type(one) is int and 0 <= one <= height * width for one in counts)  # larger ones could add up to anything
        runs = np.array(counts if sound else [], dtype=np.int64)
        if runs.sum() != height * width:
            raise fault
        return runs
    masks = coco_masks()
    try:
        if isinstance(counts, str):
            runs = runs_of_text(counts.encode("ascii"))
        else:
            farthest = FARTHEST_SIDES * max(height, width)
            if not all(len(part) >= 6 and len(part) % 2 == 0 and (np.abs(np.array(part, dtype=float)) <= farthest).all() for part in of):
                raise fault
            runs = runs_of_text(masks.merge(masks.frPyObjects(of, height, width))["counts"])
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError):
        raise fault from None
    if ((runs < 0) | (runs > height * width)).any() or runs.sum() != height * width:
        raise fault
    return runs


def runs_of_text(text: bytes) -> np.ndarray:
    """Decodes compressed RLE text of a mask, as pycocotools writes it (`rleFrString`), to int64 runs:
    five bits a character, and from the fourth run on the difference to the run before the last.
    """
    runs: list[int] = []
    value = bits = 0
    for character in text:
        part = character - 48
        value |= (part & 31) << bits
        bits += 5
        if part & 32:
            continue
        if part & 16:
            value -= 1 << bits
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = bits = 0
    return np.array(runs, dtype=np.int64)
