"""Training curves: read from metrics.jsonl and thinned to means with the range over trainings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import change_point
from reports.report_data import ReportData, read_metrics

MOST_POINTS = 60
"""Points of one curve that are drawn; more are averaged in bins that are even on the logarithmic
axis.
"""
COLUMNS = ["stage_id", "measure", "step", "image_passes", "value"]


def read_curves(study: ReportData, stages: Iterable[str], measures: Sequence[str]) -> pd.DataFrame:
    """What stages measured while they trained, one row a measurement: stage_id, measure, step,
    image_passes, value; finite values alone.
    """
    rows = []
    for identity in sorted(stages):
        for line in read_metrics(study.folder, identity):
            step = line.get("step")
            if not isinstance(step, (int, float)):
                continue
            for measure in measures:
                value, passes = line.get(measure), line.get("image_passes", step)
                if isinstance(value, (int, float)) and np.isfinite(value) and isinstance(passes, (int, float)):
                    rows.append((identity, measure, int(step), float(passes), float(value)))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"image_passes": "float64", "value": "float64"})


def thinned(curves: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Averages the curves of each group: the columns of `by`, image_passes, mean, low, high (range
    over trainings), trainings.

    `curves` has stage_id, image_passes, value and the columns of `by`. Measurements before the
    first image have no place on a logarithmic axis and are left out.
    """
    names = list(by)
    kept = curves.loc[curves["image_passes"] > 0]
    if kept.empty:
        return pd.DataFrame(columns=[*names, "image_passes", "mean", "low", "high", "trainings"])
    parts = []
    for key, part in kept.groupby(names, sort=False):
        passes = part["image_passes"].to_numpy()
        place = passes
        if len(np.unique(passes)) > MOST_POINTS:
            edges = np.geomspace(passes.min(), passes.max(), MOST_POINTS + 1)[1:-1]
            place = np.searchsorted(edges, passes, side="right").astype(float)
        own = part.assign(place=place).groupby(["place", "stage_id"], sort=True)[["image_passes", "value"]].mean().groupby(level="place", sort=True)
        frame = pd.DataFrame({"image_passes": own["image_passes"].mean(), "mean": own["value"].mean(), "low": own["value"].min()})
        # Six decimals are far below the noise of a batch, and keep a page with hundreds of curves
        # small.
        frame = frame.assign(high=own["value"].max(), trainings=own["value"].size()).round(6).reset_index(drop=True)
        own_names: dict[str, Any] = dict(zip(names, key, strict=True))
        parts.append(frame.assign(**own_names)[[*names, "image_passes", "mean", "low", "high", "trainings"]])
    return pd.concat(parts, ignore_index=True)


def fixed_gaps(curves: pd.DataFrame, *, training: str, held_out: str) -> pd.DataFrame:
    """Held-out minus training loss where both were measured at the same step, on fixed images:
    stage_id, image_passes, value; empty where no stage measured both.
    """
    kept = curves.loc[curves["image_passes"] > 0].drop_duplicates(["stage_id", "measure", "image_passes"], keep="last")
    train, held = (
        kept.loc[kept["measure"] == measure].set_index(["stage_id", "image_passes"])["value"].sort_index() for measure in (training, held_out)
    )
    return (held - train).dropna().rename("value").reset_index()[["stage_id", "image_passes", "value"]]


def gaps(curves: pd.DataFrame, *, training: str, held_out: str) -> pd.DataFrame:
    """Held-out minus training loss at each held-out measurement: stage_id, image_passes, value.

    The training loss is the mean of what was logged since the held-out measurement before, for a
    single batch is noisy.
    """
    rows = []
    for identity, part in curves.loc[curves["image_passes"] > 0].groupby("stage_id", sort=True):
        own = part.sort_values("image_passes", kind="stable")
        train, held = (own.loc[own["measure"] == measure] for measure in (training, held_out))
        at = np.searchsorted(train["image_passes"].to_numpy(), held["image_passes"].to_numpy(), side="right")
        values, begin = train["value"].to_numpy(), 0
        for end, passes, loss in zip(at, held["image_passes"], held["value"], strict=True):
            if end > begin:
                rows.append((identity, float(passes), float(loss - values[begin:end].mean())))
            begin = int(end)
    return pd.DataFrame(rows, columns=["stage_id", "image_passes", "value"]).astype({"image_passes": "float64", "value": "float64"})


def turning_points(curves: pd.DataFrame, *, held_out: str) -> pd.DataFrame:
    """Whether each training's held-out loss turns up, by `analysis.change_point`: stage_id,
    overfitting, image_passes, rise, p, n, note.

    image_passes is where it begins to rise, NaN where it does not.
    """
    rows = []
    kept = curves.loc[(curves["measure"] == held_out) & (curves["image_passes"] > 0)]
    for identity, part in kept.groupby("stage_id", sort=True):
        once = part.drop_duplicates("image_passes", keep="last")
        found = change_point(once["image_passes"].to_numpy(), once["value"].to_numpy())
        rows.append((identity, found.overfitting, found.step, found.rise, found.p, found.n, found.note))
    return pd.DataFrame(rows, columns=["stage_id", "overfitting", "image_passes", "rise", "p", "n", "note"])
