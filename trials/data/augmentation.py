"""Crops, flips and contrast, drawn for each image of a batch, and the form of a model's inputs.

Draws are made on the CPU, from a seeded generator, so they are the same on every device. What they
describe is done on the device (`trials.data.resampling`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from trials.recipes.fields import FinetuneRecipe, Recipe

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


def input_form(recipe: Recipe) -> Callable[[Tensor], Tensor]:
    """How a stage of that recipe turns (B, H, W, 3) uint8 into inputs: normalised, unless the
    recipe says otherwise.
    """
    return unit_pixels if isinstance(recipe, FinetuneRecipe) and not recipe.normalise_inputs else normalise


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 with ImageNet's statistics."""
    mean, std = _statistics(images.device)
    return images.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)


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


def draw_crops(sizes: Tensor, recipe: Recipe, generator: torch.Generator) -> Crops:
    """Crops as torchvision's RandomResizedCrop draws them, and flips.

    The area is uniform in [crop_scale_min, 1] of the image's, the aspect ratio log-uniform in
    [1/crop_ratio_max, crop_ratio_max], the place uniform. Of ten tries the first that lies within
    the image is taken; if none does, the largest central crop whose ratio is allowed. With both at
    1 nothing is cropped: each image is taken whole.

    Args:
        sizes: (B, 2) int64 heights and widths.
        generator: on the CPU; what it gives does not depend on the sizes.
    """
    count = len(sizes)
    draws = torch.rand(2 * TRIES + 3, count, generator=generator, dtype=torch.float64)
    flips = draws[-1] < recipe.flip
    if recipe.crop_scale_min == 1 and recipe.crop_ratio_max == 1:
        return Crops(torch.cat([whole_images(sizes).boxes, flips.long()[:, None]], dim=1))
    size = sizes.double()
    area = size.prod(dim=1) * (recipe.crop_scale_min + (1 - recipe.crop_scale_min) * draws[:TRIES])
    ratio = torch.exp((2 * draws[TRIES : 2 * TRIES] - 1) * math.log(recipe.crop_ratio_max))
    tried = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], dim=-1).round()  # (tries, B, 2) heights and widths
    fits = ((tried > 0) & (tried <= size)).all(dim=-1)
    chosen = tried.gather(0, fits.byte().argmax(dim=0).view(1, count, 1).expand(-1, -1, 2))[0]
    central = _central(size, recipe.crop_ratio_max)
    found = fits.any(dim=0)[:, None]
    taken = torch.where(found, chosen, central)
    place = torch.where(found, (draws[-3:-1].T * (size - taken + 1)).floor(), torch.div(size - taken, 2, rounding_mode="floor"))
    return Crops(torch.cat([place, taken, flips[:, None]], dim=1).long())


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


def _central(size: Tensor, ratio_max: float) -> Tensor:
    """(B, 2) heights and widths of the largest crops whose ratio is allowed."""
    height, width = size.unbind(dim=1)
    narrow, wide = width / height < 1 / ratio_max, width / height > ratio_max
    # at least 1 px, where torchvision would round a strip of 1 px to nothing
    return torch.stack(
        [torch.where(narrow, (width * ratio_max).round(), height), torch.where(wide, (height * ratio_max).round(), width)], dim=1
    ).clamp(min=1)
