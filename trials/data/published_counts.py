"""How many images the publishers of known data sets count, for plans without the data."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trials.data.generated import GeneratedSource
from trials.data.sources import get_source
from trials.data.store import SplitInfo, describe_split
from trials.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PublishedCount:
    """The size of a data set, as its publishers give it."""

    data: str
    """Its usual name."""
    train_images: int
    heldout_images: int
    classes: int
    masks: bool
    """Whether every pixel has a class."""
    boxes: bool
    """Whether objects have boxes and masks."""
    source: str


@lru_cache(maxsize=1)
def published_counts() -> dict[str, PublishedCount]:
    """Every known data set by each of its names, as a source or a folder may have it."""
    found: dict[str, PublishedCount] = {}
    with open(Path(__file__).with_suffix(".csv"), newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            count = PublishedCount(
                data=row["data"],
                train_images=int(row["train_images"]),
                heldout_images=int(row["heldout_images"]),
                classes=int(row["classes"]),
                masks=row["masks"] == "yes",
                boxes=row["boxes"] == "yes",
                source=row["source"],
            )
            found |= dict.fromkeys((_plain(name) for name in row["names"].split()), count)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def published_count(source: str) -> PublishedCount | None:
    """The published size of a source, found by the last part of its folder, else by its own name."""
    base, _, folder = source.partition(":")
    known = published_counts()
    return known.get(_plain(folder.rpartition("/")[2])) if folder else known.get(_plain(base))


def describe_or_assume(source: str, data: Path, split: str) -> SplitInfo:
    """As `describe_split` where the data are there, else from the published count.

    Raises:
        InputError: the data are neither there nor known.
    """
    found = get_source(source)
    if isinstance(found, GeneratedSource):
        return describe_split(source, data, split)
    try:
        found.locate(data, source.partition(":")[2])
    except InputError:
        return _assumed(source, split)
    return describe_split(source, data, split)


def _assumed(source: str, split: str) -> SplitInfo:
    found, count = get_source(source), published_count(source)
    if count is None:
        known = sorted({one.data for one in published_counts().values()})
        raise InputError(
            f"The data of {source[:60]!r} are absent, and --assume-data knows no published count for that name; it knows {', '.join(known)}: "
            "unpack the data, or name a folder after one of these, as in 'folder:ade20k'."
        )
    return SplitInfo(
        images=count.heldout_images if split == "heldout" else count.train_images,
        classes=count.classes,
        has_masks=found.has_masks and count.masks,
        fingerprint=f"assumed {source} {split}",
        mask_classes=found.mask_classes,
        instance_classes=tuple(f"class {number}" for number in range(count.classes)) if count.boxes and "boxes" in found.carries else (),
        has_instance_masks=count.boxes and "instance-masks" in found.carries,
    )
