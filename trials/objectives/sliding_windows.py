"""Segmentation of images larger than a crop: overlapping windows, whose logits are averaged.

Windows have the side of the training crops and lie 2/3 of it apart (rounded down: 426 of 640 px, as
in Xie et al., arXiv 2206.04664); the last in each direction ends with the image. That is
mmsegmentation's test mode `slide`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

LONGEST_OVER_SHORT = 4
"""An image of 640 px for its short side is at most 2,560 px long."""
MOST_WINDOWS = 32
"""That are taken through the model at once."""


def scaled_size(height: int, width: int, short_px: int, window_px: int) -> tuple[int, int]:
    """Height and width with the short side at `short_px`, or less where the long side would be over
    4 times `short_px`; neither is below the window's side.
    """
    factor = min(short_px / min(height, width), LONGEST_OVER_SHORT * short_px / max(height, width))
    return max(window_px, round(height * factor)), max(window_px, round(width * factor))


def window_starts(length_px: int, window_px: int) -> list[int]:
    """Where windows begin along one side of an image."""
    stride = max(1, window_px * 2 // 3)
    count = max(length_px - window_px + stride - 1, 0) // stride + 1
    return [min(number * stride, max(length_px - window_px, 0)) for number in range(count)]


def sliding_logits(logits_of: Callable[[Tensor], Tensor], pixels: Tensor, window_px: int) -> Tensor:
    """The mean logits at each pixel of an image over the windows that cover it.

    Args:
        logits_of: (B, C, window, window) inputs -> (B, classes, window, window) logits.
        pixels: (1, C, H, W), neither side below the window's.

    Returns:
        (1, classes, H, W).
    """
    height, width = pixels.shape[-2:]
    places = [(top, left) for top in window_starts(height, window_px) for left in window_starts(width, window_px)]
    total: Tensor | None = None
    covered = pixels.new_zeros(1, 1, height, width)
    for start in range(0, len(places), MOST_WINDOWS):
        chosen = places[start : start + MOST_WINDOWS]
        logits = logits_of(torch.cat([pixels[..., top : top + window_px, left : left + window_px] for top, left in chosen]))
        if total is None:
            total = logits.new_zeros(1, logits.shape[1], height, width)
        for (top, left), one in zip(chosen, logits, strict=True):
            total[0, :, top : top + window_px, left : left + window_px] += one
            covered[0, :, top : top + window_px, left : left + window_px] += 1
    assert total is not None
    return total / covered


def resized_pixels(images: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, H, W, 3) uint8 -> (1, *size, 3) uint8, bilinearly and antialiased; as it is at its size."""
    if tuple(images.shape[1:3]) == size:
        return images
    values = F.interpolate(images.permute(0, 3, 1, 2).float(), size=size, mode="bilinear", antialias=True, align_corners=False)
    return values.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
