"""ADE20K (Zhou et al. 2017) as MIT's scene parsing challenge distributes it: 150 classes and pixels of
none, which do not count.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trials.data.class_folders import IMAGE_SUFFIXES
from trials.data.listing import Listing, fingerprint
from trials.data.mask_classes import MaskClasses, read_with_mask
from trials.data.sources import FolderSource, register
from trials.errors import InputError

CLASSES = 150
NAMES_FILE = "objectInfo150.txt"


class ADE20K(FolderSource):
    """The data source ADE20K: `images/` and `annotations/`, each with `training`, `validation`."""

    name = "ade20k"
    carries = ("images", "masks")
    folders = ("ADEChallengeData2016", "ade20k")
    marker = "annotations/training"
    layout = "ADEChallengeData2016/ with images/training, images/validation and annotations/ of the same"
    mask_classes = tuple(f"class {number}" for number in range(1, CLASSES + 1))

    def list_split(self, root: Path, split: str) -> Listing:
        part = {"train": "training", "heldout": "validation"}[split]
        images = sorted(path for path in (root / "images" / part).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        masks = [root / "annotations" / part / f"{path.stem}.png" for path in images]
        lacking = [mask for mask in masks if not mask.exists()]
        if lacking:
            raise InputError(
                f"{len(lacking):,} of the {len(images):,} images in {root}/images/{part} have no mask, the first is without {lacking[0]}: "
                "unpack the data set anew."
            )
        table = MaskClasses(values=tuple(range(1, CLASSES + 1)), names=self.mask_classes, ignored=(0,), said_by="ADE20K").table()
        return Listing(
            name=self.name,
            split=split,
            names=[str(path) for path in images],
            labels=np.zeros(len(images), dtype=np.int64),
            classes=("image",),
            fingerprint=fingerprint([*images, *masks], root),
            read=lambda index: read_with_mask(images[index], masks[index], table, "ADE20K"),
            mask_classes=_names(root / NAMES_FILE) or self.mask_classes,
        )


def _names(file: Path) -> tuple[str, ...]:
    """The class names that come with the data: the first word for each, with its number where two
    classes share it; none where the file is absent or is not theirs.
    """
    if not file.is_file():
        return ()
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[1:] if line.strip()]
    names = [row[-1].split(",")[0].split(";")[0].strip() for row in rows]
    if len(names) != CLASSES:
        return ()
    return tuple(name if names.count(name) == 1 else f"{name} {number}" for number, name in enumerate(names, start=1))


register(ADE20K())
