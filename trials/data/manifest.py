"""The manifest of an image store, read with suspicion: whatever the file holds, it is a manifest or
one sentence.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trials.errors import InputError

FORMAT = 1
FILE = "manifest.json"
FILE_BYTES = 64 << 20
MOST_IMAGES = 1 << 40
MOST_PX = 1 << 16
# what np.save writes before the labels: no other header is ours, so none need be parsed
_LABELS = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.int64)), "fortran_order": False}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a store says of itself."""

    images: int
    image_px: int
    classes: tuple[str, ...]
    images_per_class: tuple[int, ...]
    has_masks: bool
    fingerprint: str
    sha256: str
    """Of the pixels: each image followed by its mask, in order."""

    def sizes(self) -> dict[str, int]:
        """Bytes of each pixel file."""
        pixels = self.images * self.image_px * self.image_px
        return {"images.u8": 3 * pixels} | ({"masks.u8": pixels} if self.has_masks else {})

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
        raise InputError(f"The image store {folder} is of another version: {remedy}.")
    wrong = _wrong(values)
    if wrong:
        raise InputError(f"The manifest {path} makes no sense ({wrong}): {remedy}.")
    return Manifest(
        images=values["images"],
        image_px=values["image_px"],
        classes=tuple(values["classes"]),
        images_per_class=tuple(values["images_per_class"]),
        has_masks=values["has_masks"],
        fingerprint=values["fingerprint"],
        sha256=values["sha256"],
    )


def _wrong(values: Any) -> str:
    """What is wrong with a manifest, in a few words; '' if nothing is."""
    if not isinstance(values, dict):
        return "it is no JSON object"
    counts = values.get("images_per_class")
    checks = {
        "images": _is_count(values.get("images"), 1, MOST_IMAGES),
        "image_px": _is_count(values.get("image_px"), 1, MOST_PX),
        "classes": isinstance(values.get("classes"), list) and all(isinstance(name, str) for name in values["classes"]),
        "images_per_class": isinstance(counts, list) and all(_is_count(one, 0, MOST_IMAGES) for one in counts),
        "has_masks": isinstance(values.get("has_masks"), bool),
        "fingerprint": isinstance(values.get("fingerprint"), str),
        "sha256": isinstance(values.get("sha256"), str) and re.fullmatch("[0-9a-f]{64}", values["sha256"]) is not None,
    }
    for key, fine in checks.items():
        if not fine:
            return f"{key} is missing" if key not in values else f"{key} cannot be what it says"
    if sum(values["images_per_class"]) != values["images"]:
        return "images_per_class does not add up to images"
    return "" if len(values["images_per_class"]) >= len(values["classes"]) else "images_per_class is shorter than classes"


def _is_count(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most  # True is an int as well, and no count


def read_labels(folder: Path, manifest: Manifest) -> np.ndarray | None:
    """The labels, (N,) int64; None where the file is not what the manifest counts."""
    header = _labels_header(manifest.images)
    with open(folder / "labels.npy", "rb") as handle:
        if handle.read(len(header)) != header:
            return None
        # nothing is allocated for what a damaged file merely claims
        if (folder / "labels.npy").stat().st_size != len(header) + 8 * manifest.images:
            return None
        labels = np.fromfile(handle, dtype=np.int64)
    if len(labels) != manifest.images or labels.min() < 0 or labels.max() >= len(manifest.images_per_class):
        return None
    return labels if np.bincount(labels, minlength=len(manifest.images_per_class)).tolist() == list(manifest.images_per_class) else None


def _labels_header(images: int) -> bytes:
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, _LABELS | {"shape": (images,)})
    return written.getvalue()
