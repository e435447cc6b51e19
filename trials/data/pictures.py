"""The images of a stage, ready to be taken a batch at a time on its device."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trials.data.augmentation import Crops, whole_images
from trials.data.instances import Instances
from trials.data.packed import Images
from trials.data.resampling import Flat, crop_on_cpu, crop_on_device
from trials.data.resident import RESIDENT, images_key
from trials.data.sources import get_source
from trials.data.store import ImageStore, joined_stores, open_store
from trials.data.subsets import stream_images, subset
from trials.errors import InputError
from trials.recipes.fields import FinetuneRecipe, Recipe, SupervisedRecipe
from trials.spec import DataSpec
from trials.training.precision import Compute

# Held-out sets are drawn with a seed of their own, so that they are the same for every seed and
# size of a study.
HELDOUT_SEED = 0
FIXED_SUBSET_SEED = 0
"""By which labelled images are drawn where a recipe has all seeds share them."""
RELEASED_SPLIT_SEED = 42
MOST_PINNED_BYTES = 2**28
"""Of a copy to a GPU: enough for 1,024 images of 256 px. A whole data set is copied once, from plain
memory.
"""


class Pictures:
    """A subset of a store, from which crops are taken and resampled to the stage's image side.

    On a GPU the whole images live in its memory where they fit; else what is cut out of them comes
    from the store, batch by batch.
    """

    def __init__(self, store: ImageStore, indices: np.ndarray, compute: Compute, image_px: int) -> None:
        self._store, self._indices, self._device = store, indices, compute.device
        self.device = compute.device
        """Where the stage computes."""
        self.classes, self.image_px = store.classes, image_px
        self.has_masks, self.mask_classes = store.masks is not None, store.mask_classes
        self.instance_classes = store.instance_classes
        """Names of the classes of objects; none where these images have no boxes."""
        self.has_instance_masks = store.has_instance_masks
        self.sizes = torch.from_numpy(store.sizes[indices])
        """(N, 2) heights and widths in pixels, as stored."""
        self._resident: dict[int, Flat] = {}
        if compute.device.type == "cuda":
            needed = int(self.sizes.prod(dim=1).sum()) * (4 if store.masks is not None else 3)
            free, _ = torch.cuda.mem_get_info(compute.device)
            if needed < 0.4 * free:  # the rest is for activations and for stages that share the GPU
                self._hold()
            else:
                RESIDENT.clear()
        self._labels = torch.from_numpy(store.labels[indices]).to(compute.device)

    def _hold(self) -> None:
        """Copy all images to the device's memory, or take those that an earlier stage left there."""
        pixels, whole = int(self.sizes.prod(dim=1).sum()), whole_images(self.sizes)
        for what, images, depth in (("images", self._store.images, 3), ("masks", self._store.masks, 1)):
            if images is not None:
                key = images_key(
                    images, fingerprint=self._store.fingerprint, what=what, indices=self._indices, sizes=self.sizes.numpy(), device=str(self._device)
                )
                self._resident[id(images)] = RESIDENT.get(key, pixels * depth, partial(self._flat, images, self._indices, whole))

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def resident(self) -> bool:
        """Whether all pixels are in the memory that the stage computes in."""
        return bool(self._resident) or self._device.type == "cpu"

    @property
    def where(self) -> str:
        """Where the pixels are, for the log."""
        return "in GPU memory" if self._resident else "in the memory-mapped store"

    def images(self, positions: Tensor, crops: Crops | None = None, *, nearest: bool = False) -> Tensor:
        """(B,) positions -> (B, S, S, 3) uint8. Positions and crops lie on the CPU, or on the device
        where all images are there.

        Args:
            crops: what to take of each image; None takes it whole, both sides resized.
            nearest: take the nearest pixel instead of resampling with antialiasing.
        """
        return self._cropped(self._store.images, positions, crops, nearest)

    def masks(self, positions: Tensor, crops: Crops | None = None, *, nearest: bool = False) -> Tensor:
        """(B,) positions -> (B, S, S) uint8 class indices, of the same parts as `images` takes.

        Args:
            nearest: as in `images`; masks always have the nearest pixel, then at the same places.
        """
        assert self._store.masks is not None, "these images carry no masks"
        return self._cropped(self._store.masks, positions, crops, nearest)

    def instances(self, position: int) -> Instances:
        """The objects of an image, in pixels of the stored image."""
        assert self._store.instances is not None, "these images carry no boxes"
        return self._store.instances[int(self._indices[position])]

    def whole(self, position: int) -> tuple[Tensor, Tensor]:
        """One image (1, H, W, 3) uint8 and its mask (1, H, W), at the size that they are stored in."""
        assert self._store.masks is not None, "these images carry no masks"
        index = int(self._indices[position])
        image, mask = (torch.from_numpy(np.array(of[index])) for of in (self._store.images, self._store.masks))
        return image[None].to(self._device), mask[None].to(self._device)

    def labels(self, positions: Tensor) -> Tensor:
        """(B,) positions -> (B,) int64 classes."""
        return self._labels[self._there(positions)]

    @property
    def slow(self) -> bool:
        """Whether images must be decoded each time that they are taken."""
        return self._store.images.slow and not self._resident

    def prefetch(self, positions: Tensor) -> None:
        """Begin to decode images that the next batch will ask for."""
        self._store.images.prefetch(self._indices[positions.numpy()].tolist())

    def _cropped(self, images: Images, positions: Tensor, crops: Crops | None, nearest: bool) -> Tensor:
        crops = whole_images(self.sizes[positions]) if crops is None else crops
        if self._device.type == "cpu":
            return crop_on_cpu(images, self._indices[positions.numpy()], crops, self.image_px, nearest=nearest)
        if id(images) in self._resident:
            return crop_on_device(self._resident[id(images)][self._there(positions)], crops, self.image_px, nearest=nearest)
        flat = self._flat(images, self._indices[positions.numpy()], crops)
        cut = Crops(torch.cat([torch.zeros_like(crops.values[:, :2]), crops.values[:, 2:]], dim=1), crops.largest)
        return crop_on_device(flat, cut, self.image_px, nearest=nearest)

    def _flat(self, images: Images, indices: np.ndarray, crops: Crops) -> Flat:
        """Copy parts of images to the device, one after another."""
        images.prefetch(indices.tolist())
        areas = crops.boxes[:, 2:].prod(dim=1)
        starts = torch.cumsum(areas, dim=0) - areas
        last = images.last
        shape = (int(areas.sum()), *last)
        pinned = self._device.type == "cuda" and math.prod(shape) <= MOST_PINNED_BYTES
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        room = pixels.numpy()
        for index, start, (top, left, height, width) in zip(indices.tolist(), starts.tolist(), crops.boxes.tolist(), strict=True):
            part = room[start : start + height * width].reshape(height, width, *last)
            part[:] = images[index][top : top + height, left : left + width]
        row_pixels = crops.boxes[:, 3]
        moved = (values.to(self._device, non_blocking=True) for values in (pixels, starts, row_pixels.contiguous()))
        return Flat(**dict(zip(("pixels", "starts", "row_pixels"), moved, strict=True)))

    def _there(self, positions: Tensor) -> Tensor:
        """Positions on the device; from pinned memory, since a copy from any other waits for the
        GPU.
        """
        return positions.pin_memory().to(self._device, non_blocking=True) if self._device.type != positions.device.type else positions


