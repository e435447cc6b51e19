"""The linear patch probe: what a linear layer reads from frozen tokens, on images that it was not
fitted to.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PENALTY = 1e-4
"""Of the squared weights, beside a mean cross-entropy: enough for a unique optimum, too little to
move the accuracy.
"""
STEPS = 300


def majority_classes(masks: Tensor, patch_px: int, classes: int) -> Tensor:
    """(M, S, S) class indices -> (M, patches) the most common class of each patch; a tie goes to
    the lower class.
    """
    count, side = len(masks), masks.shape[1] // patch_px
    votes = F.one_hot(masks.long(), classes).view(count, side, patch_px, side, patch_px, classes)
    return votes.sum(dim=(2, 4)).flatten(1, 2).argmax(dim=-1)


def fit_linear(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The linear layer that minimises cross-entropy and a slight penalty, a convex problem, so
    nothing is drawn at random.

    Args:
        features: (n, dim) float64. labels: (n,) int64.

    Returns:
        (dim, classes) weights and (classes,) biases, for features as given.
    """
    mean, spread = features.mean(dim=0), features.std(dim=0, correction=0)
    spread = torch.where(spread > 1e-12 * features.abs().max(), spread, torch.ones_like(spread))  # a constant feature tells nothing
    scaled = (features - mean) / spread
    weights = torch.zeros(features.shape[1], classes, dtype=features.dtype, device=features.device, requires_grad=True)
    biases = torch.zeros(classes, dtype=features.dtype, device=features.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, biases], max_iter=STEPS, history_size=20, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(scaled @ weights + biases, labels) + PENALTY * weights.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)
    used = weights.detach() / spread[:, None]
    return used, biases.detach() - mean @ used


def probe(train_tokens: Tensor, train_classes: Tensor, test_tokens: Tensor, test_classes: Tensor, *, classes: int) -> dict[str, float | int]:
    """Fit on (M, patches, dim) tokens and (M, patches) classes, score on others: the probe.*
    numbers of `trials.diagnostics`.
    """
    features, labels = train_tokens.flatten(0, 1).double(), train_classes.flatten()
    weights, biases = fit_linear(features, labels, classes)
    right = ((test_tokens.double() @ weights + biases).argmax(dim=-1) == test_classes).double()
    by_image = right.mean(dim=1)
    among = torch.bincount(test_classes.flatten(), minlength=classes)
    at_place = F.one_hot(train_classes, classes).sum(dim=0).argmax(dim=-1)  # (patches,)
    return {
        "test_accuracy": float(right.mean()),
        "test_accuracy_se": float(by_image.std(correction=1) / len(by_image) ** 0.5) if len(by_image) > 1 else 0.0,
        "train_accuracy": float(((features @ weights + biases).argmax(dim=-1) == labels).double().mean()),
        "floor": int(among.max()) / int(among.sum()),
        "place_floor": float((test_classes == at_place).double().mean()),
        "train_images": len(train_tokens),
        "test_images": len(test_tokens),
    }
