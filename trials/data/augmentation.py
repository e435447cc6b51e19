"""Crops, flips and contrast, drawn for each image of a batch, and the form of a model's inputs.

Draws are made on the CPU, from a seeded generator, so they are the same on every device. What they
describe is done on the device (`trials.data.resampling`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trials.recipes.fields import FinetuneRecipe, Recipe, SupervisedRecipe

TRIES = 10
"""Of torchvision's RandomResizedCrop, before it takes a central crop."""

# ImageNet's channel means and standard deviations (Krizhevsky et al. 2012, as torchvision gives
# them), in all phases alike: normalising in one phase and not in the next is fault 8 of the first
# paper.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


@lru_cache(maxsize=16)
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """(1, 3, 1, 1) mean and standard deviation on a device; kept, since copying them there anew
    would make each step wait for it.
    """
    return tuple(torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (_MEAN, _STD))  # type: ignore[return-value]


def unit_pixels(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in 0 to 1, not normalised: what the first paper's
    code fine-tunes on.
    """
    return images.permute(0, 3, 1, 2).float().div_(255)


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 with ImageNet's statistics."""
    return _standardise(unit_pixels(images))


def _standardise(pixels: Tensor) -> Tensor:
    mean, std = _statistics(pixels.device)
    return pixels.sub_(mean).div_(std)


class InputForm:
    """How a stage of a recipe turns pixels into inputs: contrast changed where the recipe asks for
    it, then normalised unless it says otherwise.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._normalised = not isinstance(recipe, FinetuneRecipe) or recipe.normalise_inputs

    def __call__(self, images: Tensor, contrast: Tensor | None = None) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32.

        Args:
            contrast: (B,) factors; None changes nothing.
        """
        pixels = unit_pixels(images)
        if contrast is not None:
            pixels = change_contrast(pixels, contrast.to(pixels.device, non_blocking=True))
        return _standardise(pixels) if self._normalised else pixels


def change_contrast(pixels: Tensor, factors: Tensor) -> Tensor:
    """(B, 3, H, W) in 0 to 1 and (B,) factors -> each image's distance from its mean grey times its
    factor, clipped: torchvision's `adjust_contrast`.
    """
    red, green, blue = pixels.unbind(dim=1)
    grey = (0.2989 * red + 0.587 * green + 0.114 * blue).mean(dim=(1, 2))
    by = factors.to(pixels.dtype).view(-1, 1, 1, 1)
    return (by * pixels + (1 - by) * grey.view(-1, 1, 1, 1)).clamp_(0, 1)


def takes_nearest(recipe: Recipe) -> bool:
    """Whether a recipe resizes images by taking single pixels."""
    return isinstance(recipe, SupervisedRecipe) and recipe.resize == "nearest"


def denormalise(images: Tensor) -> Tensor:
    """(B, 3, H, W) normalised -> (B, H, W, 3) uint8, clipped."""
    mean, std = _statistics(images.device)
    pixels = (images.float() * std + mean).clamp(0, 1).mul(255).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1)


@dataclass(frozen=True)
class Crops:
    """The part of each image that is taken, and how it is turned.

    Attributes:
        values: (B, 5) int64 top, left, height and width in pixels of the stored image, and 1 where
            it is mirrored left to right. On the CPU, or on the device where a captured step reads it.
        bound: a height and a width that no crop exceeds, where that is known without looking.
    """

    values: Tensor
    bound: tuple[int, int] | None = None

    @property
    def boxes(self) -> Tensor:
        """(B, 4) top, left, height and width."""
        return self.values[:, :4]

    @property
    def flips(self) -> Tensor:
        """(B,) bool."""
        return self.values[:, 4] > 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | Tensor) -> Crops:
        """Those of some of the images."""
        return Crops(self.values[rows], self.bound)

    @property
    def largest(self) -> tuple[int, int]:
        """A height and a width that no crop exceeds."""
        if self.bound is not None:
            return self.bound
        height, width = self.boxes[:, 2:].max(dim=0).values.tolist()
        return height, width


def whole_images(sizes: Tensor) -> Crops:
    """(B, 2) heights and widths -> crops that take each image whole."""
    return Crops(F.pad(sizes, (2, 1)))


def centre_squares(sizes: Tensor, share: float = 1.0) -> Crops:
    """(B, 2) heights and widths -> crops that take the square in the centre whose side is that
    share of the short side.

    A share of 7/8 is what resizing the short side to 256 px and cutting out the central 224 px
    takes.
    """
    side = (sizes.min(dim=1, keepdim=True).values * share).round().long().clamp(min=1).expand(-1, 2)
    boxes = torch.cat([torch.div(sizes - side, 2, rounding_mode="floor"), side], dim=1)
    return Crops(F.pad(boxes, (0, 1)))


