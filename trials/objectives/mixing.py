"""MixUp (Zhang et al. 2018, arXiv 1710.09412): each image of a batch is blended with another, and
so are their labels.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from trials.training.seeding import derive_seed


def draw_share(alpha: float, *, seed: int, step: int) -> float:
    """The share that every image of the batch at `step` keeps of itself, from Beta(alpha, alpha); 1
    where alpha is 0.

    One draw a batch, as in the paper's code. From a stream of its own and on the CPU, so that it is
    the same on every device.
    """
    return float(np.random.default_rng(derive_seed(seed, "mixup", step)).beta(alpha, alpha)) if alpha > 0 else 1.0


def blend(images: Tensor, partners: Tensor, share: float) -> Tensor:
    """(B, 3, H, W) images and those they are blended with -> their weighted mean."""
    return partners.mul(1 - share).add_(images.mul(share))


def blended_cross_entropy(logits: Tensor, labels: Tensor, partners: Tensor, share: float, smoothing: float) -> Tensor:
    """Cross-entropy with the blended one-hot labels, a scalar; it is linear in them, so no (B,
    classes) labels are made.

    Args:
        logits: (B, classes). labels: (B,). partners: (B,), the labels of the images blended in.
        smoothing: share of each label spread evenly over all classes (Szegedy et al. 2016).
    """
    own, other = (F.cross_entropy(logits, of, label_smoothing=smoothing) for of in (labels, partners))
    return share * own + (1 - share) * other
