"""The figures: each a function from a finished table to a chart; none of them fits, averages or tests anything."""

from reports.figures.effects import paired_effect
from reports.figures.losses import loss_and_score, validation_loss_by_images, validation_loss_during_training
from reports.figures.scores import score_by_labels

__all__ = [
    "loss_and_score",
    "paired_effect",
    "score_by_labels",
    "validation_loss_by_images",
    "validation_loss_during_training",
]
