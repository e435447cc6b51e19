"""iNaturalist-2018 (Van Horn et al. 2018) in its own layout: 8,142 species, 437,513 training images, a
few of some species and a thousand of others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from trials.data.decoding import read_picture
from trials.data.listing import Listing, fingerprint
from trials.data.sources import FolderSource, register
from trials.errors import InputError
from trials.received_files import is_plain_name


class INaturalist(FolderSource):
    """`train2018.json` and `val2018.json` beside the images that they name."""

    name = "inaturalist"
    carries = ("images", "labels")
    folders = ("inaturalist-2018", "inaturalist")
    marker = "train2018.json"
    layout = "inaturalist-2018/ with train2018.json, val2018.json and train_val2018/"

    def list_split(self, root: Path, split: str) -> Listing:
        file = root / {"train": "train2018.json", "heldout": "val2018.json"}[split]
        # a class has the number that the training table gives it, whatever the validation table lists
        classes = _classes(_read(root / "train2018.json"), root / "train2018.json")
        found = _read(file)
        names = {one["id"]: str(one["file_name"]) for one in _rows(found, "images", ("id", "file_name"), file)}
        numbers = {number: place for place, (number, _) in enumerate(classes)}
        pairs = []
        for one in _rows(found, "annotations", ("image_id", "category_id"), file):
            if one["image_id"] not in names or one["category_id"] not in numbers:
                what = f"image {one['image_id']!r}" if one["image_id"] not in names else f"category {one['category_id']!r}"
                raise InputError(f"{file} has an annotation of the {what[:60]}, which it does not list: unpack the data set anew.")
            pairs.append((names[one["image_id"]], numbers[one["category_id"]]))
        pairs.sort()
        wrong = next((name for name, _ in pairs if not _is_below(name)), None)
        if wrong is not None:
            raise InputError(f"{file} names the image {wrong[:60]!r}, which is no place within the data set: unpack it anew.")
        paths = [root / name for name, _ in pairs]
        lacking = [path for path in paths if not path.exists()]
        if lacking:
            raise InputError(
                f"{file} names {len(lacking):,} of {len(paths):,} images that are not there, the first is {lacking[0]}: unpack the images beside it."
            )
        labels = np.array([label for _, label in pairs], dtype=np.int64)
        return Listing(
            name=self.name,
            split=split,
            names=[str(path) for path in paths],
            labels=labels,
            classes=tuple(name for _, name in classes),
            fingerprint=fingerprint(paths, root, str(labels.tolist())),
            read=lambda index: read_picture(paths[index]),
        )


def _is_below(name: str) -> bool:
    return all(is_plain_name(part) for part in name.split("/"))


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read ({' '.join(str(error).split())[:200]}): unpack the data set anew.") from None
    if not isinstance(found, dict):
        raise InputError(f"{file} is no table of iNaturalist: it should hold images, annotations and categories.")
    return found


def _rows(found: dict[str, Any], key: str, needed: tuple[str, ...], file: Path) -> Iterable[dict[str, Any]]:
    rows = found.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and all(isinstance(row.get(one), int | str) for one in needed) for row in rows):
        raise InputError(f"{file} has no list of {key} with {' and '.join(needed)}: it is no table of iNaturalist, or is cut off.")
    return rows


def _classes(found: dict[str, Any], file: Path) -> list[tuple[Any, str]]:
    """Number and name of each category, by number."""
    rows = sorted(_rows(found, "categories", ("id", "name"), file), key=lambda row: str(row["id"]).zfill(12))
    names = [str(row["name"]) for row in rows]
    if len(set(names)) < len(names):  # the public tables name a species by its number alone; some by a name that two share
        names = [f"{name} ({row['id']})" for name, row in zip(names, rows, strict=True)]
    return [(row["id"], name) for row, name in zip(rows, names, strict=True)]


register(INaturalist())
