"""The images of a stage that a benchmark trains by itself, without a grid."""

from __future__ import annotations

from pathlib import Path

from trials import prepare_split
from trials.data.sources import split_name
from trials.data.store import describe_split
from trials.spec import DataSpec


def data_of(source: str, kind: str, root: Path, *, image_px: int, images: int, heldout_images: int, seed: int = 0) -> DataSpec:
    """The images of a stage of that kind, in the store `root/store`; made if they are not there.

    Args:
        image_px: side of the images that the stage trains on, and short side of those in the store.
        seed: of the run, which decides which images a generated source draws for pre-training.
    """
    splits = {part: split_name(source, kind, part, seed=seed) for part in ("train", "heldout")}
    for part, count in (("train", images), ("heldout", heldout_images)):
        prepare_split(source, root, root / "store", splits[part], image_px, images=count)
    prints = {part: describe_split(source, root, split).fingerprint for part, split in splits.items()}
    return DataSpec(
        source=source,
        image_px=image_px,
        train_split=splits["train"],
        train_fingerprint=prints["train"],
        train_images=images,
        sampling="uniform",
        heldout_split=splits["heldout"],
        heldout_fingerprint=prints["heldout"],
        heldout_images=heldout_images,
    )
