"""Which images of a split a stage uses: nested in size, drawn by seed, uniform per class or in the classes' own proportions."""

from __future__ import annotations

import numpy as np

from trials.errors import InputError
from trials.seeding import derive_seed

SAMPLINGS = ("uniform", "proportional")


def subset_order(labels: np.ndarray, *, seed: int, sampling: str) -> np.ndarray:
    """All indices in an order whose every prefix is a fair subset, so a smaller subset lies inside a larger one.

    `uniform`: any prefix holds equally many of each class, to within one, until a class runs out.
    `proportional`: any prefix holds each class in its share of the whole, to within about one image.

    Args:
        labels: (N,) integer class of each image.
    """
    if sampling not in SAMPLINGS:
        raise InputError(f"Sampling must be one of {', '.join(SAMPLINGS)}, not {sampling!r}.")
    random = np.random.default_rng(derive_seed(seed, "subset"))
    key = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank = random.permutation(len(members))
        if sampling == "uniform":
            # whole rounds over the classes; within a round the classes come in random order
            key[members] = rank + random.random(len(members)) * 0.999
        else:
            key[members] = (rank + random.random()) / len(members)
    return np.argsort(key, kind="stable")


def subset(labels: np.ndarray, *, images: int, seed: int, sampling: str) -> np.ndarray:
    """Sorted indices of the subset of that size; sorted, so that reading a memory map goes forward."""
    if images > len(labels):
        raise InputError(f"A subset of {images:,} images was asked for, but there are {len(labels):,}.")
    return np.sort(subset_order(labels, seed=seed, sampling=sampling)[:images])
