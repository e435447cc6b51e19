"""Two sets of tokens compared (CKA), and one patch compared with all others of its image, as a
picture.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# Ends of the colour scale, at cosine -1 and 1; 0 is near white. From the colour-blind-safe set of
# Okabe and Ito.
_OPPOSITE, _NEUTRAL, _ALIKE = np.array([0, 114, 178]), np.array([245, 245, 245]), np.array([213, 94, 0])


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Tokens (..., dim_1) and (..., dim_2) of the same patches -> 0 to 1; 0 where either does not
    vary.
    """
    x, y = (tokens.flatten(0, -2).double() for tokens in (first, second))
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    scale = torch.linalg.norm(x.T @ x) * torch.linalg.norm(y.T @ y)
    return float(torch.linalg.norm(y.T @ x) ** 2 / scale) if float(scale) > 0 else 0.0


def central_patch(patches: int) -> int:
    """The query patch of every heat map: on or just below and right of the middle, so that none is
    picked by its outcome.
    """
    side = round(patches**0.5)
    return (side // 2) * side + side // 2


def similarity_to(tokens: Tensor, query: int) -> Tensor:
    """(patches, dim) tokens of one image -> (patches,) cosine similarity of each to the query."""
    unit = F.normalize(tokens.double(), dim=1)
    return unit @ unit[query]


def heat_map(similarity: np.ndarray, *, patch_px: int) -> np.ndarray:
    """(patches,) cosines -> (S, S, 3) uint8: one scale for every picture, blue at -1, white at 0,
    orange at 1.
    """
    side = round(len(similarity) ** 0.5)
    value = np.clip(similarity, -1, 1).reshape(side, side, 1)
    end = np.where(value < 0, _OPPOSITE, _ALIKE)
    colours = np.round(_NEUTRAL + np.abs(value) * (end - _NEUTRAL)).astype(np.uint8)
    return colours.repeat(patch_px, axis=0).repeat(patch_px, axis=1)


def outlined(image: np.ndarray, query: int, *, patch_px: int) -> np.ndarray:
    """A copy of an (S, S, 3) uint8 image with a white frame in a black one around the query patch."""
    side = image.shape[0] // patch_px
    top, left = (query // side) * patch_px, (query % side) * patch_px
    result = image.copy()
    for margin, shade in ((1, 0), (0, 255)):  # black outside, white inside: one of them shows on any image
        box = result[max(top - margin, 0) : top + patch_px + margin, max(left - margin, 0) : left + patch_px + margin]
        box[[0, -1]] = shade
        box[:, [0, -1]] = shade
    return result
