"""The decoded-once image store: one memory-mapped uint8 array for each source, split and image side, beside the data.

```
<data>/store/<source>@<side>/<split>/  images.u8  labels.npy  masks.u8 (if there are any)  manifest.json
```
The manifest is written last and the folder takes its name by an atomic rename, so a half-made store is never read.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials import leaves
from trials.errors import InputError
from trials.sources import get_source, list_split

FORMAT = 1


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
    """One split, decoded: `images` (N, S, S, 3) uint8, `labels` (N,) int64, `masks` (N, S, S) uint8 or None."""

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None
    classes: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.labels)


def describe_split(source: str, data: Path, split: str) -> SplitInfo:
    """Count, classes and fingerprint of a split, from its listing alone."""
    if get_source(source).generated:
        fingerprint = f"leaves-{leaves.VERSION}-{split}"
        return SplitInfo(images=None, classes=len(leaves.PATTERNS), has_masks=True, fingerprint=fingerprint)
    listing = list_split(source, data, split)
    return SplitInfo(images=len(listing), classes=len(listing.classes), has_masks=listing.has_masks, fingerprint=listing.fingerprint)


def store_folder(root: Path, source: str, split: str, image_px: int) -> Path:
    """Where the store of a split lies below the store root."""
    return root / f"{source.replace(':', '+').replace('/', '+')}@{image_px}" / split


def store_is_ready(root: Path, source: str, split: str, image_px: int, *, fingerprint: str, images: int) -> bool:
    """Whether a store is there, whole, made from these very data, and holds at least that many images."""
    with contextlib.suppress(InputError):
        store = open_store(root, source, split, image_px)
        return store.fingerprint == fingerprint and len(store) >= images
    return False


def open_store(root: Path, source: str, split: str, image_px: int) -> ImageStore:
    """Memory-map a store, after checking that its files are as long as its manifest says.

    Raises:
        InputError: it is missing, of another format, or its files have another size.
    """
    folder = store_folder(root, source, split, image_px)
    again = f"prepare it with: python -m trials.prepare {source} --from DIR --size {image_px}"
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except FileNotFoundError:
        raise InputError(f"No image store in {folder}: {again}.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"The manifest of the image store {folder} cannot be read ({error}): delete that folder and {again}.") from None
    if manifest.get("format") != FORMAT:
        raise InputError(f"The image store {folder} is of another version: delete that folder and {again}.")
    count, side = manifest["images"], manifest["image_px"]
    sizes = {"images.u8": count * side * side * 3} | ({"masks.u8": count * side * side} if manifest["has_masks"] else {})
    for name, expected in sizes.items():
        actual = (folder / name).stat().st_size if (folder / name).exists() else 0
        if actual != expected:
            raise InputError(f"{folder / name} holds {actual:,} bytes instead of {expected:,}: delete that folder and {again}.")
    masks = np.memmap(folder / "masks.u8", np.uint8, "r", shape=(count, side, side)) if manifest["has_masks"] else None
    return ImageStore(
        images=np.memmap(folder / "images.u8", np.uint8, "r", shape=(count, side, side, 3)),
        labels=np.load(folder / "labels.npy", allow_pickle=False),
        masks=masks,
        classes=tuple(manifest["classes"]),
        fingerprint=manifest["fingerprint"],
    )


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
    decoded: Callable[[], Iterator[Decoded]],
) -> Path:
    """Write a store from an iterator of (image, label, mask), unless a ready one appeared meanwhile."""
    folder = store_folder(root, source, split, image_px)
    try:
        with _locked(folder):
            if store_is_ready(root, source, split, image_px, fingerprint=info.fingerprint, images=images):
                return folder
            for left in folder.parent.glob(f".{folder.name}-building-*"):  # of a launch that was killed
                shutil.rmtree(left, ignore_errors=True)
            building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-building-", dir=folder.parent))
            outdated = building.with_name(building.name + "-outdated")
            try:
                _fill(building, image_px, info, images, classes, decoded())
                if folder.exists():  # moved aside, not emptied: a stage that has it open reads on
                    folder.rename(outdated)
                building.rename(folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
                shutil.rmtree(outdated, ignore_errors=True)
    except OSError as error:
        raise InputError(f"The image store {folder} could not be written ({error.strerror or error}): make room or allow writing there.") from error
    return folder


def _fill(folder: Path, side: int, info: SplitInfo, images: int, classes: tuple[str, ...], decoded: Iterator[Decoded]) -> None:
    labels = np.empty(images, dtype=np.int64)
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        image_file = stack.enter_context(open(folder / "images.u8", "wb"))
        mask_file = stack.enter_context(open(folder / "masks.u8", "wb")) if info.has_masks else None
        count = 0
        for image, label, mask in decoded:
            for handle, array in ((image_file, image), (mask_file, mask)):
                if handle is not None and array is not None:
                    handle.write(array.tobytes())
                    digest.update(array.tobytes())
            labels[count] = label
            count += 1
    assert count == images, f"{count} of {images} images were decoded"
    np.save(folder / "labels.npy", labels, allow_pickle=False)
    manifest = {
        "format": FORMAT,
        "images": images,
        "image_px": side,
        "classes": list(classes),
        "images_per_class": np.bincount(labels, minlength=len(classes)).tolist(),
        "has_masks": info.has_masks,
        "fingerprint": info.fingerprint,
        "sha256": digest.hexdigest(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
