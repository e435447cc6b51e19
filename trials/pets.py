"""Oxford-IIIT Pets: images with a breed and a trimap, in the data set's own halves or pooled."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from trials.listing import Listing, fingerprint

POOLED_TEST_IMAGES = 1000  # as many as the first paper tests on
POOLED_SEED = 0


def list_pooled_pets(root: Path, split: str) -> Listing:
    """Both halves of the pets in one: 1,000 fixed images are held out (a seventh, where there are fewer than 7,000) and the rest trains.

    The data set's own training half holds 3,680 images, too few for the 6,000 labels of Bridge, Sun et al. Their test set changed with the number
    of labels; this one is the same for all, drawn once by a stated seed.
    """
    halves = [list_pets(root, one) for one in ("train", "heldout")]
    sizes = [len(half) for half in halves]
    order = np.random.default_rng(POOLED_SEED).permutation(sum(sizes))
    held = min(POOLED_TEST_IMAGES, sum(sizes) // 7)
    chosen = np.sort(order[:held] if split == "heldout" else order[held:])
    places = [(0, int(one)) if one < sizes[0] else (1, int(one) - sizes[0]) for one in chosen]
    return Listing(
        name="oxford-iiit-pet-pooled",
        split=split,
        names=[halves[half].names[index] for half, index in places],
        labels=np.concatenate([half.labels for half in halves])[chosen],
        classes=halves[0].classes,
        has_masks=True,
        fingerprint=hashlib.sha256(f"{halves[0].fingerprint} {halves[1].fingerprint} {POOLED_SEED} {split}".encode()).hexdigest()[:16],
        read=lambda position: halves[places[position][0]].read(places[position][1]),
    )


def list_pets(root: Path, split: str) -> Listing:
    """The data set's own halves: 'trainval' trains, 'test' is held out."""
    from torchvision.datasets import OxfordIIITPet  # slow to import, and only pets and CIFAR need it

    data_set = OxfordIIITPet(
        str(root.parent),
        split={"train": "trainval", "heldout": "test"}[split],
        target_types=("category", "segmentation"),
    )
    paths, masks = list(data_set._images), list(data_set._segs)

    def read(index: int) -> tuple[Image.Image, np.ndarray]:
        image, (_, trimap) = data_set[index]
        values = np.asarray(trimap, dtype=np.uint8)
        if values.min() < 1 or values.max() > 3:
            raise ValueError(f"trimap {masks[index]} holds values outside 1 pet, 2 background, 3 border")
        return image, values - 1

    return Listing(
        name="oxford-iiit-pet",
        split=split,
        names=[str(p) for p in paths],
        labels=np.asarray(data_set._labels, dtype=np.int64),
        classes=tuple(data_set.classes),
        has_masks=True,
        fingerprint=fingerprint([*paths, *masks], root),
        read=read,
    )
