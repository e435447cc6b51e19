"""Charts and the one-file HTML report of a study; all statistics come from `analysis`.

    from reports import build_report
    build_report("runs/quickstart")                 # writes runs/quickstart/report.html

    from reports import build_published
    build_published("diminishing-returns")          # writes diminishing-returns.html

Each figure is a function from a finished table to an Altair chart, for use on its own as well.
"""

from reports.figures import (
    cell_score_by_labels,
    forest,
    gain_per_doubling,
    loss_against_score,
    loss_and_score,
    loss_by_length,
    paired_effect,
    score_by_images,
    score_by_labels,
    similarity_by_distance,
    validation_loss_by_images,
    validation_loss_during_training,
    value_by_encoder,
)
from reports.published import build_published
from reports.report import build_report
from reports.study import ReportError
from reports.theme import FigureError

__all__ = [
    "FigureError",
    "ReportError",
    "build_published",
    "build_report",
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
