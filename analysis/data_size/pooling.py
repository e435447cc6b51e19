"""Mean effect of more data over cells, where cells of one encoder are dependent; and equivalence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.data_size.grid import SizeGrid
from analysis.overfitting.split import FALLING, OVERFITTING
from analysis.significance.equivalence import tost
from analysis.significance.multiplicity import holm
from analysis.student import t_p_value, t_quantile

Array = NDArray[np.float64]
NAN = float("nan")


def over_cells(grid: SizeGrid, pairs: pd.DataFrame, *, groups: pd.Series | None, margin: float | None, level: float) -> pd.DataFrame:
    """The table `pooled` of MoreDataEffects; `groups` is the independent group of each seed."""
    rows = []
    units = ["encoder", *(["seed"] if grid.seeds > 1 else [])]
    for (small, large), every in pairs.groupby(["smaller", "larger"], sort=True):
        lengths = every["length"].unique()
        for length in ["all", *sorted(lengths)] if len(lengths) > 1 else ["all"]:
            cells = every if length == "all" else every[every["length"] == length]
            for unit in units:
                means, note = _encoder_means(cells) if unit == "encoder" else _seed_means(cells, groups)
                found = mean_over(means, unit, margin=margin, level=level)
                largest = float(cells["difference"].abs().max())
                rows.append(
                    (small, large, length, unit, len(cells), len(means), *found[:4], largest, found[4], "; ".join(filter(None, (found[5], note))))
                )
    columns = [
        "smaller",
        "larger",
        "length",
        "unit",
        "n_cells",
        "n_units",
        "difference",
        "low",
        "high",
        "p",
        "largest_absolute",
        "p_equivalent",
        "note",
    ]
    table = pd.DataFrame(rows, columns=columns)
    corrected = np.full(len(table), np.nan)
    for unit in units:
        for whole in (True, False):  # the rows over all lengths answer one question, those by length another
            family = ((table["unit"] == unit) & ((table["length"] == "all") == whole)).to_numpy()
            corrected[family] = holm(table.loc[family, "p"].to_numpy(float))
    table.insert(list(table.columns).index("p") + 1, "p_holm", corrected)
    return table


def by_regime(table: pd.DataFrame, regime: str | None, *, margin: float | None, level: float) -> pd.DataFrame:
    """The table `regimes` of MoreDataEffects: steps to the next size, by whether the smaller
    overfits.
    """
    columns = ["regime", "measure", "n_cells", "n_encoders", "difference", "low", "high", "p", "p_equivalent", "note"]
    if regime is None:
        return pd.DataFrame(columns=columns)
    steps = table[table["is_next"] & table[regime].notna()]
    rows = []
    for measure in ("step", "doubling"):
        doublings = np.log2(steps["larger"] / steps["smaller"]) if measure == "doubling" else 1.0
        gains = steps.assign(gain=steps["difference"] / doublings)
        means = {name: gains[gains[regime] == name].groupby("encoder")["gain"].mean() for name in (FALLING, OVERFITTING)}
        limit = margin if measure == "step" else None
        for name, one in means.items():
            rows.append(
                (name, measure, int((gains[regime] == name).sum()), len(one), *mean_over(one.to_numpy(), "encoder", margin=limit, level=level))
            )
        gap = (means[OVERFITTING] - means[FALLING]).dropna()
        found = mean_over(gap.to_numpy(), "encoder with both", margin=None, level=level)
        rows.append(("difference", measure, int(gains["encoder"].isin(gap.index).sum()), len(gap), *found))
    return pd.DataFrame(rows, columns=columns)


def mean_over(values: Array, unit: str, *, margin: float | None, level: float) -> tuple[float, float, float, float, float, str]:
    """Mean, low, high, p, p of equivalence and note, by Student's t over independent units,
    (units,).
    """
    n = len(values)
    if n == 0:
        return NAN, NAN, NAN, NAN, NAN, f"no {unit}"
    mean = float(np.mean(values))
    if n == 1:
        return mean, NAN, NAN, NAN, NAN, f"one {unit}, so there is no spread over them"
    error = float(np.std(values, ddof=1)) / n**0.5
    if error <= 1e-12 * abs(mean) or error == 0.0:
        return mean, NAN, NAN, NAN, NAN, f"all {n} {unit}s show the same difference, so their spread says nothing"
    half = t_quantile(level, n - 1) * error
    p = t_p_value(mean / error, n - 1)
    return mean, mean - half, mean + half, p, NAN if margin is None else tost(mean, error, n - 1, margin=margin).p_tost, ""


def _encoder_means(cells: pd.DataFrame) -> tuple[Array, str]:
    by_encoder: dict[str, list[float]] = {}
    for name, gap in zip(cells["encoder"].tolist(), cells["difference"].tolist(), strict=True):
        by_encoder.setdefault(name, []).append(gap)
    uneven = len({len(gaps) for gaps in by_encoder.values()}) > 1
    note = "encoders differ in their number of cells, and count alike" if uneven else ""
    return np.array([sum(gaps) / len(gaps) for gaps in by_encoder.values()]), note


def _seed_means(cells: pd.DataFrame, groups: pd.Series | None) -> tuple[Array, str]:
    by_seed = pd.DataFrame(cells["by_seed"].tolist())
    whole = by_seed.dropna(axis=1)
    left = by_seed.shape[1] - whole.shape[1]
    means, notes = whole.mean(axis=0), [f"{left} seeds lack a cell and are left out"] if left else ["given these encoders"]
    shared = None if groups is None else groups.reindex(means.index)
    if shared is not None and 1 < shared.nunique() < len(means):
        notes.append(f"{len(means)} seeds share pre-trainings and make {shared.nunique()} independent groups")
        means = means.groupby(shared.to_numpy()).mean()
    elif shared is not None and shared.nunique() == 1 < len(means):
        notes.append("conditional on the pre-trainings that the seeds share")
    return means.to_numpy(), "; ".join(notes)
