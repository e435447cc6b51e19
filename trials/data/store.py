"""The decoded-once image store: one memory-mapped uint8 array for each source, split and image
side, beside the data.

```
<data>/store/<source>@<side>/<split>/
    images.u8  labels.npy  masks.u8 (if there are any)  manifest.json  labels.sha256
    decode_report.json (if an image was skipped or converted)  verified.json (once its checksums held)
```
The folder takes its name by an atomic rename, so a half-made store is never read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from trials.data.checksum import verify, write_labels_sum
from trials.data.decode_report import FILE as REPORT
from trials.data.decode_report import DecodeReport, read_decode_report, shown_images
from trials.data.generated import GeneratedSource
from trials.data.manifest import FILE, FORMAT, read_labels, read_manifest
from trials.data.sources import get_source, list_split
from trials.errors import InputError

OnBroken = Literal["refuse", "skip"]
"""What to do with a split some of whose images cannot be decoded: nothing, or go on without those."""


@dataclass(frozen=True, kw_only=True)
class SplitInfo:
    """What is known of a split before anything is decoded."""

    images: int | None
    """How many there are; None where they are generated and never end."""
    classes: int
    has_masks: bool
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class ImageStore:
    """One split, decoded: `images` (N, S, S, 3) uint8, `labels` (N,) int64, `masks` (N, S, S) uint8
    or None.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None
    classes: tuple[str, ...]
    """A name for each number that a label can have."""
    fingerprint: str

    def __len__(self) -> int:
        return len(self.labels)


def describe_split(source: str, data: Path, split: str) -> SplitInfo:
    """Count, classes and fingerprint of a split, from its listing alone."""
    found = get_source(source)
    if isinstance(found, GeneratedSource):
        return SplitInfo(images=None, classes=len(found.classes), has_masks=found.has_masks, fingerprint=found.fingerprint(split))
    listing = list_split(source, data, split)
    return SplitInfo(images=len(listing), classes=len(listing.classes), has_masks=found.has_masks, fingerprint=listing.fingerprint)


def without_skipped(info: SplitInfo, root: Path, source: str, split: str, image_px: int) -> SplitInfo:
    """The split less the images that were left out of its store: what a plan that skips broken
    images counts on and is known by.

    Which images are broken is known once they are decoded, so a plan made before is made again
    after. `info` itself comes back where there is no store yet, where it was made from other files,
    or where nothing was left out of it.
    """
    found = read_decode_report(store_folder(root, source, split, image_px))
    if found is None or found.listing_fingerprint != info.fingerprint or found.listed != info.images or not found.skipped:
        return info
    return dataclasses.replace(info, images=found.images, fingerprint=found.fingerprint)


def store_folder(root: Path, source: str, split: str, image_px: int) -> Path:
    """Where the store of a split lies below the store root."""
    return root / f"{source.replace(':', '+').replace('/', '+')}@{image_px}" / split


def store_is_ready(root: Path, source: str, split: str, image_px: int, *, info: SplitInfo, images: int, broken: OnBroken = "refuse") -> bool:
    """Whether a store is there, whole, made from these very data, and holds what can be had of
    them, or at least `images` generated ones.
    """
    held = without_skipped(info, root, source, split, image_px) if broken == "skip" else info
    with contextlib.suppress(InputError):
        store = open_store(root, source, split, image_px, checksum="never")
        return store.fingerprint == held.fingerprint and len(store) >= (images if held.images is None else held.images)
    return False


