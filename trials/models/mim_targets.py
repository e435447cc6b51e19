"""Pixels normalised by a window around each: what the second paper's SimMIM predicts (Xie et al.,
arXiv 2206.04664; `norm_targets` of its code).

Each channel of each pixel is shifted and scaled by mean and unbiased variance of the part of a 47 x
47 window around it that lies within the image. The sums are in float64, whatever the model computes
in: the variance is a difference of two of them, and in float32 it has no right digit where a window
is nearly flat.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from trials.models.full_precision import full_precision

WINDOW_PX = 47
EPSILON = 1e-6


def window_statistics(images: Tensor, window_px: int = WINDOW_PX) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) -> mean and standard deviation of the window around each pixel, float32 of the
    same shape.
    """
    with full_precision(images.device):
        images = images.double()
        height, width = (_inside(side, window_px, images.device) for side in images.shape[2:])
        count = height[:, None] * width
        mean = _window_sum(images, window_px) / count
        square = _window_sum(images.square(), window_px) / count
        variance = ((square - mean.square()) * (count / (count - 1))).clamp(min=0)
        return mean.float(), (variance + EPSILON).sqrt().float()


def normalise_by_window(images: Tensor, window_px: int = WINDOW_PX) -> Tensor:
    """(B, C, H, W) -> float32 of the same shape."""
    mean, deviation = window_statistics(images, window_px)
    return (images.float() - mean) / deviation


def _inside(side: int, window_px: int, device: torch.device) -> Tensor:
    """(side,) how many places of a window around each lie within a line of that length."""
    place, reach = torch.arange(side, device=device), window_px // 2
    return ((place + reach).clamp(max=side - 1) - (place - reach).clamp(min=0) + 1).double()


def _window_sum(images: Tensor, window_px: int) -> Tensor:
    """Sums down, then across, each by doubling: 47 = 1 + 2 + 4 + 8 + 32 places are 9 additions of
    whole images, not 46.
    """
    reach = window_px // 2
    for dim, padding in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        size, start, width, left = images.shape[dim], 0, 1, window_px
        run, parts = F.pad(images, padding), []  # `run` holds the sum of `width` places from each on
        while left:
            if left & 1:
                parts.append(run.narrow(dim, start, size))
                start += width
            left >>= 1
            if left:
                run = run.narrow(dim, 0, run.shape[dim] - width) + run.narrow(dim, width, run.shape[dim] - width)
                width *= 2
        images = sum(parts[1:], parts[0])
    return images
