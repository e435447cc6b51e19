"""The image store: whole images, decoded once, for each source, split and short side, beside the
data.

```
<data>/store/<source>@<short side>/<split>/
    images.u8  sizes.npy  labels.npy  masks.u8 (if there are any)  manifest.json  labels.sha256
    instances.npy  instance_starts.npy  boxes.npy  runs.npy  run_starts.npy (if there are boxes)
    decode_report.json (if an image was skipped or converted)  verified.json (once its checksums held)
```
The folder takes its name by an atomic rename, so a half-made store is never read.

Images keep their aspect. A short side longer than the store's is brought down to it, antialiased;
smaller images stay as they are. Random crops are taken from these, so a store should hold more
pixels than a stage trains on: 8/7 of the side, unless a recipe says otherwise (`store_px`).

For data that are too large decoded, `<source>@<short side>-jpeg` holds JPEG files in images.jpeg
with their places in starts.npy: files as they are where their short side is small enough, else
encoded anew. For data that are too large to copy, `<source>@<short side>-files` holds no image at
all: files.json says where they are, numbers.npy which of the listed ones they are, and each is
decoded from its own file whenever it is needed. Whoever reads a store need not know which it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from trials.data.checksum import check_regular, verify
from trials.data.decode_report import read_decode_report
from trials.data.generated import GeneratedSource
from trials.data.instances import Instances
from trials.data.manifest import (
    read_image_sizes,
    read_labels,
    read_manifest,
    read_numbers,
    read_starts,
)
from trials.data.mask_classes import TRIMAP
from trials.data.original_files import OriginalFiles, read_place
from trials.data.packed import Encoded, Images, Joined, open_packed
from trials.data.sources import get_source, list_split
from trials.data.stored_instances import read_instances
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
    instance_classes: tuple[str, ...] = ()
    """Names of the classes of objects; none where it has no boxes."""
    has_instance_masks: bool = False
    """Whether each object has a mask besides its box."""


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
    instances: Sequence[Instances] | None = None
    """The objects of each image, or None where the data have no boxes."""
    instance_classes: tuple[str, ...] = ()
    """A name for each class number of an object."""
    has_instance_masks: bool = False
    """Whether each object has a mask besides its box."""

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
FILE_SHORT_PX = 512
"""Short side that files are taken to have in estimates, where a store keeps more than that."""


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
            instance_classes=found.instance_classes,
            has_instance_masks="instance-masks" in found.carries,
        )
    listing = list_split(source, data, split)
    return SplitInfo(
        images=len(listing),
        classes=len(listing.classes),
        has_masks=found.has_masks and bool(listing.mask_classes),
        fingerprint=listing.fingerprint,
        mask_classes=listing.mask_classes,
        instance_classes=listing.instance_classes,
        has_instance_masks=listing.has_instance_masks,
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
        numbers = read_numbers(folder, manifest) if manifest.storage == "files" else None
        if sizes is None or (manifest.storage != "pixels" and starts is None and numbers is None):
            raise InputError(f"The sizes of the images in {folder} are not those that the manifest counts: delete that folder and {again}.")
        if checksum != "never":
            verify(folder, manifest, again, anew=checksum == "always")
        instances = read_instances(folder, manifest, sizes) if manifest.instance_classes else None
        if instances is None and manifest.instance_classes:
            raise InputError(f"The objects of the images in {folder} are not those that the manifest counts: delete that folder and {again}.")
        images: Images
        if numbers is not None:
            images = OriginalFiles(read_place(folder / manifest.image_file, again), source, split, numbers, sizes, store_px)
        elif starts is not None:
            images = Encoded(np.memmap(folder / manifest.image_file, np.uint8, "r"), starts, sizes)
        else:
            images = open_packed(folder / manifest.image_file, sizes, (3,))
        return ImageStore(
            images=images,
            labels=labels,
            masks=open_packed(folder / "masks.u8", sizes, ()) if manifest.has_masks else None,
            classes=manifest.class_names(),
            fingerprint=manifest.fingerprint,
            mask_classes=manifest.mask_classes,
            instances=instances,
            instance_classes=manifest.instance_classes,
            has_instance_masks=manifest.runs > 0,
        )
    except OSError as error:
        raise InputError(f"The image store {folder} cannot be read ({error}): delete that folder and {again}.") from error


def joined_stores(first: ImageStore, second: ImageStore) -> ImageStore:
    """The images of two splits of one source, one after the other."""
    masks = None if first.masks is None or second.masks is None else Joined(first.masks, second.masks)
    return ImageStore(
        images=Joined(first.images, second.images),
        labels=np.concatenate([first.labels, second.labels]),
        masks=masks,
        classes=max(first.classes, second.classes, key=len),
        mask_classes=first.mask_classes,
        instances=None if first.instances is None or second.instances is None else [*first.instances, *second.instances],
        instance_classes=first.instance_classes,
        has_instance_masks=first.has_instance_masks and second.has_instance_masks,
        fingerprint=f"{first.fingerprint}+{second.fingerprint}",
    )
