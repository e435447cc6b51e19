"""Charts and the one-file HTML report of a study; all statistics come from `analysis`.

    from reports import build_report
    build_report("runs/quickstart")                 # writes runs/quickstart/report.html

Each figure is a function from a finished table to an Altair chart, for use on its own as well.
"""

from reports.figures import (
    loss_and_score,
    paired_effect,
    score_by_labels,
    validation_loss_by_images,
    validation_loss_during_training,
)
from reports.report import build_report
from reports.study import ReportError
from reports.theme import FigureError

__all__ = [
    "FigureError",
    "ReportError",
    "build_report",
    "loss_and_score",
    "paired_effect",
    "score_by_labels",
    "validation_loss_by_images",
    "validation_loss_during_training",
]