def draw_crops(sizes: Tensor, recipe: Recipe, *generators: torch.Generator) -> Crops:
    """Crops as torchvision's RandomResizedCrop draws them, and flips.

    The area is uniform in [crop_scale_min, 1] of the image's, the aspect ratio log-uniform in
    [1/crop_ratio_max, crop_ratio_max], the place uniform. Of ten tries the first that lies within
    the image is taken; if none does, the largest central crop whose ratio is allowed. With both at
    1 nothing is cropped: each image is taken whole.

    Args:
        sizes: (B, 2) int64 heights and widths.
        generators: on the CPU; what they give does not depend on the sizes. Each draws for an equal
            share of the images, in order.
    """
    count = len(sizes)
    each = count // len(generators)
    # numpy: small arrays take less time
    draws = np.concatenate([torch.rand(2 * TRIES + 3, each, generator=one, dtype=torch.float64).numpy() for one in generators], axis=1)
    flips = draws[-1] < recipe.flip
    size = sizes.numpy()
    values = np.zeros((count, 5), dtype=np.int64)
    values[:, 4] = flips
    if recipe.crop_scale_min == 1 and recipe.crop_ratio_max == 1:
        values[:, 2:4] = size
        return Crops(torch.from_numpy(values))
    area = size.prod(axis=1) * (recipe.crop_scale_min + (1 - recipe.crop_scale_min) * draws[:TRIES])
    root = np.exp((draws[TRIES : 2 * TRIES] - 0.5) * math.log(recipe.crop_ratio_max))  # of the aspect ratio
    side = np.sqrt(area)
    tried = np.rint(np.stack([side / root, side * root], axis=-1))  # (tries, B, 2) heights and widths
    fits = ((tried > 0) & (tried <= size)).all(axis=-1)
    chosen = tried[fits.argmax(axis=0), np.arange(count)]
    central, found = _central(size, recipe.crop_ratio_max), fits.any(axis=0)[:, None]
    taken = np.where(found, chosen, central)
    values[:, :2] = np.where(found, np.floor(draws[-3:-1].T * (size - taken + 1)), (size - taken) // 2)
    values[:, 2:4] = taken
    return Crops(torch.from_numpy(values))


def _central(size: np.ndarray, ratio_max: float) -> np.ndarray:
    """(B, 2) heights and widths of the largest crops whose ratio is allowed; at least 1 px, where
    torchvision would round a strip of 1 px to nothing.
    """
    central: np.ndarray = np.minimum(size, np.maximum(1, np.rint(size[:, ::-1] * ratio_max)))
    return central


def largest_crop(sizes: Tensor, recipe: Recipe) -> tuple[int, int]:
    """(N, 2) heights and widths -> the height and the width, in pixels, that no crop of these images
    exceeds.
    """
    height, width = sizes.unbind(dim=1)
    if recipe.crop_scale_min < 1 or recipe.crop_ratio_max > 1:  # else images are taken whole
        # the area is at most the image's; a side is rounded
        side = (sizes.double().prod(dim=1) * recipe.crop_ratio_max).sqrt().ceil().long()
        height, width = torch.minimum(height, side), torch.minimum(width, side)
    return int(height.max()), int(width.max())


def draw_transforms(
    sizes: Tensor, recipe: Recipe, generator_of: Callable[[str, int], torch.Generator], purpose: str, counters: Sequence[int] = (0,)
) -> tuple[Tensor, Tensor]:
    """(B, 2) heights and widths -> the values of `Crops`, and (B,) float64 factors of contrast.

    Args:
        generator_of: called as (purpose, counter), for a generator on the CPU.
        counters: each draws for an equal share of the images, in order.
    """
    crops = draw_crops(sizes, recipe, *(generator_of(purpose, counter) for counter in counters))
    reach = recipe.contrast if isinstance(recipe, SupervisedRecipe) else 0.0
    if reach == 0:
        return crops.values, torch.ones(len(sizes), dtype=torch.float64)
    each = len(sizes) // len(counters)
    drawn = torch.cat([torch.rand(each, generator=generator_of(f"{purpose}-contrast", counter), dtype=torch.float64) for counter in counters])
    return crops.values, 1 + reach * (2 * drawn - 1)
