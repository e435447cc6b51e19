"""The manifest of an image store, read with suspicion: whatever the file holds, it is a manifest or
one sentence.
"""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trials.data.mask_classes import MOST_CLASSES, TRIMAP
from trials.errors import InputError
from trials.recipes.fields import Storage

FORMAT = 2
"""Version 1 held images already cut to squares of the output's side, which cannot be made whole."""
FILE = "manifest.json"
FILE_BYTES = 64 << 20
MOST_IMAGES = 1 << 40
MOST_PX = 1 << 16
MOST_BYTES = 1 << 56
MOST_SIDE = 1 << 28
IMAGE_FILES: dict[str, str] = {"pixels": "images.u8", "jpeg": "images.jpeg", "files": "files.json"}
"""What holds the images, by storage; of `files` it holds where they are read from."""
SIZES, STARTS, NUMBERS = "sizes.npy", "starts.npy", "numbers.npy"
"""Height and width of each image; where each JPEG file begins, and the end; the number that each has
in the listing of its source, where images are read from their own files.
"""
INSTANCE_STARTS, INSTANCES, BOXES = "instance_starts.npy", "instances.npy", "boxes.npy"
"""Of images with objects: where those of each image begin, and the end; class and 1 for a crowd; left,
top, right and bottom.
"""
RUN_STARTS, RUNS = "run_starts.npy", "runs.npy"
"""Where the run lengths of each object's mask begin, and the end; the run lengths."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a store says of itself."""

    images: int
    store_px: int
    """The short side of the images, except of those whose files are smaller: these are as they are."""
    storage: Storage
    pixels: int
    """Of all images together."""
    image_bytes: int
    """Of the file that holds the images."""
    classes: tuple[str, ...]
    images_per_class: tuple[int, ...]
    has_masks: bool
    fingerprint: str
    sha256: str
    """Of each image followed by its mask, in order, then of the arrays that say where each lies."""
    mask_classes: tuple[str, ...] = TRIMAP
    """Names of the classes of masks."""
    instance_classes: tuple[str, ...] = ()
    """Names of the classes of objects; none where the images have no boxes."""
    instances: int = 0
    """Objects in all images together."""
    runs: int = 0
    """Run lengths of all their masks; 0 where they have none."""

    @property
    def image_file(self) -> str:
        """Name of the file that holds the images."""
        return IMAGE_FILES[self.storage]

    @property
    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array that says where an image lies, how large it is and which objects it has.
        Boxes are float64, all others int64.
        """
        own: dict[str, dict[str, tuple[int, ...]]] = {"jpeg": {STARTS: (self.images + 1,)}, "files": {NUMBERS: (self.images,)}}
        found: dict[str, tuple[int, ...]] = {SIZES: (self.images, 2)} | own.get(self.storage, {})
        if not self.instance_classes:
            return found
        of_masks = {RUN_STARTS: (self.instances + 1,), RUNS: (self.runs,)}
        return found | {INSTANCE_STARTS: (self.images + 1,), INSTANCES: (self.instances, 2), BOXES: (self.instances, 4)} | of_masks

    def sizes(self) -> dict[str, int]:
        """Bytes of each file of images and masks, and of the arrays that say where each lies."""
        files = {self.image_file: self.image_bytes} | ({"masks.u8": self.pixels} if self.has_masks else {})
        return files | {name: len(array_header(shape, dtype_of(name))) + 8 * math.prod(shape) for name, shape in self.arrays.items()}

    def class_names(self) -> tuple[str, ...]:
        """One name for each class number that the labels use.

        A trimmed copy of the pets lacks breeds, and only those that are there have a name: they are
        named in order, the others by number.
        """
        counts = self.images_per_class
        if len(counts) <= len(self.classes):
            return self.classes
        names = [f"class {number}" for number in range(len(counts))]
        used = [number for number, count in enumerate(counts) if count]
        if len(used) == len(self.classes):
            for number, name in zip(used, self.classes, strict=True):
                names[number] = name
        return tuple(names)


def read_manifest(folder: Path, again: str) -> Manifest:
    """The manifest of the store in a folder.

    Args:
        again: what to do to have the store anew, for the message.

    Raises:
        InputError: it is missing, cannot be read, is of another format or makes no sense.
    """
    path = folder / FILE
    remedy = f"delete that folder and {again}"
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"The manifest of the image store {folder} is no regular file: {remedy}.")
        if path.stat().st_size > FILE_BYTES:
            raise InputError(f"The manifest of the image store {folder} holds {path.stat().st_size:,} bytes, which none of ours does: {remedy}.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"No image store in {folder}: {again}.") from None
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"The manifest of the image store {folder} cannot be read ({error}): {remedy}.") from None
    if isinstance(values, dict) and values.get("format") != FORMAT:
        older = ", whose images are already cut to squares" if values.get("format") == 1 else ""
        raise InputError(f"The image store {folder} is of another version{older}: {remedy}.")
    wrong = _wrong(values)
    if wrong:
        raise InputError(f"The manifest {path} makes no sense ({wrong}): {remedy}.")
    return Manifest(
        images=values["images"],
        store_px=values["store_px"],
        storage=values["storage"],
        pixels=values["pixels"],
        image_bytes=values["image_bytes"],
        classes=tuple(values["classes"]),
        images_per_class=tuple(values["images_per_class"]),
        has_masks=values["has_masks"],
        fingerprint=values["fingerprint"],
        sha256=values["sha256"],
        mask_classes=tuple(values.get("mask_classes", TRIMAP)),
        instance_classes=tuple(values.get("instance_classes", ())),
        instances=values.get("instances", 0),
        runs=values.get("runs", 0),
    )


def _wrong(values: Any) -> str:
    """What is wrong with a manifest, in a few words; '' if nothing is."""
    if not isinstance(values, dict):
        return "it is no JSON object"
    counts = values.get("images_per_class")
    checks = {
        "images": _is_count(values.get("images"), 1, MOST_IMAGES),
        "store_px": _is_count(values.get("store_px"), 1, MOST_PX),
        "storage": isinstance(values.get("storage"), str) and values["storage"] in IMAGE_FILES,
        "pixels": _is_count(values.get("pixels"), 1, MOST_BYTES),
        "image_bytes": _is_count(values.get("image_bytes"), 1, MOST_BYTES),
        "classes": isinstance(values.get("classes"), list) and all(isinstance(name, str) for name in values["classes"]),
        "images_per_class": isinstance(counts, list) and all(_is_count(one, 0, MOST_IMAGES) for one in counts),
        "has_masks": isinstance(values.get("has_masks"), bool),
        "fingerprint": isinstance(values.get("fingerprint"), str),
        "sha256": isinstance(values.get("sha256"), str) and re.fullmatch("[0-9a-f]{64}", values["sha256"]) is not None,
    }
    if "mask_classes" in values:  # a store of trimaps has none
        names = values["mask_classes"]
        checks["mask_classes"] = isinstance(names, list) and 1 <= len(names) <= MOST_CLASSES and all(isinstance(name, str) for name in names)
    if "instance_classes" in values:
        names = values["instance_classes"]
        checks["instance_classes"] = isinstance(names, list) and len(names) >= 1 and all(isinstance(name, str) for name in names)
        checks |= {key: _is_count(values.get(key), 0, MOST_BYTES) for key in ("instances", "runs")}
    for key, fine in checks.items():
        if not fine:
            return f"{key} is missing" if key not in values else f"{key} cannot be what it says"
    if values["storage"] == "pixels" and values["image_bytes"] != 3 * values["pixels"]:
        return "image_bytes is not 3 bytes a pixel"
    if sum(values["images_per_class"]) != values["images"]:
        return "images_per_class does not add up to images"
    return "" if len(values["images_per_class"]) >= len(values["classes"]) else "images_per_class is shorter than classes"


def _is_count(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most  # True is an int as well, and no count


def read_labels(folder: Path, manifest: Manifest) -> np.ndarray | None:
    """The labels, (N,) int64; None where the file is not what the manifest counts."""
    labels = read_array(folder / "labels.npy", (manifest.images,))
    if labels is None or labels.min() < 0 or labels.max() >= len(manifest.images_per_class):
        return None
    return labels if np.bincount(labels, minlength=len(manifest.images_per_class)).tolist() == list(manifest.images_per_class) else None


def read_image_sizes(folder: Path, manifest: Manifest) -> np.ndarray | None:
    """(N, 2) int64 heights and widths; None where the file is not what the manifest counts."""
    sizes = read_array(folder / SIZES, (manifest.images, 2))
    # no side is longer than all pixels, so no product below can be too large for int64
    if sizes is None or sizes.min() < 1 or sizes.max() > min(manifest.pixels, MOST_SIDE):
        return None
    return sizes if int(sizes.prod(axis=1).sum()) == manifest.pixels else None


def read_starts(folder: Path, manifest: Manifest) -> np.ndarray | None:
    """(N + 1,) int64: where each encoded image begins, and the end; None where the file is not what
    the manifest counts.
    """
    starts = read_array(folder / STARTS, (manifest.images + 1,))
    if starts is None or starts[0] != 0 or starts[-1] != manifest.image_bytes or (np.diff(starts) < 1).any():
        return None
    return starts


def read_numbers(folder: Path, manifest: Manifest) -> np.ndarray | None:
    """(N,) int64: the number of each image in the listing of its source, ascending; None where the
    file is not what the manifest counts.
    """
    numbers = read_array(folder / NUMBERS, (manifest.images,))
    return None if numbers is None or numbers[0] < 0 or (np.diff(numbers) < 1).any() else numbers


def write_array(path: Path, values: np.ndarray) -> None:
    """Write int64 numbers, or float64 ones, as `np.save` does."""
    np.save(path, values.astype(np.float64 if values.dtype.kind == "f" else np.int64), allow_pickle=False)


def dtype_of(name: str) -> np.dtype[Any]:
    """The type of the numbers in an array of a store."""
    return np.dtype("<f8" if name == BOXES else "<i8")


def read_array(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """An array of a store; None where the file does not hold one of that shape."""
    dtype = dtype_of(path.name)
    header, count = array_header(shape, dtype), math.prod(shape)
    with open(path, "rb") as handle:
        if handle.read(len(header)) != header:
            return None
        # nothing is allocated for what a damaged file merely claims
        if path.stat().st_size != len(header) + 8 * count:
            return None
        if path.name == RUNS and count > 0:  # a gigabyte of all of COCO
            return np.memmap(path, dtype, "r", offset=len(header), shape=shape)
        values = np.fromfile(handle, dtype=dtype)
    return values.reshape(shape) if values.size == count else None


def array_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """The .npy header of an array of this shape and type, as `np.save` writes it. A stored file must
    begin with exactly these bytes, so that no header from a file is parsed.
    """
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    return written.getvalue()
