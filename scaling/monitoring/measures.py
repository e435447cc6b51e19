"""The measures of a stage that are shown while it runs and when it is done."""

from __future__ import annotations

HELD_OUT_LOSSES = ("val_mim_loss",)
TRAINING_LOSSES = ("train_mim_loss", "train_loss")
SCORES = ("val_accuracy", "miou", "accuracy")
"""On held-out or test images, 0 to 1, higher is better."""

RESULTS = (*HELD_OUT_LOSSES, *SCORES)
"""What a finished stage is judged by."""
NEWEST = (*RESULTS, *TRAINING_LOSSES)
"""Of a running stage the first of these that it has reported is shown."""


def best(measure: str, values: list[float]) -> float:
    """The best of some values of a measure: the highest score, the lowest loss."""
    return max(values) if measure in SCORES else min(values)
