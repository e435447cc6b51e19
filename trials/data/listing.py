"""What one split of a data set holds, before anything is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials.data.decoding import Picture


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What one split of a source holds, before decoding.

    `read(i)` decodes an image and its trimap, if there are any, or raises `Broken`. `fingerprint`
    changes with the names and sizes of the files, so that a stage is known by the data it saw.
    """

    name: str
    split: str
    names: Sequence[str]
    labels: np.ndarray
    classes: tuple[str, ...]
    fingerprint: str
    read: Callable[[int], Picture]
    empty_classes: tuple[str, ...] = ()
    """Class folders that hold no image."""

    def __len__(self) -> int:
        return len(self.labels)


def fingerprint(paths: Sequence[Path], root: Path, extra: str = "") -> str:
    """16 hex digits that change with the names and sizes of the files.

    Single files may be missing, which decoding them will say.

    Raises:
        FileNotFoundError: none of them is there.
    """
    digest = hashlib.sha256(extra.encode())
    found = 0
    for path in paths:
        try:
            size = str(path.stat().st_size)
            found += 1
        except FileNotFoundError:
            size = "missing"
        # a name need not be UTF-8
        digest.update(f"{path.relative_to(root).as_posix()}\0{size}\n".encode("utf-8", "surrogateescape"))
    if paths and not found:
        paths[0].stat()
    return digest.hexdigest()[:16]
