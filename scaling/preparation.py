"""Makes the image stores that a plan reads, before anything is trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from rich.console import Console

from scaling.formatting import size
from scaling.plan.budget import free_bytes
from scaling.plan.plan import Plan
from trials.data.decode_report import read_decode_report, report_file
from trials.data.generated import release_processes
from trials.data.sources import get_source
from trials.data.store import describe_split, store_folder, store_is_ready
from trials.errors import InputError
from trials.prepare import prepare_split
from trials.recipes.fields import Storage

FILE_SHORT_PX = 512
LINE_S = 10.0  # without a terminal: between two lines that say how far it is


Broken = Literal["refuse", "skip"]


def _needed(plan: Plan) -> dict[tuple[str, str, int, Storage], int]:
    """Images of every store that the plan reads, by source, split, short side and storage."""
    needed: dict[tuple[str, str, int, Storage], int] = {}
    for stage in plan.stages.values():
        spec = stage.spec.data
        for split, images in ((spec.train_split, spec.train_images), (spec.heldout_split, spec.heldout_images)):
            key = (spec.source, split, spec.stored_px, spec.storage)
            needed[key] = max(needed.get(key, 0), images)
    return needed


def stores_of(plan: Plan, store: Path) -> list[Path]:
    """The folders of the image stores that the plan reads."""
    return [store_folder(store, *key) for key in _needed(plan)]


def check_store_disk(plan: Plan, data: Path, store: Path, broken: Broken) -> None:
    """Raise InputError if the decoded images that are still to be made do not fit on the disk."""
    missing = []
    for (source, split, store_px, storage), images in _needed(plan).items():
        info = describe_split(source, data, split)
        count = images if info.images is None else info.images
        if not store_is_ready(store, source, split, store_px, storage, info=info, images=count, broken=broken):
            missing.append((count * _bytes_per_image(source, store_px, storage), f"{count:,} images of {source} {split} at {store_px} px"))
    needed, free = sum(one for one, _ in missing), free_bytes(store)
    if needed > free:
        largest = max(missing)
        raise InputError(
            f"The decoded images take {size(needed)}, most of it {largest[1]} ({size(largest[0])}), but the disk of {store} has {size(free)} free: "
            "ask for fewer images, or name another disk with --data."
        )


def _bytes_per_image(source: str, store_px: int, storage: Storage) -> int:
    """About, before the images are seen: files are taken to be photographs with sides of 4 to 3 and
    short sides of at most 512 px, and JPEG to take 0.6 bytes a pixel.
    """
    found = get_source(source)
    pixels = store_px**2 if found.generated else min(store_px, FILE_SHORT_PX) ** 2 * 4 / 3
    return round(pixels * ((3 if storage == "pixels" else 0.6) + (1 if found.has_masks else 0)))


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
