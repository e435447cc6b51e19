"""The objects of a split in an image store: arrays in which those of all images follow one another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from trials.data.instances import Instances
from trials.data.manifest import BOXES, INSTANCE_STARTS, INSTANCES, RUN_STARTS, RUNS, Manifest, read_array


class StoredInstances(Sequence[Instances]):
    """The objects of each image of a store, by the image's number."""

    def __init__(self, arrays: dict[str, np.ndarray], classes: tuple[str, ...]) -> None:
        """
        Args:
            arrays: as `arrays_of` makes them.
            classes: a name for each class number.
        """
        self._starts, self._objects, self._boxes = arrays[INSTANCE_STARTS], arrays[INSTANCES], arrays[BOXES]
        self._run_starts, self._runs = arrays[RUN_STARTS], arrays[RUNS]
        self.classes = classes
        self.has_masks = len(self._runs) > 0

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> Instances:  # type: ignore[override]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        first, last = self._starts[index % len(self) :][:2].tolist()
        places = self._run_starts[first : last + 1].tolist()
        runs = tuple(self._runs[start:end] for start, end in pairwise(places)) if self.has_masks else ()
        return Instances(
            classes=self._objects[first:last, 0],
            boxes=self._boxes[first:last],
            crowds=self._objects[first:last, 1] > 0,
            runs=runs,
        )


def arrays_of(listed: Sequence[Instances]) -> dict[str, np.ndarray]:
    """The arrays of a store, by the names of their files, from the objects of each image."""
    runs = [one for of_image in listed for one in of_image.runs]
    objects = [np.stack([one.classes, one.crowds.astype(np.int64)], axis=1) for one in listed]
    count = sum(len(one) for one in listed)
    return {
        INSTANCE_STARTS: _starts([len(one) for one in listed]),
        INSTANCES: np.concatenate([np.zeros((0, 2), dtype=np.int64), *objects]),
        BOXES: np.concatenate([np.zeros((0, 4)), *(one.boxes for one in listed)]),
        RUN_STARTS: _starts([len(one) for one in runs] or [0] * count),
        RUNS: np.concatenate([np.zeros(0, dtype=np.int64), *runs]),
    }


def read_instances(folder: Path, manifest: Manifest, sizes: np.ndarray) -> StoredInstances | None:
    """The objects of the images of a store; None where the arrays are not what the manifest counts.

    Args:
        sizes: (N, 2) heights and widths of the images.
    """
    arrays = {}
    for name in (INSTANCE_STARTS, INSTANCES, BOXES, RUN_STARTS, RUNS):
        found = read_array(folder / name, manifest.arrays[name])
        if found is None:
            return None
        arrays[name] = found
    objects, boxes, runs = arrays[INSTANCES], arrays[BOXES], arrays[RUNS]
    fine = [
        _are_starts(arrays[INSTANCE_STARTS], len(objects)),
        _are_starts(arrays[RUN_STARTS], len(runs)),
        bool(((objects >= 0) & (objects < [len(manifest.instance_classes), 2])).all()),
        bool(np.isfinite(boxes).all()) and bool((boxes[:, :2] < boxes[:, 2:]).all()),
        bool((runs >= 0).all()) and bool((runs <= manifest.pixels).all()),
    ]
    if not all(fine):
        return None
    if len(runs):  # each mask has the pixels of its image
        areas = np.repeat(sizes.prod(axis=1), np.diff(arrays[INSTANCE_STARTS]))
        totals = np.diff(np.concatenate([[0], np.cumsum(runs)])[arrays[RUN_STARTS]])
        if not np.array_equal(areas, totals):
            return None
    return StoredInstances(arrays, manifest.instance_classes)


def _starts(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))]).astype(np.int64)


def _are_starts(starts: np.ndarray, end: int) -> bool:
    return starts[0] == 0 and starts[-1] == end and bool((np.diff(starts) >= 0).all())
