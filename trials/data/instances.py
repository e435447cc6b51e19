"""The objects of an image: the class, the box and the mask of each.

A mask is kept as run lengths, in COCO's form: the pixels are read column by column, and the runs are
by turns outside and inside the object, beginning outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Instances:
    """The K objects of one image."""

    classes: np.ndarray
    """(K,) int64 class numbers."""
    boxes: np.ndarray
    """(K, 4) float64 left, top, right and bottom in pixels."""
    crowds: np.ndarray
    """(K,) bool: whether it stands for a group of objects, which neither counts as found nor as
    missed (COCO's `iscrowd`).
    """
    runs: tuple[np.ndarray, ...] = ()
    """Of each object the int64 run lengths of its mask; empty where there are no masks."""

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, chosen: np.ndarray) -> Instances:
        """Those of some of the objects, given as positions or as (K,) bool."""
        places = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        runs = tuple(self.runs[place] for place in places) if self.runs else ()
        return Instances(classes=self.classes[places], boxes=self.boxes[places], crowds=self.crowds[places], runs=runs)

    def masks(self, height: int, width: int) -> np.ndarray:
        """(K, height, width) bool, of an image of that size."""
        if not self.runs:
            return np.zeros((0, height, width), dtype=bool)
        return np.stack([decode_runs(one, height, width) for one in self.runs])

    def resized(self, size: tuple[int, int], to: tuple[int, int]) -> Instances:
        """The same objects once their image is brought from a height and width to another. Masks
        take the nearest pixel.
        """
        if size == to:
            return self
        rows, columns = (nearest_places(length, new) for length, new in zip(size, to, strict=True))
        runs = tuple(encode_runs(decode_runs(one, *size)[rows[:, None], columns]) for one in self.runs)
        scale = np.array([to[1] / size[1], to[0] / size[0]] * 2)
        return Instances(classes=self.classes, boxes=self.boxes * scale, crowds=self.crowds, runs=runs)


def instances_of_masks(masks: Sequence[np.ndarray], classes: Sequence[int]) -> Instances:
    """Objects given by their (H, W) bool masks; boxes are the tightest ones. A mask with no pixel is
    left out.
    """
    shown = [(mask, number) for mask, number in zip(masks, classes, strict=True) if mask.any()]
    return Instances(
        classes=np.array([number for _, number in shown], dtype=np.int64),
        boxes=np.array([box_of(mask) for mask, _ in shown], dtype=np.float64).reshape(-1, 4),
        crowds=np.zeros(len(shown), dtype=bool),
        runs=tuple(encode_runs(mask) for mask, _ in shown),
    )


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the tightest box around the pixels of an (H, W) bool mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def encode_runs(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool -> run lengths, int64, which add up to H x W."""
    pixels = mask.T.ravel()
    edges = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [pixels.size]]))
    return np.concatenate([[0], runs]) if pixels[0] else runs


def decode_runs(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """The inverse of `encode_runs`: (height, width) bool."""
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def nearest_places(length: int, to: int) -> np.ndarray:
    """(to,) int64: which of `length` pixels lies nearest to the centre of each of `to` new ones."""
    places: np.ndarray = (2 * np.arange(to) + 1) * length // (2 * to)
    return places
