"""MixUp (Zhang et al. 2018, arXiv 1710.09412) and CutMix (Yun et al. 2019, arXiv 1905.04899): each
image of a batch is blended with another, or has a rectangle of it, and so are their labels.

Where a recipe has both, each batch takes one of them, with equal probability, as timm's Mixup does
with `switch_prob` 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trials.training.seeding import derive_seed

Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How the images of one batch are mixed with their partners."""

    share: float
    """Of each image's own label; 1 mixes nothing."""
    box: Box | None = None
    """CutMix: top, bottom, left and right in pixels of what comes from the partner; else the whole
    image is a weighted mean.
    """

    def values(self) -> Tensor:
        """(6,) float32: the own share, the partner's, and the box, 0 without one. What a captured step
        reads.
        """
        return torch.tensor([self.share, 1 - self.share, *(self.box or (0, 0, 0, 0))], dtype=torch.float32)


def draw_share(alpha: float, *, seed: int, step: int) -> float:
    """The share that every image of the batch at `step` keeps of itself, from Beta(alpha, alpha); 1
    where alpha is 0.

    One draw a batch, as in the paper's code. From a stream of its own and on the CPU, so that it is
    the same on every device.
    """
    return float(np.random.default_rng(derive_seed(seed, "mixup", step)).beta(alpha, alpha)) if alpha > 0 else 1.0


def draw_mixing(mixup: float, cutmix: float, *, side: int, seed: int, step: int) -> Mixing:
    """The mixing of the batch at `step`, of images of that side.

    Args:
        mixup, cutmix: alpha of each one's Beta(alpha, alpha); 0 leaves it out.
    """
    random = np.random.default_rng(derive_seed(seed, "cutmix", step)) if cutmix > 0 else None
    if random is None or (mixup > 0 and random.random() < 0.5):
        return Mixing(share=draw_share(mixup, seed=seed, step=step))
    cut = int(side * np.sqrt(1 - random.beta(cutmix, cutmix)))
    row, column = (int(place) for place in random.integers(side, size=2))
    top, left = max(row - cut // 2, 0), max(column - cut // 2, 0)
    bottom, right = min(row + (cut + 1) // 2, side), min(column + (cut + 1) // 2, side)
    # a rectangle that reaches over the edge is smaller, and the share of the label follows it
    return Mixing(share=1 - (bottom - top) * (right - left) / side**2, box=(top, bottom, left, right))


def mix(images: Tensor, partners: Tensor, values: Tensor, *, boxes: bool = True) -> Tensor:
    """(B, 3, H, W) images and those they are mixed with -> the mixed images.

    Args:
        values: (6,) of `Mixing.values`, on the device of the images.
        boxes: whether there may be one.
    """
    blended = blend(images, partners, (values[0], values[1]))
    if not boxes:
        return blended
    top, bottom, left, right = values[2:].view(4, 1)
    rows, columns = (torch.arange(count, device=images.device) for count in images.shape[-2:])
    inside = ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))
    return torch.where(bottom > top, torch.where(inside, partners, images), blended)


Shares = tuple[float, float] | tuple[Tensor, Tensor]
"""Of an image and of its partner, together 1."""


def blend(images: Tensor, partners: Tensor, shares: Shares) -> Tensor:
    """(B, 3, H, W) images and those they are blended with -> their weighted mean."""
    return partners.mul(shares[1]).add_(images.mul(shares[0]))


def blended_cross_entropy(logits: Tensor, labels: Tensor, partners: Tensor, shares: Shares, smoothing: float) -> Tensor:
    """Cross-entropy with the blended one-hot labels, a scalar; it is linear in them, so no (B,
    classes) labels are made.

    Args:
        logits: (B, classes). labels: (B,). partners: (B,), the labels of the images blended in.
        smoothing: share of each label spread evenly over all classes (Szegedy et al. 2016).
    """
    own, other = (F.cross_entropy(logits, of, label_smoothing=smoothing) for of in (labels, partners))
    return shares[0] * own + shares[1] * other