def evenly_spaced(total: int, count: int) -> Tensor:
    """Positions of `count` example images, evenly spaced through a held-out set, so that none is
    picked by its outcome.
    """
    return torch.linspace(0, total - 1, min(count, total)).round().long()


def open_pictures(spec: DataSpec, root: Path, *, seed: int, compute: Compute, recipe: Recipe | None = None) -> tuple[Pictures, Pictures]:
    """Opens the training subset and the held-out set of a stage.

    Args:
        recipe: says whether all seeds have one subset, and whether the test images follow it.

    Raises:
        InputError: a store is missing, or holds other data than the plan was made for.
    """
    stores = []
    for split, fingerprint in ((spec.train_split, spec.train_fingerprint), (spec.heldout_split, spec.heldout_fingerprint)):
        stores.append(open_store(root, spec.source, split, spec.stored_px, spec.storage))
        if stores[-1].fingerprint != fingerprint:
            raise InputError(
                f"The store of {spec.source} {split} was made from other files than the plan: delete {root} and launch again to make it anew."
            )
    if isinstance(recipe, FinetuneRecipe) and recipe.split == "ucl-code":
        both = joined_stores(*stores)
        order = released_order(len(both))
        parts = order[: spec.train_images], order[spec.train_images :][: spec.heldout_images]
        return tuple(Pictures(both, part, compute, spec.image_px) for part in parts)  # type: ignore[return-value]
    if isinstance(recipe, SupervisedRecipe) and recipe.subset_seed == "fixed":
        seed = FIXED_SUBSET_SEED
    result = []
    for store, images, subset_seed, sampling in (
        (stores[0], spec.train_images, seed, spec.sampling),
        (stores[1], spec.heldout_images, HELDOUT_SEED, "proportional"),
    ):
        # a generated split may hold more than was asked for; its prefix is what any launch would
        # have made
        count = stream_images(images, sampling) if get_source(spec.source).generated else len(store)
        indices = subset(store.labels[:count], images=images, seed=subset_seed, sampling=sampling)
        result.append(Pictures(store, indices, compute, spec.image_px))
    return result[0], result[1]


def released_order(images: int) -> np.ndarray:
    """The order in which Bridge, Sun et al.'s code splits all images of the data set: the first train,
    the next test, so the test set changes with the number of labels (main_finetune.py of
    itshuey/masked-image-modelling: `random_split` by a generator of seed 42).
    """
    return torch.randperm(images, generator=torch.Generator().manual_seed(RELEASED_SPLIT_SEED)).numpy()
