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
IMAGE_FILES: dict[str, str] = {"pixels": "images.u8", "jpeg": "images.jpeg"}
SIZES, STARTS = "sizes.npy", "starts.npy"


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

    @property
    def image_file(self) -> str:
        """Name of the file that holds the images."""
        return IMAGE_FILES[self.storage]

    @property
    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Shape of each int64 array that says where an image lies and how large it is."""
        return {SIZES: (self.images, 2)} | ({STARTS: (self.images + 1,)} if self.storage == "jpeg" else {})

    def sizes(self) -> dict[str, int]:
        """Bytes of each file of images and masks, and of the arrays that say where each lies."""
        files = {self.image_file: self.image_bytes} | ({"masks.u8": self.pixels} if self.has_masks else {})
        return files | {name: len(array_header(shape)) + 8 * math.prod(shape) for name, shape in self.arrays.items()}

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
    labels = _read_array(folder / "labels.npy", (manifest.images,))
    if labels is None or labels.min() < 0 or labels.max() >= len(manifest.images_per_class):
        return None
    return labels if np.bincount(labels, minlength=len(manifest.images_per_class)).tolist() == list(manifest.images_per_class) else None


def read_image_sizes(folder: Path, manifest: Manifest) -> np.ndarray | None:
    """(N, 2) int64 heights and widths; None where the file is not what the manifest counts."""
    sizes = _read_array(folder / SIZES, (manifest.images, 2))
    # no side is longer than all pixels, so no product below can be too large for int64
    if sizes is None or sizes.min() < 1 or sizes.max() > min(manifest.pixels, MOST_SIDE):
        return None
    return sizes if int(sizes.prod(axis=1).sum()) == manifest.pixels else None


def read_starts(folder: Path, manifest: Manifest) -> np.ndarray | None:
    """(N + 1,) int64: where each encoded image begins, and the end; None where the file is not what
    the manifest counts.
    """
    starts = _read_array(folder / STARTS, (manifest.images + 1,))
    if starts is None or starts[0] != 0 or starts[-1] != manifest.image_bytes or (np.diff(starts) < 1).any():
        return None
    return starts


def write_array(path: Path, values: np.ndarray) -> None:
    """Write int64 numbers as `np.save` does."""
    np.save(path, values.astype(np.int64), allow_pickle=False)


def _read_array(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    header = array_header(shape)
    with open(path, "rb") as handle:
        if handle.read(len(header)) != header:
            return None
        # nothing is allocated for what a damaged file merely claims
        if path.stat().st_size != len(header) + 8 * math.prod(shape):
            return None
        values = np.fromfile(handle, dtype=np.int64)
    return values.reshape(shape) if values.size == math.prod(shape) else None


def array_header(shape: tuple[int, ...]) -> bytes:
    """What `np.save` writes before int64 numbers: no other header is ours, so none need be parsed."""
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": "<i8", "fortran_order": False, "shape": shape})
    return written.getvalue()
