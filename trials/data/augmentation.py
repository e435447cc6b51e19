"""Random resized crop and flip, drawn for each image of a batch on the device, the same for an
image and its mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from trials.recipes.fields import FinetuneRecipe, Recipe

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


def draw_crops(count: int, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Crops of a square image as (count, 2, 3) affine maps for `affine_grid`.

    Area uniform in [crop_scale_min, 1], aspect ratio log-uniform in [1/crop_ratio_max,
    crop_ratio_max], place uniform, as torchvision's RandomResizedCrop; where that redraws a crop
    wider than the image, the longer side is cut to the image.
    """
    device = generator.device
    area, ratio, left, top, mirror = torch.rand(5, count, generator=generator, device=device)
    area = recipe.crop_scale_min + (1 - recipe.crop_scale_min) * area
    root = torch.exp((2 * ratio - 1) * (0.5 * math.log(recipe.crop_ratio_max)))
    width, height = (area.sqrt() * root).clamp(max=1), (area.sqrt() / root).clamp(max=1)
    sign = torch.where(mirror < recipe.flip, -1.0, 1.0)
    maps = torch.zeros(count, 2, 3, device=device)
    # in affine_grid's coordinates the image spans -1 to 1: a scale is a side's share, a shift is
    # the crop's centre
    maps[:, 0, 0], maps[:, 0, 2] = width * sign, (2 * left - 1) * (1 - width)
    maps[:, 1, 1], maps[:, 1, 2] = height, (2 * top - 1) * (1 - height)
    return maps


def crop_images(images: Tensor, maps: Tensor) -> Tensor:
    """(B, 3, H, W) float -> the same shape: each image's crop, resampled bilinearly to full size."""
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def crop_masks(masks: Tensor, maps: Tensor) -> Tensor:
    """(B, H, W) class indices -> the same shape: each mask's crop, nearest neighbour."""
    grid = F.affine_grid(maps, [len(masks), 1, *masks.shape[1:]], align_corners=False)
    cropped = F.grid_sample(masks[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return cropped[:, 0].round().long()
