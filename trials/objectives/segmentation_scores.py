"""Segmentation scores from confusion counts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trials.data.mask_classes import IGNORED


def confusion_per_image(truth: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """(B, H, W) class indices of truth and prediction -> (B, classes, classes) counts, rows truth,
    columns prediction. Pixels whose truth is `IGNORED` do not count.
    """
    batch = len(truth)
    pair = truth.long() * classes + prediction.long()
    pair += torch.arange(batch, device=truth.device).view(-1, 1, 1) * classes**2
    return torch.bincount(pair[truth != IGNORED], minlength=batch * classes**2).view(batch, classes, classes)


def class_ious(confusion: np.ndarray) -> np.ndarray:
    """(..., classes, classes) counts -> (..., classes) intersection over union; NaN for a class
    absent from truth and prediction.
    """
    hit = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    union = confusion.sum(-1) + confusion.sum(-2) - hit
    return np.divide(hit, union, out=np.full_like(hit, np.nan), where=union > 0)


def mean_ious(confusions: np.ndarray) -> np.ndarray:
    """(images, classes, classes) -> (images,): the mean IoU of the classes that an image has; 0 where
    no pixel of it counts.
    """
    ious = class_ious(confusions)
    return np.nansum(ious, axis=-1) / np.maximum(np.isfinite(ious).sum(axis=-1), 1)


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Share of pixels classified rightly."""
    return float(np.trace(confusion) / confusion.sum())


def miou(confusion: np.ndarray) -> float:
    """Mean IoU over the classes that occur, from one (classes, classes) matrix over the whole test
    set: the field's standard.
    """
    return float(np.nanmean(class_ious(confusion)))


def miou_ucl_per_image(confusions: np.ndarray) -> np.ndarray:
    """(images, classes, classes) -> (images,): the sum of an image's IoUs over the number of
    classes, an absent class scoring 0.

    The score of Bridge, Sun et al., kept for comparison with their numbers alone: where a class is
    absent, a perfect prediction scores 0.667.
    """
    return np.nan_to_num(class_ious(confusions), nan=0.0).mean(axis=-1)
