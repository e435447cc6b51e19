"""Makes the image stores that a plan reads, before anything is trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from rich.console import Console

from scaling.plan.plan import Plan
from trials.data.decode_report import read_decode_report, report_file
from trials.data.generated import release_processes
from trials.prepare import prepare_split

LINE_S = 10.0  # without a terminal: between two lines that say how far it is


def prepare_stores(plan: Plan, data: Path, store: Path, broken: Literal["refuse", "skip"], console: Console) -> None:
    """Make the image stores that the plan reads, each as large as its largest subset.

    Prints which images were converted or left out.

    Raises:
        InputError: data are missing, or images cannot be decoded and `broken` is 'refuse'.
    """
    needed: dict[tuple[str, str, int], int] = {}
    for stage in plan.stages.values():
        spec = stage.spec.data
        for split, images in ((spec.train_split, spec.train_images), (spec.heldout_split, spec.heldout_images)):
            key = (spec.source, split, spec.image_px)
            needed[key] = max(needed.get(key, 0), images)
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
            for (source, split, image_px), images in needed.items():
                folder = prepare_split(
                    source,
                    data,
                    store,
                    split,
                    image_px,
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
