"""Arranges the runs of a table by encoder, length, data size and seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.formatting import format_setting
from analysis.overfitting.series import labels_of, setting_labels
from analysis.runs.matching import SETTINGS
from analysis.runs.table import numeric_column, require_columns

WHERE = "the runs table"
MOST_WHOLE = 2.0**53  # above it a float no longer tells whole numbers apart, and int64 ends soon
LAID_OUT = ("seed", "encoder", "pretrain_source", "pretrain_images", "pretrain_length", "intermediate_steps", "finetune_steps")


@dataclass(frozen=True, kw_only=True)
class SizeGrid:
    """Pre-trained runs with an outcome. Make one with `size_grid`."""

    frame: pd.DataFrame
    """One row per run: encoder, size (pretrain_images), length, context (label of the other
    settings that vary), seed, setting (label of the series with its seeds joined), y, row (position
    in the table given), and the columns of `contexts`.
    """
    contexts: tuple[str, ...]
    """Other settings that vary, such as finetune_images."""
    length: str
    """Column of the length."""
    n_left_out: int
    """Runs without pre-training, without an outcome, or without a length."""

    @property
    def seeds(self) -> int:
        """Number of distinct seeds."""
        return int(self.frame["seed"].nunique())

    @property
    def cells(self) -> list[str]:
        """Columns that name a cell in which sizes are compared."""
        return ["encoder", "length", *self.contexts]


def size_grid(runs: pd.DataFrame, *, outcome: str, length: str) -> SizeGrid:
    """Arranges the runs.

    Raises AnalysisError for a missing column, fewer than two data sizes, or two runs with equal
    settings.
    """
    require_columns(runs, [outcome, length, "pretrain_images"], where=WHERE)
    values, sizes, lengths = (numeric_column(runs, name, where=WHERE) for name in (outcome, "pretrain_images", length))
    there = (np.isfinite(values) & np.isfinite(sizes) & np.isfinite(lengths) & (sizes > 0) & (lengths > 0)).to_numpy()
    kept = runs[there].reset_index(drop=True)
    if kept["pretrain_images"].nunique() < 2:
        raise AnalysisError(
            f"{'one size' if kept['pretrain_images'].nunique() == 1 else 'no size'} of pre-training data has a run with '{outcome}': comparing "
            f"sizes needs two; run another."
        )
    contexts = tuple(name for name in SETTINGS if name not in LAID_OUT and name in kept.columns and kept[name].nunique(dropna=False) > 1)
    frame = kept[list(contexts)].assign(
        encoder=kept["encoder"].astype(str) if "encoder" in kept.columns else "all",
        size=_whole(sizes[there].to_numpy()),
        length=_whole(lengths[there].to_numpy()),
        context=labels_of(kept, list(contexts)),
        seed=kept["seed"].to_numpy() if "seed" in kept.columns else 0,
        setting=setting_labels(kept),
        y=values[there].to_numpy(),
        row=np.flatnonzero(there),
    )
    twice = frame[frame.duplicated(["encoder", "size", "length", "context", "seed"])]
    if len(twice):
        one = twice.iloc[0]
        raise AnalysisError(
            f"two runs share encoder {one['encoder']}, {format_setting(one['size'])} pre-training images, {length} "
            f"{format_setting(one['length'])} and seed "
            f"{format_setting(one['seed'])}: keep one of them, or give each its seed."
        )
    return SizeGrid(frame=frame, contexts=contexts, length=length, n_left_out=int((~there).sum()))


def _whole(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64) if bool(np.all((values == np.round(values)) & (np.abs(values) < MOST_WHOLE))) else values


def log_parameters(runs: pd.DataFrame, grid: SizeGrid) -> np.ndarray | None:
    """log2 of encoder_params of each row of the grid.

    None where the column is absent, incomplete or not above zero.
    """
    if "encoder_params" not in runs.columns:
        return None
    found = numeric_column(runs, "encoder_params", where=WHERE).to_numpy()[grid.frame["row"].to_numpy()]
    return np.log2(found) if bool(np.all(np.isfinite(found) & (found > 0))) else None
