"""The image store: whole images, decoded once, for each source, split and short side, beside the
data.

```
<data>/store/<source>@<short side>/<split>/
    images.u8  sizes.npy  labels.npy  masks.u8 (if there are any)  manifest.json  labels.sha256
    decode_report.json (if an image was skipped or converted)  verified.json (once its checksums held)
```
The folder takes its name by an atomic rename, so a half-made store is never read.

Images keep their aspect. A short side longer than the store's is brought down to it, antialiased;
smaller images stay as they are. Random crops are taken from these, so a store should hold more
pixels than a stage trains on: 8/7 of the side, unless a recipe says otherwise (`store_px`).

For data that are too large decoded, `<source>@<short side>-jpeg` holds JPEG files in images.jpeg
with their places in starts.npy: files as they are where their short side is small enough, else
encoded anew. Whoever reads a store need not know which it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from trials.data.checksum import check_regular, verify, write_labels_sum
from trials.data.decode_report import FILE as REPORT
from trials.data.decode_report import DecodeReport, read_decode_report, shown_images
from trials.data.generated import GeneratedSource
from trials.data.manifest import (
    FILE,
    FORMAT,
    IMAGE_FILES,
    SIZES,
    STARTS,
    Manifest,
    read_image_sizes,
    read_labels,
    read_manifest,
    read_starts,
    write_array,
)
from trials.data.mask_classes import TRIMAP
from trials.data.packed import Encoded, Images, Joined, open_packed
from trials.data.sources import get_source, list_split
from trials.errors import InputError
from trials.recipes.fields import Storage

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
    mask_classes: tuple[str, ...] = TRIMAP
    """Names of the classes of masks, if it has masks."""


@dataclass(frozen=True, kw_only=True)
class ImageStore:
    """One split: `images[i]` (H, W, 3) uint8 with sizes of their own, `labels` (N,) int64, and
    `masks[i]` (H, W) uint8, or None where the data have none.
    """

    images: Images
    labels: np.ndarray
    masks: Images | None
    classes: tuple[str, ...]
    """A name for each number that a label can have."""
    fingerprint: str
    mask_classes: tuple[str, ...] = TRIMAP
    """A name for each number that a mask can have besides 255, which counts for no class."""

    @property
    def sizes(self) -> np.ndarray:
        """(N, 2) heights and widths in pixels."""
        return self.images.sizes

    def __len__(self) -> int:
        return len(self.labels)


STORE_OVER_IMAGE = Fraction(8, 7)
"""Short side of a store over the image side of a stage, where nothing else is asked for: as 256 px
over 224.
"""


def stored_px(image_px: int, store_px: int) -> int:
    """The short side of the store that serves a stage: what its recipe asks for, or 8/7 of its
    image side.
    """
    return store_px or math.ceil(STORE_OVER_IMAGE * image_px)


def describe_split(source: str, data: Path, split: str) -> SplitInfo:
    """Count, classes and fingerprint of a split, from its listing alone."""
    found = get_source(source)
    if isinstance(found, GeneratedSource):
        return SplitInfo(
            images=None,
            classes=len(found.classes),
            has_masks=found.has_masks,
            fingerprint=found.fingerprint(split),
            mask_classes=found.mask_classes,
        )
    listing = list_split(source, data, split)
    return SplitInfo(
        images=len(listing),
        classes=len(listing.classes),
        has_masks=found.has_masks and bool(listing.mask_classes),
        fingerprint=listing.fingerprint,
        mask_classes=listing.mask_classes,
    )


def without_skipped(info: SplitInfo, root: Path, source: str, split: str, store_px: int, storage: Storage = "pixels") -> SplitInfo:
    """The split less the images that were left out of its store: what a plan that skips broken
    images counts on and is known by.

    Which images are broken is known once they are decoded, so a plan made before is made again
    after. `info` itself comes back where there is no store yet, where it was made from other files,
    or where nothing was left out of it.
    """
    found = read_decode_report(store_folder(root, source, split, store_px, storage))
    if found is None or found.listing_fingerprint != info.fingerprint or found.listed != info.images or not found.skipped:
        return info
    return dataclasses.replace(info, images=found.images, fingerprint=found.fingerprint)


def store_folder(root: Path, source: str, split: str, store_px: int, storage: Storage = "pixels") -> Path:
    """Where the store of a split lies below the store root."""
    form = "" if storage == "pixels" else f"-{storage}"
    return root / f"{source.replace(':', '+').replace('/', '+')}@{store_px}{form}" / split


def store_is_ready(
    root: Path,
    source: str,
    split: str,
    store_px: int,
    storage: Storage = "pixels",
    *,
    info: SplitInfo,
    images: int,
    broken: OnBroken = "refuse",
) -> bool:
    """Whether a store is there, whole, made from these very data, and holds what can be had of
    them, or at least `images` generated ones.
    """
    held = without_skipped(info, root, source, split, store_px, storage) if broken == "skip" else info
    with contextlib.suppress(InputError):
        store = open_store(root, source, split, store_px, storage, checksum="never")
        return store.fingerprint == held.fingerprint and len(store) >= (images if held.images is None else held.images)
    return False


def open_store(
    root: Path,
    source: str,
    split: str,
    store_px: int,
    storage: Storage = "pixels",
    *,
    checksum: Literal["never", "once", "always"] = "once",
) -> ImageStore:
    """Memory-map a store, after checking that its files are as long as its manifest says and hold
    what was written.

    Args:
        store_px: the store's short side.
        checksum: whether to compare with the checksums: `once` for each state of the files
            (`trials.data.checksum`).

    Raises:
        InputError: it is missing, of another format, or its files are not those that were written.
    """
    folder = store_folder(root, source, split, store_px, storage)
    again = f"prepare it with: python -m trials.prepare {source} --from DIR --store-px {store_px}"
    again += "" if storage == "pixels" else f" --storage {storage}"
    manifest = read_manifest(folder, again)
    try:
        check_regular(folder)
        for name, expected in manifest.sizes().items():
            actual = (folder / name).stat().st_size if (folder / name).exists() else 0
            if actual != expected:
                raise InputError(f"{folder / name} holds {actual:,} bytes instead of {expected:,}: delete that folder and {again}.")
        labels = read_labels(folder, manifest)
        if labels is None:
            raise InputError(f"{folder / 'labels.npy'} does not hold the labels that the manifest counts: delete that folder and {again}.")
        sizes = read_image_sizes(folder, manifest)
        starts = read_starts(folder, manifest) if manifest.storage == "jpeg" else None
        if sizes is None or (starts is None and manifest.storage == "jpeg"):
            raise InputError(f"The sizes of the images in {folder} are not those that the manifest counts: delete that folder and {again}.")
        if checksum != "never":
            verify(folder, manifest, again, anew=checksum == "always")
        images: Images = open_packed(folder / manifest.image_file, sizes, (3,)) if starts is None else _encoded(folder, manifest, starts, sizes)
        return ImageStore(
            images=images,
            labels=labels,
            masks=open_packed(folder / "masks.u8", sizes, ()) if manifest.has_masks else None,
            classes=manifest.class_names(),
            fingerprint=manifest.fingerprint,
            mask_classes=manifest.mask_classes,
        )
    except OSError as error:
        raise InputError(f"The image store {folder} cannot be read ({error}): delete that folder and {again}.") from error


def _encoded(folder: Path, manifest: Manifest, starts: np.ndarray, sizes: np.ndarray) -> Encoded:
    return Encoded(np.memmap(folder / manifest.image_file, np.uint8, "r"), starts, sizes)


def joined_stores(first: ImageStore, second: ImageStore) -> ImageStore:
    """The images of two splits of one source, one after the other."""
    masks = None if first.masks is None or second.masks is None else Joined(first.masks, second.masks)
    return ImageStore(
        images=Joined(first.images, second.images),
        labels=np.concatenate([first.labels, second.labels]),
        masks=masks,
        classes=max(first.classes, second.classes, key=len),
        mask_classes=first.mask_classes,
        fingerprint=f"{first.fingerprint}+{second.fingerprint}",
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; a second waits and then finds the store ready."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


Decoded = tuple[np.ndarray, int, np.ndarray | None]
"""An image (H, W, 3) uint8, its class, and its mask (H, W) uint8 if the source carries masks."""


@dataclass(frozen=True, kw_only=True)
class JpegFile:
    """An image as the bytes of a JPEG file, with its size in pixels."""

    data: bytes
    height: int
    width: int


Stored = tuple[np.ndarray | JpegFile, int, np.ndarray | None]
"""As `Decoded`, the image as a store of that storage holds it."""


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
) -> Path:
    """Write a store from an iterator of (image, label, mask), unless a ready one appeared
    meanwhile.

    Args:
        decoded: called with the decode report to fill; images that it skips are not in what it yields.
    """
    folder = store_folder(root, source, split, store_px, storage)
    try:
        with _locked(folder):
            if store_is_ready(root, source, split, store_px, storage, info=info, images=images, broken=broken):
                return folder
            for left in folder.parent.glob(f".{folder.name}-building-*"):  # of a launch that was killed
                shutil.rmtree(left, ignore_errors=True)
            building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-building-", dir=folder.parent))
            outdated = building.with_name(building.name + "-outdated")
            try:
                report = DecodeReport(listing_fingerprint=info.fingerprint, listed=images)
                _fill(building, store_px, storage, info, classes, decoded(report), report)
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
    folder: Path, store_px: int, storage: Storage, info: SplitInfo, classes: tuple[str, ...], decoded: Iterator[Stored], report: DecodeReport
) -> None:
    labels, sizes = np.empty(report.listed, dtype=np.int64), np.empty((report.listed, 2), dtype=np.int64)
    starts = np.zeros(report.listed + 1, dtype=np.int64)
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        image_file = stack.enter_context(open(folder / IMAGE_FILES[storage], "wb"))
        mask_file = stack.enter_context(open(folder / "masks.u8", "wb")) if info.has_masks else None
        count = 0
        for image, label, mask in decoded:
            data = image.data if isinstance(image, JpegFile) else image.tobytes()
            for handle, part in ((image_file, data), (mask_file, None if mask is None else mask.tobytes())):
                if handle is not None and part is not None:
                    handle.write(part)
                    digest.update(part)
            labels[count], starts[count + 1] = label, starts[count] + len(data)
            sizes[count] = (image.height, image.width) if isinstance(image, JpegFile) else image.shape[:2]
            count += 1
    assert count == report.images, f"{count} of {report.images} images were decoded"
    if not count:
        raise InputError(f"Every image was skipped, so there is nothing to train on: {shown_images(report.skipped)}. Unpack the data set anew.")
    labels, sizes, starts = labels[:count], sizes[:count], starts[: count + 1]
    arrays = {SIZES: sizes} | ({STARTS: starts} if storage == "jpeg" else {})
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
        "image_bytes": int(starts[-1]),
        "classes": list(classes),
        "images_per_class": np.bincount(labels, minlength=len(classes)).tolist(),
        "has_masks": info.has_masks,
        "fingerprint": report.fingerprint,
        "sha256": digest.hexdigest(),
    }
    if info.has_masks and info.mask_classes != TRIMAP:
        manifest["mask_classes"] = list(info.mask_classes)
    (folder / FILE).write_text(json.dumps(manifest, indent=1) + "\n")
