"""Charts and the one-file HTML report of a study; all statistics come from `analysis`.

    from reports import build_report
    build_report("runs/quickstart")                 # writes runs/quickstart/report.html

    from reports import build_published
    build_published("diminishing-returns")          # writes diminishing-returns.html

Each figure is a function from a finished table to an Altair chart, for use on its own as well.
"""

from reports.comparison import build_comparison
from reports.export import write_figures
from reports.figures import (
    attention_by_layer,
    cell_score_by_labels,
    coverage_map,
    forest,
    gain_per_doubling,
    law_backtest,
    law_residuals,
    learning_curves,
    loss_against_score,
    loss_and_score,
    loss_by_length,
    loss_by_model,
    paired_effect,
    score_by_images,
    score_by_labels,
    score_surface,
    similarity_by_distance,
    training_and_held_out,
    validation_loss_by_images,
    validation_loss_during_training,
    value_by_encoder,
    worth_in_labels,
)
from reports.published import build_published
from reports.report import build_report
from reports.study import ReportError
from reports.theme import FigureError
from reports.watch import watch

__all__ = [
    "FigureError",
    "ReportError",
    "attention_by_layer",
    "build_comparison",
    "build_published",
    "build_report",
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
    "watch",
    "worth_in_labels",
    "write_figures",
]
