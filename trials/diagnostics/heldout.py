"""The images that every stage of a study is diagnosed on: the same for all, and none that any of
them was trained on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trials.data.augmentation import whole_images
from trials.data.mask_classes import TRIMAP
from trials.data.pictures import HELDOUT_SEED, evenly_spaced
from trials.data.resampling import crop_on_cpu
from trials.data.sources import get_source
from trials.data.store import ImageStore, open_store
from trials.data.subsets import stream_images, subset
from trials.errors import InputError
from trials.spec import DataSpec, StageSpec

NOUNS = {"finetune": "fine-tuning", "pretrain": "pre-training", "intermediate": "intermediate", "trunk": "pre-training"}


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Images with their trimaps."""

    images: np.ndarray
    """(M, S, S, 3) uint8, whole images with both sides resized."""
    masks: np.ndarray | None
    """(M, S, S) uint8 class indices; None where the data have none."""


@dataclass(frozen=True, kw_only=True)
class Heldout:
    """What is measured, and on what it was chosen."""

    test: Labelled
    """Evenly spaced through the held-out set."""
    probe_train: Labelled | None
    """From the fine-tuning set's training pool; None where there is no probe."""
    no_probe: str
    """Why there is no probe, a sentence; '' where there is one."""
    test_positions: tuple[int, ...]
    """Of the test images, within the held-out set."""
    source: dict[str, Any]
    """Where the images are from, as diagnostics.json says it."""


def choose_heldout(specs: Sequence[StageSpec], root: Path, *, image_px: int, images: int) -> Heldout:
    """The images for encoders of that image side, from the fine-tuning's data, or from the
    pre-training's where nothing is fine-tuned.

    Raises:
        InputError: no stage has that image side, a store is missing or was made from other files,
            or every held-out image was trained on.
    """
    # the lowest seed's: `leaves` has a training stream for each seed, and which one is used must
    # not hang on the order of a plan
    order = {"finetune": 0, "pretrain": 1, "trunk": 1, "intermediate": 2}
    own = sorted((s for s in specs if s.data.image_px == image_px), key=lambda s: (order[s.kind], s.seed, s.data.source, s.data.train_images))
    if not own:
        raise InputError(f"No stage of this study has images of {image_px} px.")
    data, kind = own[0].data, own[0].kind
    seen = _TrainedOn(specs, root)
    store = _open(root, data, data.heldout_split, data.heldout_fingerprint)
    everything = subset(_labels(store, data.source, data.heldout_images), images=data.heldout_images, seed=HELDOUT_SEED, sampling="proportional")
    unseen = everything[~seen.among(store, data.source, data.heldout_split, everything)]
    if not len(unseen):
        raise InputError(f"Every held-out image of {data.source} was trained on by some stage of this study: nothing is left to measure on.")
    chosen = unseen[evenly_spaced(len(unseen), images).numpy()]
    source = {"source": data.source, "image_px": image_px, "test_split": data.heldout_split, "test_fingerprint": store.fingerprint}
    probe_train, no_probe = None, ""
    if kind != "finetune" or store.masks is None:
        no_probe = f"The {NOUNS[kind]} data {data.source} have no masks that a probe could learn, so there is no patch probe."
    elif store.mask_classes != TRIMAP:
        no_probe = f"The patch probe is made for trimaps, and the masks of {data.source} have other classes, so there is no patch probe."
    else:
        pool = _open(root, data, data.train_split, data.train_fingerprint)
        left = np.flatnonzero(~seen.among(pool, data.source, data.train_split, np.arange(len(pool))))
        source |= {"probe_split": data.train_split, "probe_fingerprint": pool.fingerprint, "probe_pool_images": len(left)}
        if len(left):
            picked = left[subset(pool.labels[left], images=min(images, len(left)), seed=HELDOUT_SEED, sampling="proportional")]
            probe_train = _take(pool, picked, image_px)
        else:
            no_probe = f"Stages of this study were trained on every training image of {data.source}, so none is left for a patch probe."
    return Heldout(
        test=_take(store, chosen, image_px),
        probe_train=probe_train,
        no_probe=no_probe,
        test_positions=tuple(int(p) for p in np.searchsorted(everything, chosen)),
        source=source | {"compared_with": seen.compared},
    )


def _open(root: Path, data: DataSpec, split: str, fingerprint: str) -> ImageStore:
    store = open_store(root, data.source, split, data.stored_px, data.storage)
    if store.fingerprint != fingerprint:
        raise InputError(f"The store of {data.source} {split} was made from other files than the study: name the one it was trained on with --store.")
    return store


def _labels(store: ImageStore, source: str, images: int) -> np.ndarray:
    """Those that a stage may draw from: of a generated split, as `trials.data.pictures` has it,
    only the prefix that was asked for.
    """
    return store.labels[:images] if get_source(source).generated else store.labels


class _TrainedOn:
    """What pre-training and intermediate stages were trained on: by index within one source, by
    pixels across sources, which may share files.
    """

    def __init__(self, specs: Sequence[StageSpec], root: Path) -> None:
        trained = [spec for spec in specs if spec.kind != "finetune"]
        # what decides a subset: many stages share one
        self._subsets = sorted({(s.data.source, s.data.train_split, s.seed, s.data.train_images, s.data.sampling) for s in trained})
        self._pixels: dict[tuple[str, str], set[bytes]] = {}
        stores = {(s.data.source, s.data.train_split): (s.data.stored_px, s.data.storage) for s in trained}
        for (source, split), form in sorted(stores.items()):
            with contextlib.suppress(InputError):  # a store that is gone cannot be compared with; `compared` says which were
                store = open_store(root, source, split, *form)
                self._pixels[source, split] = set(_pixels(store, self._indices(store, source, split)))
        self.compared = [f"{source} {split}" for source, split in self._pixels]

    def _indices(self, store: ImageStore, source: str, split: str) -> np.ndarray:
        parts = [np.empty(0, dtype=np.int64)]
        for *of, seed, images, sampling in self._subsets:
            if of == [source, split]:
                drawn_from = stream_images(images, sampling)
                parts.append(subset(_labels(store, source, drawn_from), images=images, seed=seed, sampling=sampling))
        return np.unique(np.concatenate(parts))

    def among(self, store: ImageStore, source: str, split: str, indices: np.ndarray) -> np.ndarray:
        """(n,) bool: which of the images at `indices` some stage was trained on."""
        result = np.isin(indices, self._indices(store, source, split))
        others = set().union(*(pixels for of, pixels in self._pixels.items() if of != (source, split)))
        return result | np.array([own in others for own in _pixels(store, indices)], dtype=bool)


def _pixels(store: ImageStore, indices: np.ndarray) -> list[bytes]:
    """Two rows of each image, by which the same file is known again in another source that is kept
    in the same way, at little to read.
    """
    images = (store.images[int(index)] for index in indices)
    return [image[[len(image) // 3, 2 * len(image) // 3]].tobytes() for image in images]


def _take(store: ImageStore, indices: np.ndarray, image_px: int) -> Labelled:
    whole = whole_images(torch.from_numpy(store.sizes[indices]))
    images, masks = (None if one is None else crop_on_cpu(one, indices, whole, image_px).numpy() for one in (store.images, store.masks))
    assert images is not None
    return Labelled(images=images, masks=masks)
