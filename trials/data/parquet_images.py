"""Data sets of the Hugging Face hub as they are downloaded: folders of Parquet files or Arrow streams.

`hf:NAME` is a folder below the data folder, or else a data set in the hub's local caches
(`trials.data.hub_cache`). Its files hold an image column (a struct of `bytes` and `path`, as the
library `datasets` writes it) and, where there are labels, a column of whole numbers. Files whose
names, or folders, hold `train` are trained on; those with `validation`, `valid`, `val` or `test` are
held out. Nothing is ever fetched from a network.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trials.data.columnar_files import SUFFIXES, image_bytes, row_count, schema_of, whole_numbers
from trials.data.decoding import Picture, read_picture
from trials.data.hub_cache import cached_folder
from trials.data.listing import Listing, content_fingerprint
from trials.data.sources import FolderSource, register
from trials.errors import InputError

LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
_TRAIN = re.compile(r"(^|[^a-z])train")
_HELDOUT = (re.compile(r"(^|[^a-z])val"), re.compile(r"(^|[^a-z])test"))


@dataclass(frozen=True, kw_only=True)
class _Columns:
    image: str
    label: str | None
    classes: tuple[str, ...]


class ParquetImages(FolderSource):
    """Images in Parquet files, as the Hugging Face hub holds them."""

    name = "hf"
    carries = ("images", "labels")
    folders = ()
    marker = ""
    layout = "Parquet files with an image column, such as data/train-00000-of-00001.parquet"

    def locate(self, data: Path, chosen: str = "") -> Path:
        folder = data / chosen if chosen else data
        if folder.is_dir():
            return folder
        cached = cached_folder(chosen)
        if cached is None:
            raise InputError(
                f"hf:{chosen} is no folder in {data} nor in the hub's caches, and nothing is fetched from the hub: download it there first, with "
                f"`hf download {chosen} --repo-type dataset --local-dir {folder}`."
            )
        return cached

    def list_split(self, root: Path, split: str) -> Listing:
        files = _files(root, split)
        columns = _columns(files[0])
        counts = [row_count(file) for file in files]
        labels = np.concatenate([_labels(file, columns, count) for file, count in zip(files, counts, strict=True)])
        classes = columns.classes or tuple(f"class {number}" for number in range(int(labels.max(initial=0)) + 1))
        if labels.size and (labels.min() < 0 or labels.max() >= len(classes)):
            raise InputError(
                f"The column {columns.label!r} of {root} holds {int(labels.min() if labels.min() < 0 else labels.max())}, but there are "
                f"{len(classes)} classes: take a split whose labels are public."
            )
        starts = np.concatenate([[0], np.cumsum(counts)])

        def read(index: int) -> Picture:
            file = int(np.searchsorted(starts, index, side="right")) - 1
            return read_picture(image_bytes(files[file], columns.image, index - int(starts[file])))

        return Listing(
            name=self.name,
            split=split,
            names=[f"{file}, row {row}" for file, count in zip(files, counts, strict=True) for row in range(count)],
            labels=labels,
            classes=classes,
            fingerprint=content_fingerprint(files, root, f"{columns.image} {columns.label} {classes}"),
            read=read,
        )


def _files(root: Path, split: str) -> list[Path]:
    # `datasets` keeps what was computed from a data set beside it, in cache-*.arrow
    every = sorted(path for path in root.rglob("*") if path.suffix in SUFFIXES and path.is_file() and not path.name.startswith("cache-"))
    if not every:
        raise InputError(f"{root} holds no Parquet files: download the data set's files there, or name the folder that holds them.")
    named = {path: path.relative_to(root).as_posix().lower() for path in every}
    train = [path for path, name in named.items() if _TRAIN.search(name)]
    # a validation set where there is one: the test set of many has no labels
    heldout = next((found for one in _HELDOUT if (found := [path for path, name in named.items() if one.search(name) and path not in train])), [])
    if not train or not heldout:
        raise InputError(
            f"The Parquet files in {root} do not say how they are split: name some train-*.parquet and others validation-*.parquet or test-*.parquet."
        )
    return train if split == "train" else heldout


def _columns(file: Path) -> _Columns:
    """The image column, the label column and the names of the classes of a file."""
    schema = schema_of(file)
    features = _features(schema)
    images = [field.name for field in schema if _holds_images(field.type)]
    if not images:
        there = ", ".join(f"{field.name} ({field.type})"[:60] for field in schema)
        raise InputError(f"No column of {file} is an image (a struct of bytes and path): there are {there}; take another data set, or add one.")
    chosen = "image" if "image" in images else images[0]
    whole = [field.name for field in schema if pa.types.is_integer(field.type)]
    label = next((name for name in LABEL_COLUMNS if name in whole), None)
    feature = features.get(label) if label else None
    names = feature.get("names") if isinstance(feature, dict) else None
    return _Columns(image=chosen, label=label, classes=tuple(map(str, names)) if isinstance(names, list) else () if label else ("image",))


def _holds_images(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and "bytes" in {kind.field(i).name for i in range(kind.num_fields)}


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What `datasets` writes about the columns into a file; nothing where it wrote none."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _labels(file: Path, columns: _Columns, count: int) -> np.ndarray:
    if columns.label is None:
        return np.zeros(count, dtype=np.int64)
    return whole_numbers(file, columns.label)


register(ParquetImages())
