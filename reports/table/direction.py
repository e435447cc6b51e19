"""Which values of a table's score are better, where its column is not one of this project's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

import pandas as pd

from analysis.runs.columns import column_of

Better = Literal["higher", "lower"]

LOWER: Final = "err error errors errs loss losses nll perplexity ppl bpb bpc wer cer eer mse rmse mae fid ece brier regret divergence mistakes"
"""Words in the name of a score of which a lower value is better."""
HIGHER: Final = "acc accuracy accuracies iou miou dice auc auroc auprc f1 ap map precision recall bleu psnr ssim r2 score"
"""Words in the name of a score of which a higher value is better."""


def usual_direction(runs: pd.DataFrame, x: str, y: str, by: Sequence[str] = ()) -> Better:
    """Which y is better, as far as the table says.

    A documented column says so itself, and most others by their name: an error or a loss is better
    low. Of a name that says nothing, lower is better where y falls from the smallest to the largest
    x in every group, since more is meant to help.
    """
    documented = column_of(runs, y).better
    if documented:
        return documented
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", y)  # valLoss; as it is written, mIoU
    words = set(re.findall(r"[a-z]+[0-9]*", f"{y} {apart}".lower()))
    if not words.isdisjoint(LOWER.split()):
        return "lower"
    if not words.isdisjoint(HIGHER.split()):
        return "higher"
    groups = [rows for _, rows in runs.groupby(list(by), dropna=False)] if by else [runs]
    means = [rows.groupby(x)[y].mean().sort_index() for rows in groups]
    changes = [one.iloc[-1] - one.iloc[0] for one in means if len(one) > 1]
    return "lower" if changes and max(changes) < 0 else "higher"
