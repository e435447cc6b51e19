"""Writing an image store (`trials.data.store` says what is in one, and reads it)."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trials.data.checksum import write_labels_sum
from trials.data.decode_report import FILE as REPORT
from trials.data.decode_report import DecodeReport, shown_images
from trials.data.instances import Instances
from trials.data.manifest import FILE, FORMAT, IMAGE_FILES, INSTANCES, NUMBERS, RUNS, SIZES, STARTS, write_array
from trials.data.mask_classes import TRIMAP
from trials.data.original_files import place_of
from trials.data.store import OnBroken, SplitInfo, store_folder, store_is_ready
from trials.data.stored_instances import arrays_of
from trials.errors import InputError
from trials.recipes.fields import Storage


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; a second waits and then finds the store ready."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, kw_only=True)
class JpegFile:
    """An image as the bytes of a JPEG file, with its size in pixels."""

    data: bytes
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class OriginalFile:
    """An image that stays in its own file, with the size in pixels that it will be read at."""

    number: int
    """In the listing of its source."""
    height: int
    width: int


class Stored(NamedTuple):
    """One image as a store holds it, with what its source carries."""

    image: np.ndarray | JpegFile | OriginalFile
    """(H, W, 3) uint8, or its file."""
    label: int
    mask: np.ndarray | None = None
    """(H, W) uint8 class numbers."""
    instances: Instances | None = None
    """Its objects, in pixels of this image."""


def write_store(
    root: Path,
    source: str,
    split: str,
    store_px: int,
    storage: Storage = "pixels",
    *,
    info: SplitInfo,
    images: int,
    classes: tuple[str, ...],
    decoded: Callable[[DecodeReport], Iterator[Stored]],
    broken: OnBroken = "refuse",
    data: Path | None = None,
) -> Path:
    """Write a store from an iterator of images, unless a ready one appeared meanwhile.

    Args:
        data: folder that holds the data set, for a store of none of its images.
        decoded: called with the decode report to fill; images that it skips are not in what it yields.
    """
    folder = store_folder(root, source, split, store_px, storage)
    try:
        with _locked(folder):
            if store_is_ready(root, source, split, store_px, storage, info=info, images=images, broken=broken):
                return folder
            for left in folder.parent.glob(f".{folder.name}-building-*"):  # of a launch that was killed
                shutil.rmtree(left, ignore_errors=True)
            building = folder.with_name(f".{folder.name}-building-{os.urandom(4).hex()}")
            building.mkdir()  # with the rights of any folder; a temporary one would be closed to a shared store's other users
            outdated = building.with_name(building.name + "-outdated")
            try:
                report = DecodeReport(listing_fingerprint=info.fingerprint, listed=images)
                _fill(building, store_px, storage, info, classes, decoded(report), report, data)
                if folder.exists():  # moved aside, not emptied: a stage that has it open reads on
                    folder.rename(outdated)
                building.rename(folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
                shutil.rmtree(outdated, ignore_errors=True)
    except OSError as error:
        raise InputError(f"The image store {folder} could not be written ({error.strerror or error}): make room or allow writing there.") from error
    return folder


def _fill(
    folder: Path,
    store_px: int,
    storage: Storage,
    info: SplitInfo,
    classes: tuple[str, ...],
    decoded: Iterator[Stored],
    report: DecodeReport,
    data_folder: Path | None,
) -> None:
    labels, sizes = np.empty(report.listed, dtype=np.int64), np.empty((report.listed, 2), dtype=np.int64)
    numbers = np.zeros(report.listed, dtype=np.int64)
    starts = np.zeros(report.listed + 1, dtype=np.int64)
    digest = hashlib.sha256()
    objects: list[Instances] = []
    with contextlib.ExitStack() as stack:
        image_file = stack.enter_context(open(folder / IMAGE_FILES[storage], "wb"))
        mask_file = stack.enter_context(open(folder / "masks.u8", "wb")) if info.has_masks else None
        count = 0
        for image, label, mask, instances in decoded:
            if isinstance(image, OriginalFile):
                data, numbers[count] = b"", image.number
            else:
                data = image.data if isinstance(image, JpegFile) else image.tobytes()
            for handle, part in ((image_file, data), (mask_file, None if mask is None else mask.tobytes())):
                if handle is not None and part is not None:
                    handle.write(part)
                    digest.update(part)
            labels[count], starts[count + 1] = label, starts[count] + len(data)
            sizes[count] = image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
            objects += [] if instances is None else [instances]
            count += 1
        if data_folder is not None and storage == "files":
            place = place_of(data_folder, info.fingerprint)
            image_file.write(place)
            digest.update(place)
    assert count == report.images, f"{count} of {report.images} images were decoded"
    if not count:
        raise InputError(f"Every image was skipped, so there is nothing to train on: {shown_images(report.skipped)}. Unpack the data set anew.")
    labels, sizes, starts = labels[:count], sizes[:count], starts[: count + 1]
    own = {"jpeg": {STARTS: starts}, "files": {NUMBERS: numbers[:count]}}.get(storage, {})
    arrays = {SIZES: sizes} | own | (arrays_of(objects) if info.instance_classes else {})
    for name, values in arrays.items():
        write_array(folder / name, values)
        digest.update(values.tobytes())
    write_array(folder / "labels.npy", labels)
    write_labels_sum(folder)
    report.write(folder / REPORT)
    manifest = {
        "format": FORMAT,
        "images": count,
        "store_px": store_px,
        "storage": storage,
        "pixels": int(sizes.prod(axis=1).sum()),
        "image_bytes": (folder / IMAGE_FILES[storage]).stat().st_size,
        "classes": list(classes),
        "images_per_class": np.bincount(labels, minlength=len(classes)).tolist(),
        "has_masks": info.has_masks,
        "fingerprint": report.fingerprint,
        "sha256": digest.hexdigest(),
    }
    if info.has_masks and info.mask_classes != TRIMAP:
        manifest["mask_classes"] = list(info.mask_classes)
    if info.instance_classes:
        manifest |= {"instance_classes": list(info.instance_classes), "instances": len(arrays[INSTANCES]), "runs": len(arrays[RUNS])}
    (folder / FILE).write_text(json.dumps(manifest, indent=1) + "\n")
