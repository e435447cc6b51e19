"""Makes the image stores that a plan reads, before anything is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from scaling.formatting import size
from scaling.plan.budget import free_bytes
from scaling.plan.plan import Plan
from trials.data.decode_report import read_decode_report, report_file
from trials.data.generated import release_processes
from trials.data.sources import get_source
from trials.data.store import FILE_SHORT_PX, SplitInfo, describe_split, store_folder, store_is_ready
from trials.data.subsets import stream_images
from trials.errors import InputError
from trials.prepare import prepare_split
from trials.recipes.fields import Storage

NUMBERS_BYTES = 32
"""Of each image in a store besides its pixels: size, label and place."""
LINE_S = 10.0  # without a terminal: between two lines that say how far it is


Broken = Literal["refuse", "skip"]


def _needed(plan: Plan) -> dict[tuple[str, str, int, Storage], int]:
    """Images of every store that the plan reads, by source, split, short side and storage."""
    needed: dict[tuple[str, str, int, Storage], int] = {}
    for stage in plan.stages.values():
        spec = stage.spec.data
        train_images = stream_images(spec.train_images, spec.sampling) if get_source(spec.source).generated else spec.train_images
        for split, images in ((spec.train_split, train_images), (spec.heldout_split, spec.heldout_images)):
            key = (spec.source, split, spec.stored_px, spec.storage)
            needed[key] = max(needed.get(key, 0), images)
    return needed


def stores_of(plan: Plan, store: Path) -> list[Path]:
    """The folders of the image stores that the plan reads."""
    return [store_folder(store, *key) for key in _needed(plan)]


KEPT: dict[Storage, str] = {
    "pixels": "pixels kept",
    "jpeg": "kept as JPEG and decoded again as they are read",
    "files": "then read from their own files whenever they are needed",
}


def store_lines(plan: Plan, data: Path, store: Path, broken: Broken, describe: Callable[[str, Path, str], SplitInfo] = describe_split) -> list[str]:
    """What becomes of the images that a plan reads, a line for each split: how they are kept, about
    how much disk they take, and whether they are there. A launch keeps all of them on the disk.
    """
    lines = []
    for (source, split, store_px, storage), images in _needed(plan).items():
        info = describe(source, data, split)
        count = images if info.images is None else info.images
        made = "drawn" if info.images is None else "decoded"
        kept = f"{made} once, {KEPT[storage]}"
        ready = store_is_ready(store, source, split, store_px, storage, info=info, images=count, broken=broken)
        state = "is there" if ready else f"to be made, about {size(count * bytes_per_image(source, store_px, storage, masks=info.has_masks))} of disk"
        lines.append(f"images: {count:,} of {source} {split}, short side {store_px} px, {kept}: {state}")
    return lines


@dataclass(frozen=True, kw_only=True)
class MissingStore:
    """An image store that a plan reads and that is still to be made."""

    what: str
    """Number, source and short side of its images, as messages name the store."""
    images: int
    bytes: int
    """About, before the images are seen."""
    source: str


def missing_stores(
    plan: Plan, data: Path, store: Path, broken: Broken, describe: Callable[[str, Path, str], SplitInfo] = describe_split
) -> list[MissingStore]:
    """The image stores that are still to be made.

    Args:
        describe: says what the splits hold, as in `make_plan`.
    """
    missing = []
    for (source, split, store_px, storage), images in _needed(plan).items():
        info = describe(source, data, split)
        count = images if info.images is None else info.images
        if not store_is_ready(store, source, split, store_px, storage, info=info, images=count, broken=broken):
            what = f"{count:,} images of {source} {split} at {store_px} px"
            missing.append(
                MissingStore(what=what, images=count, bytes=count * bytes_per_image(source, store_px, storage, masks=info.has_masks), source=source)
            )
    return missing


def check_fits(missing: Sequence[MissingStore], free: float, where: str) -> None:
    """Raise InputError if stores that are still to be made take more than the free bytes of a disk."""
    needed = sum(one.bytes for one in missing)
    if needed > free:
        largest = max(missing, key=lambda one: one.bytes)
        raise InputError(
            f"The decoded images take {size(needed)}, most of it {largest.what} ({size(largest.bytes)}), but the disk of {where} has {size(free)} "
            "free: ask for fewer images, name another disk with --data, keep them as JPEG (storage: jpeg in the recipe), a fifth of that, or "
            "leave them in their own files (storage: files)."
        )


def check_store_disk(plan: Plan, data: Path, store: Path, broken: Broken) -> None:
    """Raise InputError if the decoded images that are still to be made do not fit on the disk."""
    check_fits(missing_stores(plan, data, store, broken), free_bytes(store), str(store))


def bytes_per_image(source: str, store_px: int, storage: Storage, *, masks: bool | None = None) -> int:
    """About, before the images are seen: files are taken to be photographs with sides of 4 to 3 and
    short sides of at most 512 px, and JPEG to take 0.6 bytes a pixel. Of images that stay in their own
    files a store holds numbers alone.

    Args:
        masks: whether each has a mask; by default whether images of that source may have one.
    """
    found = get_source(source)
    pixels = store_px**2 if found.generated else min(store_px, FILE_SHORT_PX) ** 2 * 4 / 3
    kept = {"pixels": 3.0, "jpeg": 0.6, "files": 0.0}[storage]
    return round(pixels * (kept + (1 if masks or (masks is None and found.has_masks) else 0))) + NUMBERS_BYTES


def prepare_stores(plan: Plan, data: Path, store: Path, broken: Broken, console: Console) -> None:
    """Make the image stores that the plan reads, each as large as its largest subset.

    Prints which images were converted or left out.

    Raises:
        InputError: data are missing, or images cannot be decoded and `broken` is 'refuse'.
    """
    needed = _needed(plan)
    check_store_disk(plan, data, store, broken)
    messages: list[str] = []
    said_s = -LINE_S

    def show(what: str, done: int, total: int) -> None:
        nonlocal said_s
        line = f"preparing {what}: {done:,} of {total:,}"
        status.update(line)
        if not console.is_terminal and time.monotonic() - said_s >= LINE_S:
            said_s = time.monotonic()
            console.print(line, markup=False, highlight=False)

    try:
        with console.status("preparing images") as status:
            for (source, split, store_px, storage), images in needed.items():
                folder = prepare_split(
                    source,
                    data,
                    store,
                    split,
                    store_px,
                    storage,
                    images=images,
                    broken=broken,
                    progress=show,
                )
                report = read_decode_report(folder)
                messages += report.sentences(report_file(folder)) if report else []
    finally:
        release_processes()
    for sentence in messages:
        console.print(sentence, markup=False, highlight=False)
