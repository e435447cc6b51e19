"""The figures: each a function from a finished table to a chart; none of them fits, averages or tests anything."""

from reports.figures.cells import cell_score_by_labels, gain_per_doubling
from reports.figures.effects import paired_effect
from reports.figures.forest import forest
from reports.figures.geometry import similarity_by_distance, value_by_encoder
from reports.figures.losses import loss_and_score, validation_loss_by_images, validation_loss_during_training
from reports.figures.scaling import loss_against_score, loss_by_length, score_by_images
from reports.figures.scores import score_by_labels

__all__ = [
    "cell_score_by_labels",
    "forest",
    "gain_per_doubling",
    "loss_against_score",
    "loss_and_score",
    "loss_by_length",
    "paired_effect",
    "score_by_images",
    "score_by_labels",
    "similarity_by_distance",
    "validation_loss_by_images",
    "validation_loss_during_training",
    "value_by_encoder",
]