def open_store(root: Path, source: str, split: str, image_px: int, *, checksum: Literal["never", "once", "always"] = "once") -> ImageStore:
    """Memory-map a store, after checking that its files are as long as its manifest says and hold
    what was written.

    Args:
        checksum: whether to compare with the checksums: `once` for each state of the files
            (`trials.data.checksum`).

    Raises:
        InputError: it is missing, of another format, or its files are not those that were written.
    """
    folder = store_folder(root, source, split, image_px)
    again = f"prepare it with: python -m trials.prepare {source} --from DIR --size {image_px}"
    manifest = read_manifest(folder, again)
    try:
        for name, expected in manifest.sizes().items():
            actual = (folder / name).stat().st_size if (folder / name).exists() else 0
            if actual != expected:
                raise InputError(f"{folder / name} holds {actual:,} bytes instead of {expected:,}: delete that folder and {again}.")
        labels = read_labels(folder, manifest)
        if labels is None:
            raise InputError(f"{folder / 'labels.npy'} does not hold the labels that the manifest counts: delete that folder and {again}.")
        if checksum != "never":
            verify(folder, manifest, again, anew=checksum == "always")
        shape = (manifest.images, manifest.image_px, manifest.image_px)
        return ImageStore(
            images=np.memmap(folder / "images.u8", np.uint8, "r", shape=(*shape, 3)),
            labels=labels,
            masks=np.memmap(folder / "masks.u8", np.uint8, "r", shape=shape) if manifest.has_masks else None,
            classes=manifest.class_names(),
            fingerprint=manifest.fingerprint,
        )
    except OSError as error:
        raise InputError(f"The image store {folder} cannot be read ({error}): delete that folder and {again}.") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; a second waits and then finds the store ready."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


Decoded = tuple[np.ndarray, int, np.ndarray | None]


def write_store(
    root: Path,
    source: str,
    split: str,
    image_px: int,
    *,
    info: SplitInfo,
    images: int,
    classes: tuple[str, ...],
    decoded: Callable[[DecodeReport], Iterator[Decoded]],
    broken: OnBroken = "refuse",
) -> Path:
    """Write a store from an iterator of (image, label, mask), unless a ready one appeared
    meanwhile.

    Args:
        decoded: called with the decode report to fill; images that it skips are not in what it yields.
    """
    folder = store_folder(root, source, split, image_px)
    try:
        with _locked(folder):
            if store_is_ready(root, source, split, image_px, info=info, images=images, broken=broken):
                return folder
            for left in folder.parent.glob(f".{folder.name}-building-*"):  # of a launch that was killed
                shutil.rmtree(left, ignore_errors=True)
            building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-building-", dir=folder.parent))
            outdated = building.with_name(building.name + "-outdated")
            try:
                report = DecodeReport(listing_fingerprint=info.fingerprint, listed=images)
                _fill(building, image_px, info.has_masks, classes, decoded(report), report)
                if folder.exists():  # moved aside, not emptied: a stage that has it open reads on
                    folder.rename(outdated)
                building.rename(folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
                shutil.rmtree(outdated, ignore_errors=True)
    except OSError as error:
        raise InputError(f"The image store {folder} could not be written ({error.strerror or error}): make room or allow writing there.") from error
    return folder


def _fill(folder: Path, side: int, has_masks: bool, classes: tuple[str, ...], decoded: Iterator[Decoded], report: DecodeReport) -> None:
    labels = np.empty(report.listed, dtype=np.int64)
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        image_file = stack.enter_context(open(folder / "images.u8", "wb"))
        mask_file = stack.enter_context(open(folder / "masks.u8", "wb")) if has_masks else None
        count = 0
        for image, label, mask in decoded:
            for handle, array in ((image_file, image), (mask_file, mask)):
                if handle is not None and array is not None:
                    handle.write(array.tobytes())
                    digest.update(array.tobytes())
            labels[count] = label
            count += 1
    assert count == report.images, f"{count} of {report.images} images were decoded"
    if not count:
        raise InputError(f"Every image was skipped, so there is nothing to train on: {shown_images(report.skipped)}. Unpack the data set anew.")
    labels = labels[:count]
    np.save(folder / "labels.npy", labels, allow_pickle=False)
    write_labels_sum(folder)
    report.write(folder / REPORT)
    manifest = {
        "format": FORMAT,
        "images": count,
        "image_px": side,
        "classes": list(classes),
        "images_per_class": np.bincount(labels, minlength=len(classes)).tolist(),
        "has_masks": has_masks,
        "fingerprint": report.fingerprint,
        "sha256": digest.hexdigest(),
    }
    (folder / FILE).write_text(json.dumps(manifest, indent=1) + "\n")
