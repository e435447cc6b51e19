"""The figures: each a function from a finished table to a chart; none of them fits, averages or
tests anything.
"""

from reports.figures.cells import cell_score_by_labels, gain_per_doubling
from reports.figures.coverage import coverage_map
from reports.figures.dynamics import learning_curves, training_and_held_out
from reports.figures.effects import paired_effect
from reports.figures.forest import forest
from reports.figures.geometry import attention_by_layer, similarity_by_distance, value_by_encoder
from reports.figures.laws import law_backtest, law_residuals
from reports.figures.losses import loss_and_score, validation_loss_by_images, validation_loss_during_training
from reports.figures.scaling import loss_against_score, loss_by_length, loss_by_model, score_by_images
from reports.figures.scores import score_by_labels
from reports.figures.surface import score_surface
from reports.figures.worth import worth_in_labels

__all__ = [
    "attention_by_layer",
    "cell_score_by_labels",
    "coverage_map",
    "forest",
    "gain_per_doubling",
    "law_backtest",
    "law_residuals",
    "learning_curves",
    "loss_against_score",
    "loss_and_score",
    "loss_by_length",
    "loss_by_model",
    "paired_effect",
    "score_by_images",
    "score_by_labels",
    "score_surface",
    "similarity_by_distance",
    "training_and_held_out",
    "validation_loss_by_images",
    "validation_loss_during_training",
    "value_by_encoder",
    "worth_in_labels",
]
