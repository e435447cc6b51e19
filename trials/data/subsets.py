"""Which images of a split a stage uses: nested in size, drawn by seed; alike for all classes, in
their own proportions, or class after class.
"""

from __future__ import annotations

import numpy as np

from trials.errors import InputError
from trials.training.seeding import derive_seed

SAMPLINGS = ("uniform", "proportional", "classes")
WHOLE_CLASSES = 4
"""Of a generated stream, whole classes are drawn from so many times the images that are taken: one in
four of the classes.
"""


def subset_order(labels: np.ndarray, *, seed: int, sampling: str) -> np.ndarray:
    """All indices in an order whose every prefix is a fair subset, so a smaller subset lies inside
    a larger one.

    `uniform`: any prefix holds equally many of each class, to within one, until a class runs out.
    `proportional`: any prefix holds each class in its share of the whole, to within about one
    image. `classes`: any prefix holds whole classes, in an order that the seed draws, and a random
    part of one more; as ImageNet-100 is to ImageNet-1K (Xie et al., On Data Scaling in Masked Image
    Modeling, set such a subset against one that is uniform per class).

    Args:
        labels: (N,) integer class of each image.
    """
    if sampling not in SAMPLINGS:
        raise InputError(f"Sampling must be one of {', '.join(SAMPLINGS)}, not {sampling!r}.")
    random = np.random.default_rng(derive_seed(seed, "subset"))
    key = np.empty(len(labels))
    present = np.unique(labels)
    turns = random.permutation(len(present)) if sampling == "classes" else None
    for position, label in enumerate(present):
        members = np.flatnonzero(labels == label)
        rank = random.permutation(len(members))
        if sampling == "uniform":
            # whole rounds over the classes; within a round the classes come in random order
            key[members] = rank + random.random(len(members)) * 0.999
        elif sampling == "proportional":
            key[members] = (rank + random.random()) / len(members)
        else:
            assert turns is not None
            key[members] = turns[position] + rank / len(members)
    return np.argsort(key, kind="stable")


def subset(labels: np.ndarray, *, images: int, seed: int, sampling: str) -> np.ndarray:
    """Sorted indices of the subset of that size; sorted, so that reading a memory map goes forward."""
    if images > len(labels):
        raise InputError(f"A subset of {images:,} images was asked for, but there are {len(labels):,}: ask for fewer, or see what was skipped.")
    return np.sort(subset_order(labels, seed=seed, sampling=sampling)[:images])


def stream_images(images: int, sampling: str) -> int:
    """How many generated images a subset of this many images is drawn from.

    A stream never ends, so a subset is its beginning. That would hold every class, so whole classes
    are drawn from a longer beginning.
    """
    return images * WHOLE_CLASSES if sampling == "classes" else images
