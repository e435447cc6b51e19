"""What one split of a data set holds, before anything is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What one split of a source holds, before decoding.

    `read(i)` gives an RGB PIL image and, where `has_masks`, a (height, width) uint8 trimap of 0 object, 1 background, 2 border.
    `fingerprint` changes with the names and sizes of the files, so that a stage is known by the data it saw.
    """

    name: str
    split: str
    names: Sequence[str]
    labels: np.ndarray
    classes: tuple[str, ...]
    has_masks: bool
    fingerprint: str
    read: Callable[[int], tuple[Image.Image, np.ndarray | None]]

    def __len__(self) -> int:
        return len(self.labels)


def fingerprint(paths: Sequence[Path], root: Path, extra: str = "") -> str:
    """16 hex digits that change with the names and sizes of the files."""
    digest = hashlib.sha256(extra.encode())
    for path in paths:
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]
