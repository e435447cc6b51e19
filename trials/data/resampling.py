"""Crops of stored images, resampled to one side: as torchvision's antialiased bilinear resizing of
the cut-out part does it, on uint8.

On the CPU torch's own kernel does it image by image. On a GPU all images of a batch are resampled
by two batched products with the same triangle weights; the two differ by one grey level at most.
Masks take the nearest pixel; so do images where a recipe asks for it, which with their masks are
then sampled at torch's places for mode 'nearest'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trials.data.augmentation import Crops
from trials.data.packed import Images
from trials.models.full_precision import full_precision

AT_ONCE_PIXELS = 1 << 24
"""Of padded crops on a GPU, 200 MB in float32; larger batches are taken in parts."""


def crop_on_cpu(images: Images, indices: np.ndarray, crops: Crops, side: int, *, nearest: bool = False) -> Tensor:
    """(B,) numbers of images with their crops -> (B, side, side, 3) uint8, or (B, side, side) of
    masks.
    """
    if images.slow:
        images.prefetch(indices.tolist())
    last = images.last
    out = torch.empty((len(indices), side, side, *last), dtype=torch.uint8)
    result = out.numpy()
    places = zip(indices.tolist(), crops.boxes.tolist(), crops.flips.tolist(), strict=True)
    for row, (index, (top, left, height, width), flip) in enumerate(places):
        part = images.read(index)[top : top + height, left : left + width]
        if nearest or not last:
            part = part[np.ix_(*(nearest_pixels(np.arange(side), length, side, corner=nearest) for length in (height, width)))]
        elif (height, width) != (side, side):
            part = _antialiased(part, side)
        result[row] = part[:, ::-1] if flip else part
    return out


def _antialiased(part: np.ndarray, side: int) -> np.ndarray:
    channels_first = torch.from_numpy(np.array(part)).permute(2, 0, 1)[None]
    resized: np.ndarray = F.interpolate(channels_first, (side, side), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    return resized


def nearest_pixels(places: Any, length: Any, side: int, *, corner: bool) -> Any:
    """The pixel, of `length`, at each of `places` among `side` equal parts: at its centre, as Pillow
    takes it, or at its first corner, as torch's mode 'nearest' does on tensors; arrays or tensors.
    """
    return places * length // side if corner else (2 * places + 1) * length // (2 * side)


@dataclass(frozen=True, kw_only=True)
class Flat:
    """Images one after another on a device."""

    pixels: Tensor
    """(P, 3) uint8 of images, (P,) of masks."""
    starts: Tensor
    """(B,) int64: the first pixel of each image, or of what was cut out of it."""
    row_pixels: Tensor
    """(B,) int64: from one row to the next."""

    def __getitem__(self, rows: Tensor | slice) -> Flat:
        """Some of the images."""
        return Flat(pixels=self.pixels, starts=self.starts[rows], row_pixels=self.row_pixels[rows])


def crop_on_device(flat: Flat, crops: Crops, side: int, *, nearest: bool = False) -> Tensor:
    """The crops of images that lie on a device -> (B, side, side, 3) uint8, or (B, side, side) of
    masks.

    Args:
        crops: on the CPU, or on the device too. Their largest height and width decide the shapes
            that the work is done in; with a bound of theirs it can be captured.
    """
    height, width = crops.largest
    at_once = max(1, AT_ONCE_PIXELS // (height * width))
    if len(crops) > at_once:
        some = [slice(start, start + at_once) for start in range(0, len(crops), at_once)]
        return torch.cat([crop_on_device(flat[part], crops[part], side, nearest=nearest) for part in some])
    device = flat.pixels.device
    there = Crops(_moved(crops.values, device))
    flips = there.flips
    top, left, tall, wide = there.boxes.unbind(dim=1)
    if nearest or flat.pixels.ndim == 1:
        places = torch.arange(side, device=device)
        rows_of, columns_of = (nearest_pixels(places, one[:, None], side, corner=nearest) for one in (tall, wide))
        out = _gathered(flat, rows_of + top[:, None], columns_of + left[:, None])
    else:
        # beyond a crop's edges its last row or column is read, with a weight of 0
        rows_of = torch.minimum(torch.arange(height, device=device), tall[:, None] - 1) + top[:, None]
        columns_of = torch.minimum(torch.arange(width, device=device), wide[:, None] - 1) + left[:, None]
        parts = _gathered(flat, rows_of, columns_of)
        with full_precision(device):
            down, across = _weights(tall, side, height), _weights(wide, side, width)
            lower = torch.bmm(down, parts.float().flatten(2)).view(len(crops), side, width, 3)
            out = torch.matmul(across[:, None], lower).round().clamp(0, 255).to(torch.uint8)
    turned = flips.view(-1, *[1] * (out.ndim - 1))
    return torch.where(turned, out.flip(2), out)


def _moved(values: Tensor, device: torch.device) -> Tensor:
    """From pinned memory, since a copy from any other waits for the GPU."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" and values.device.type == "cpu" else values


def _gathered(flat: Flat, rows: Tensor, columns: Tensor) -> Tensor:
    """(B, h) rows and (B, w) columns of each image -> (B, h, w, 3) or (B, h, w)."""
    places = (flat.starts[:, None] + rows * flat.row_pixels[:, None])[:, :, None] + columns[:, None]
    return flat.pixels[places]


def _weights(lengths: Tensor, side: int, most: int) -> Tensor:
    """(B,) lengths in pixels -> (B, side, most): the weight of each pixel in each of `side` equal
    parts, a triangle as wide as two pixels or two parts, whichever is wider; each row sums to 1.
    """
    pixel = torch.arange(most, device=lengths.device) + 0.5
    scale = (lengths.float() / side)[:, None, None]
    centre = scale * (torch.arange(side, device=lengths.device)[:, None] + 0.5)
    weights = (1 - (pixel - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * (pixel < lengths[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)
