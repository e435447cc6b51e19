"""The images of a stage, ready to be taken a batch at a time on its device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trials.data.sources import get_source
from trials.data.store import ImageStore, open_store
from trials.data.subsets import subset
from trials.errors import InputError
from trials.spec import DataSpec
from trials.training.precision import Compute

# Held-out sets are drawn with a seed of their own, so that they are the same for every seed and
# size of a study.
HELDOUT_SEED = 0


class Pictures:
    """A subset of a store. On a GPU it lives in the GPU's memory where it fits; else batches come
    from the memory map.
    """

    def __init__(self, store: ImageStore, indices: np.ndarray, compute: Compute) -> None:
        self._store, self._indices, self._device = store, indices, compute.device
        self.classes = store.classes
        self._resident: tuple[Tensor, Tensor | None] | None = None
        if compute.device.type == "cuda":
            needed = len(indices) * store.images[0].nbytes * (4 / 3 if store.masks is not None else 1)
            free, _ = torch.cuda.mem_get_info(compute.device)
            if needed < 0.4 * free:  # the rest is for activations and for stages that share the GPU
                masks = None if store.masks is None else torch.from_numpy(store.masks[indices]).to(compute.device)
                self._resident = (torch.from_numpy(store.images[indices]).to(compute.device), masks)
        self._labels = torch.from_numpy(store.labels[indices]).to(compute.device)

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def resident(self) -> bool:
        """Whether all pixels are in the memory that the stage computes in."""
        return self._resident is not None or self._device.type == "cpu"

    @property
    def where(self) -> str:
        """Where the pixels are, for the log."""
        return "in GPU memory" if self._resident else "in the memory-mapped store"

    def _take(self, array: np.ndarray, positions: Tensor) -> Tensor:
        batch = torch.from_numpy(array[self._indices[positions.numpy()]])
        return batch.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else batch

    def _there(self, positions: Tensor) -> Tensor:
        """Positions on the device; from pinned memory, since a copy from any other waits for the
        GPU.
        """
        return positions.pin_memory().to(self._device, non_blocking=True) if self._device.type != positions.device.type else positions

    def images(self, positions: Tensor) -> Tensor:
        """(B,) positions on the CPU -> (B, S, S, 3) uint8."""
        return self._resident[0][self._there(positions)] if self._resident else self._take(self._store.images, positions)

    def masks(self, positions: Tensor) -> Tensor:
        """(B,) positions -> (B, S, S) uint8 class indices."""
        assert self._store.masks is not None, "these images carry no masks"
        if self._resident:
            assert self._resident[1] is not None
            return self._resident[1][self._there(positions)]
        return self._take(self._store.masks, positions)

    def labels(self, positions: Tensor) -> Tensor:
        """(B,) positions -> (B,) int64 classes."""
        return self._labels[self._there(positions)]


def evenly_spaced(total: int, count: int) -> Tensor:
    """Positions of `count` example images, evenly spaced through a held-out set, so that none is
    picked by its outcome.
    """
    return torch.linspace(0, total - 1, min(count, total)).round().long()


def open_pictures(spec: DataSpec, root: Path, *, seed: int, compute: Compute) -> tuple[Pictures, Pictures]:
    """The training subset and the held-out set of a stage.

    Raises:
        InputError: a store is missing, or holds other data than the plan was made for.
    """
    result = []
    for split, fingerprint, images, subset_seed, sampling in (
        (spec.train_split, spec.train_fingerprint, spec.train_images, seed, spec.sampling),
        (spec.heldout_split, spec.heldout_fingerprint, spec.heldout_images, HELDOUT_SEED, "proportional"),
    ):
        store = open_store(root, spec.source, split, spec.image_px)
        if store.fingerprint != fingerprint:
            raise InputError(
                f"The store of {spec.source} {split} was made from other files than the plan: delete {root} and launch again to make it anew."
            )
        # a generated split may hold more than was asked for; its prefix is what any launch would
        # have made
        count = images if get_source(spec.source).generated else len(store)
        indices = subset(store.labels[:count], images=images, seed=subset_seed, sampling=sampling)
        result.append(Pictures(store, indices, compute))
    return result[0], result[1]
