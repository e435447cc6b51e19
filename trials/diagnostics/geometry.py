"""Variances, similarity and rank of patch tokens; each number is defined in `trials.diagnostics`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def variances(tokens: Tensor) -> dict[str, float]:
    """(images, patches, dim) tokens -> the variances and their shares of the whole."""
    tokens = tokens.double()
    within = tokens.var(dim=1, correction=0).mean()
    across = tokens.mean(dim=1).var(dim=0, correction=0).mean()
    position = tokens.mean(dim=0).var(dim=0, correction=0).mean()
    parts = {"within_image": within, "across_image": across, "position": position, "content": (within - position).clamp(min=0)}
    total = float(within + across)
    result = {f"{name}_variance": float(value) for name, value in parts.items()} | {"total_variance": total}
    return result | {f"{name}_share": float(value) / total if total > 0 else 0.0 for name, value in parts.items()}


def manhattan_distances(patches: int) -> Tensor:
    """(patches, patches) int64 distances of places on the square grid."""
    side = round(patches**0.5)
    rows, columns = torch.arange(patches) // side, torch.arange(patches) % side
    return (rows[:, None] - rows).abs() + (columns[:, None] - columns).abs()


def similarity_by_distance(tokens: Tensor) -> list[dict[str, float | int]]:
    """(images, patches, dim) -> for each distance from 1 up: distance, similarity, pairs (of
    places, counted once).
    """
    patches = tokens.shape[1]
    unit = F.normalize(tokens.double(), dim=2)
    mean = torch.einsum("ipd,iqd->pq", unit, unit).cpu() / len(tokens)
    distances = manhattan_distances(patches)
    sums = torch.zeros(int(distances.max()) + 1, dtype=torch.float64).index_add_(0, distances.flatten(), mean.flatten())
    pairs = torch.bincount(distances.flatten())
    return [{"distance": d, "similarity": float(sums[d] / pairs[d]), "pairs": int(pairs[d]) // 2} for d in range(1, len(pairs))]


def effective_rank(tokens: Tensor) -> float:
    """(images, patches, dim) -> the effective rank of the (images * patches, dim) matrix; 0 where
    all tokens are zero.
    """
    rows = tokens.flatten(0, 1).double()
    # the triangle of a QR decomposition has the same singular values and is small, and unlike a
    # Gram matrix keeps the least of them
    singular = torch.linalg.svdvals(torch.linalg.qr(rows, mode="r")[1])
    if float(singular.sum()) == 0:
        return 0.0
    share = singular / singular.sum()
    return float(torch.exp(torch.special.entr(share).sum()))
