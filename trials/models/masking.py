"""Which parts of an image are hidden: squares of one side, exactly as many in each image, drawn
from a generator.

In Bridge, Sun et al. a square is one patch; in SimMIM (Xie et al. 2022) and Xie et al. (arXiv
2206.04664) it is 32 px, eight 4 px embeddings of a SwinV2 a side, and their number is rounded up:
22 of 36 at 192 px.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from trials.errors import InputError
from trials.models.encoders import parse_encoder
from trials.recipes.fields import PretrainRecipe

Rounding = Literal["nearest", "up"]


def mask_unit_px(recipe: PretrainRecipe, stride_px: int) -> int:
    """Side of the squares: the recipe's, or that of an output token where it names none."""
    return recipe.mask_unit_px or stride_px


def check_masking(encoder: str, recipe: PretrainRecipe) -> None:
    """Whether the images of the encoder of that name can be masked as the recipe says; nothing is
    built, so a plan may ask.

    Raises:
        InputError: the encoder's name is wrong, or mask units do not divide its image, or cut
            through its patches.
    """
    of = parse_encoder(encoder)
    unit = mask_unit_px(recipe, of.stride_px)
    if of.image_px % unit or of.image_px < 2 * unit:
        raise InputError(
            f"pretrain: mask_unit_px: units of {unit} px do not divide the {of.image_px} px images of {encoder} into at least 2 x 2: "
            "give a side that does, or 0 for one output token."
        )
    if unit % of.embed_px:
        raise InputError(
            f"pretrain: mask_unit_px: units of {unit} px cut through the {of.embed_px} px patches of {encoder}: give a multiple of {of.embed_px}."
        )


def masked_count(units: int, ratio: float, rounding: Rounding = "nearest") -> int:
    """Units masked in each image: the ratio of them, rounded to the nearest or up, at least one and
    not all.
    """
    # 100 x 0.07 is 7.000000000000001 in floating point, and no eighth
    count = math.ceil(round(units * ratio, 9)) if rounding == "up" else round(units * ratio)
    return min(max(count, 1), units - 1)


def draw_masks(images: int, units: int, ratio: float, generator: torch.Generator, rounding: Rounding = "nearest") -> Tensor:
    """Which units to mask, exactly as many in each image: (images, masked) int64 positions, on the
    generator's device.
    """
    order = torch.rand(images, units, generator=generator, device=generator.device).argsort(dim=1)
    return order[:, : masked_count(units, ratio, rounding)]


def refine(masked: Tensor, side: int, factor: int) -> Tensor:
    """(B, M) positions of cells on a square grid of that side -> (B, M * factor^2) positions of
    what they hold on a grid `factor` times finer.
    """
    if factor == 1:
        return masked
    row, column = masked // side * factor, masked % side * factor
    inside = torch.arange(factor, device=masked.device)
    fine = (row[:, :, None, None] + inside[:, None]) * (side * factor) + column[:, :, None, None] + inside
    return fine.flatten(1)


def as_grid(masked: Tensor, cells: int) -> Tensor:
    """(B, M) positions -> (B, cells) bool, true at these."""
    return torch.zeros(len(masked), cells, dtype=torch.bool, device=masked.device).scatter_(1, masked, True)
