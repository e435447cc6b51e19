"""What a detector is to find in a crop of an image: boxes, classes and masks in the crop's pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trials.data.instances import Instances, decode_runs
from trials.data.resampling import nearest_pixels

LEAST_PX = 1.0
"""An object is left out where less than this is seen of either side of its box."""
LARGEST_ZOOM = 2.0
"""Of large-scale jitter (Ghiasi et al. 2021, arXiv 2012.07177), whose scales are uniform up to it."""


def crop_targets(objects: Instances, size: tuple[int, int], crop: list[int], side: int, *, masks: bool, nearest: bool = False) -> dict[str, Tensor]:
    """The objects that a crop shows, without crowds, on the CPU.

    Args:
        objects: of the stored image, whose height and width are `size`.
        crop: top, left, height and width in pixels of the stored image, and 1 where it is mirrored.
        side: of the crop once it is resampled, in pixels.
        masks: whether to give masks too. nearest: as `trials.data.pictures.Pictures.masks`.

    Returns:
        `boxes` (K, 4) float32 left, top, right, bottom; `labels` (K,) int64 from 1 on; `masks` (K,
        side, side) uint8.
    """
    top, left, height, width, flip = crop
    boxes = (objects.boxes - [left, top, left, top]) * (np.array([side / width, side / height] * 2))
    boxes = boxes.clip(0, side)
    if flip:
        boxes = np.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], axis=1)
    seen = ~objects.crowds & (boxes[:, 2] - boxes[:, 0] >= LEAST_PX) & (boxes[:, 3] - boxes[:, 1] >= LEAST_PX)
    found = {"boxes": torch.from_numpy(boxes[seen].astype(np.float32)), "labels": torch.from_numpy(objects.classes[seen] + 1)}
    if not masks:
        return found
    places = np.arange(side)
    rows = top + nearest_pixels(places, height, side, corner=nearest)
    columns = left + nearest_pixels(places, width, side, corner=nearest)
    shown = [decode_runs(objects.runs[place], *size)[np.ix_(rows, columns[::-1] if flip else columns)] for place in np.flatnonzero(seen)]
    drawn = np.stack(shown).astype(np.uint8) if shown else np.zeros((0, side, side), dtype=np.uint8)
    return found | {"masks": torch.from_numpy(drawn)}


def draw_zooms(count: int, smallest: float, generator: torch.Generator) -> list[float]:
    """For each of `count` images the scale at which it is shown, at most 1: where large-scale jitter
    would draw a scale above 1, the image is left to its crop.
    """
    drawn = smallest + (LARGEST_ZOOM - smallest) * torch.rand(count, generator=generator, dtype=torch.float64)
    return [float(one) for one in drawn.clamp(max=1.0)]


def zoom_out(image: Tensor, target: dict[str, Tensor], scale: float) -> tuple[Tensor, dict[str, Tensor]]:
    """A (3, S, S) normalised image and its targets, shown at a scale in the upper left corner; the
    rest is 0, the mean colour. Objects that become smaller than 1 px are left out.
    """
    side = image.shape[-1]
    shown = max(1, round(scale * side))
    if shown >= side:
        return image, target
    small = F.interpolate(image[None].float(), (shown, shown), mode="bilinear", antialias=True)[0].to(image.dtype)
    boxes = target["boxes"] * (shown / side)
    kept = ((boxes[:, 2:] - boxes[:, :2]) >= LEAST_PX).all(dim=1)
    reduced = {"boxes": boxes[kept], "labels": target["labels"][kept]}
    if "masks" in target:
        rows = torch.from_numpy(nearest_pixels(np.arange(shown), side, shown, corner=False))
        reduced["masks"] = F.pad(target["masks"][kept][:, rows][:, :, rows], (0, side - shown, 0, side - shown))
    return F.pad(small, (0, side - shown, 0, side - shown)), reduced
