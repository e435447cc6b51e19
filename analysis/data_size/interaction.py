"""Regression on logs with interactions: does the value of more data grow with length and model
size?
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.data_size.grid import SizeGrid, log_parameters, size_grid
from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.formatting import number_of, p_value, percent
from analysis.overfitting.series import labels_of
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import of_table
from analysis.significance.clustered_regression import FEWEST_DEGREES, ClusteredDesign, ClusteredFit, wild_joint_p
from analysis.significance.multiplicity import holm

Array = NDArray[np.float64]
AXES = {"data": "log2 data size", "length": "log2 length", "params": "log2 parameters"}
DEPENDENT = 1e-8  # share of a column's length that is new, below which it says nothing new
STRONGLY = 0.5
FEWEST_CLUSTERS = 4


@dataclass(frozen=True, kw_only=True)
class DataInteraction:
    """Regression of the outcome on data size, length, parameters and products. From
    `data_interaction`.
    """

    outcome: str
    """The column explained."""
    outcome_title: str
    """What sentences call it."""
    level: float
    """Nominal coverage of the intervals."""
    centre: dict[str, float]
    """log2 of each variable where the others' coefficients hold: the mean over runs."""
    n: int
    """Runs."""
    clusters: int
    """Series (seeds of a setting joined), or encoders if clustered so."""
    cluster: str
    """'series' or 'encoder'."""
    table: pd.DataFrame
    """One row per term: term ('data', 'data x length', 'data^2', ...), estimate (unit of the
    outcome per doubling, per product of doublings), low, high, p, p_holm (over the terms with data
    x something), degrees (Satterthwaite's), naive_low, naive_high, naive_p (ordinary least
    squares), note.
    """
    joint: pd.DataFrame
    """Joint tests: test ('data with length', 'data with params', 'all interactions with data', 'all
    interactions'), terms, p (wild cluster bootstrap), htz_f, htz_degrees (of the denominator) and
    htz_p (the approximate F test HTZ, which errs less than it may), naive_p (ordinary least
    squares).
    """
    confounded: tuple[str, ...]
    """Sentences: what the grid cannot separate."""

    def sentences(self) -> list[str]:
        """Sentences on the interactions with data, then on what is confounded."""
        name = self.outcome_title
        sentences = []
        for row in list[Any](self.table[self.table["term"].isin(["data x length", "data x params", "data x length x params"])].itertuples()):
            more = {"data x length": "with longer training", "data x params": "with bigger models"}.get(
                row.term, "with longer training of bigger models"
            )
            if np.isnan(row.low):
                sentences.append(f"Whether the value of more data grows {more} cannot be determined: {row.note}.")
                continue
            verdict = ("grows" if row.estimate > 0 else "shrinks") if row.p_holm < 1.0 - self.level else "is not shown to change"
            sentences.append(
                f"The value of a doubling of data for {name} {verdict} {more}: {row.estimate:+z.5f} per doubling "
                f"({percent(self.level)} interval {row.low:+z.5f} to {row.high:+z.5f}, {p_value(row.p_holm)} after Holm; {self.clusters} "
                f"{self.cluster} "
                f"clusters{'; ' + row.note if row.note else ''})."
            )
        for row in list[Any](self.joint[self.joint["test"] == "all interactions with data"].itertuples()):
            if np.isfinite(row.p):
                sentences.append(
                    f"All {row.terms} interactions with data together: {p_value(row.p)} (wild cluster bootstrap of {self.clusters} "
                    f"{self.cluster} clusters)."
                )
        return [*sentences, *self.confounded]


@of_table
def data_interaction(
    runs: pd.DataFrame,
    *,
    outcome: str | None = None,
    length: str = "pretrain_steps",
    curvature: bool = True,
    absorb: Sequence[str] = (),
    cluster: str = "series",
    level: float = 0.95,
) -> DataInteraction:
    """Regresses the outcome on logs (base 2) of data size, length and parameters.

    The logs are centred; all products of two and three enter, and (if `curvature`) squares.
    Variables with one value, or absent, are left out with their products.

    Squares stand in for saturation, which without them would pose as an interaction wherever sizes
    are not the same for all models. Every combination of the other settings that vary, with the
    seed, has its own intercept. Inference is CR2 with Satterthwaite's degrees of freedom per term,
    and the wild cluster bootstrap jointly, clustered on series: the lengths of one pre-training
    series and its seeds share what they share.

    Args:
        absorb: columns whose levels get their own intercepts, such as ('encoder',); terms that
            these explain wholly are left out, and named.
        cluster: 'series', or 'encoder' where an encoder's own deviation in how data help matters:
            honest for other encoders, but needs many.

    Raises AnalysisError for a missing column, fewer than two sizes, or more terms than runs or
    clusters can carry.
    """
    checked_level(level)
    outcome = outcome_of(runs, outcome)
    if cluster not in ("series", "encoder"):
        raise AnalysisError(f"cluster is '{cluster}': give 'series' or 'encoder'.")
    missing = [name for name in absorb if name not in runs.columns]
    if missing:
        raise AnalysisError(f"the runs table has no column '{missing[0]}' to absorb: add it, or name another.")
    grid = size_grid(runs, outcome=outcome, length=length)
    frame = grid.frame
    logs = _logs(runs, grid)
    centre = {name: float(values.mean()) for name, values in logs.items()}
    intercepts, dropped_by = _intercepts(runs, grid, absorb)
    columns, names, left_out = _terms({name: values - centre[name] for name, values in logs.items()}, intercepts, curvature)
    label = frame["setting"].to_numpy() if cluster == "series" else labels_of(frame, ["encoder"])
    clusters, design = len(np.unique(label)), np.column_stack([columns, intercepts])
    fewer = ", or give 'curvature=False'" if curvature and len(names) > 1 else ""
    if clusters < FEWEST_CLUSTERS or (cluster == "series" and clusters <= len(names)) or len(frame) <= design.shape[1]:
        raise AnalysisError(
            f"{number_of(len(frame), 'run')} in {number_of(clusters, 'series' if cluster == 'series' else 'encoder')} are too few for "
            f"{number_of(len(names), 'term')} and their intercepts: run more encoders or sizes{fewer}."
        )
    parent = ClusteredDesign(design, label)
    fitted = parent.fit(frame["y"].to_numpy())
    rows = []
    for index, name in enumerate(names):
        found = fitted.contrast(np.eye(design.shape[1])[index], level=level)
        note = "" if found.degrees >= FEWEST_DEGREES else f"{found.degrees:.1f} degrees of freedom, too few to trust"
        rows.append((name, found.estimate, found.low, found.high, found.p, found.degrees, found.naive_low, found.naive_high, found.naive_p, note))
    for name in left_out:
        rows.append((name, *(float("nan"),) * 8, f"wholly explained by {dropped_by} and the other terms"))
    table = pd.DataFrame(rows, columns=["term", "estimate", "low", "high", "p", "degrees", "naive_low", "naive_high", "naive_p", "note"])
    table.insert(5, "p_holm", _family(table))
    return DataInteraction(
        outcome=outcome,
        outcome_title=title_of(outcome, runs),
        level=level,
        centre=centre,
        n=len(frame),
        clusters=clusters,
        cluster=cluster,
        table=table,
        joint=_joint(fitted, frame["y"].to_numpy(), names),
        confounded=_confounded(grid, logs, cluster),
    )


def _logs(runs: pd.DataFrame, grid: SizeGrid) -> dict[str, Array]:
    found = {"data": np.log2(grid.frame["size"].to_numpy())}
    if grid.frame["length"].nunique() > 1:
        found["length"] = np.log2(grid.frame["length"].to_numpy())
    params = log_parameters(runs, grid)
    if params is not None and len(np.unique(params)) > 1:
        found["params"] = params
    return found


def _intercepts(runs: pd.DataFrame, grid: SizeGrid, absorb: Sequence[str]) -> tuple[Array, str]:
    """Independent intercepts by context and seed, and by each absorbed column; shape (n, .)."""
    frame = grid.frame
    blocks = [labels_of(frame, ["context", "seed"])]
    blocks += [labels_of(runs.iloc[frame["row"].to_numpy()], [name]) for name in absorb]
    columns: list[Array] = []
    for block in blocks:
        for one in np.unique(block):
            column = (block == one).astype(float)
            if _is_new(column, columns):
                columns.append(column)
    return np.column_stack(columns), " and ".join(absorb) or "the intercepts"


def _terms(logs: dict[str, Array], intercepts: Array, curvature: bool) -> tuple[Array, list[str], list[str]]:
    """Columns of the terms, their names, and the names of terms that the others explain wholly."""
    found: dict[str, Array] = dict(logs)
    for name, values in logs.items() if curvature else ():
        found[f"{name}^2"] = values**2
    for size in (2, 3):
        for some in itertools.combinations(logs, size):
            found[" x ".join(some)] = np.prod([logs[name] for name in some], axis=0)
    kept: list[Array] = list(intercepts.T)
    names, left_out = [], []
    for name, values in found.items():
        if _is_new(values, kept):
            kept.append(values)
            names.append(name)
        elif name not in ("data^2", "length^2", "params^2"):  # a square of two levels is no term at all
            left_out.append(name)
    if not names:
        raise AnalysisError("neither images nor length nor anything else varies within the groups: there is no slope to estimate.")
    return np.column_stack(kept[intercepts.shape[1] :]), names, left_out


def _is_new(column: Array, others: list[Array]) -> bool:
    if not others:
        return bool(np.any(column))
    basis = np.column_stack(others)
    left = column - basis @ np.linalg.lstsq(basis, column, rcond=None)[0]
    return float(left @ left) > DEPENDENT**2 * float(column @ column)


def _family(table: pd.DataFrame) -> Array:
    corrected = table["p"].to_numpy(float).copy()
    family = table["term"].str.startswith("data x").to_numpy()
    corrected[family] = holm(corrected[family])
    return corrected


def _joint(fitted: ClusteredFit, y: Array, names: list[str]) -> pd.DataFrame:
    families = {
        "data with length": [one for one in names if one.startswith("data x") and "length" in one],
        "data with params": [one for one in names if one.startswith("data x") and "params" in one],
        "all interactions with data": [one for one in names if one.startswith("data x")],
        "all interactions": [one for one in names if " x " in one],
    }
    rows = []
    for name, terms in families.items():
        if len(terms) > 1:
            chosen = np.eye(fitted.parent.k)[[names.index(one) for one in terms]]
            found = fitted.joint(chosen)
            rows.append((name, found.terms, wild_joint_p(fitted.parent, y, chosen), found.f, found.degrees, found.p, found.naive_p))
    return pd.DataFrame(rows, columns=["test", "terms", "p", "htz_f", "htz_degrees", "htz_p", "naive_p"])


def _confounded(grid: SizeGrid, logs: dict[str, Array], cluster: str) -> tuple[str, ...]:
    frame, sentences = grid.frame, []
    for one, other in itertools.combinations(logs, 2):
        r = float(np.corrcoef(logs[one], logs[other])[0, 1])
        if abs(r) >= STRONGLY:
            sentences.append(f"{AXES[one]} and {AXES[other]} are correlated over the runs (r = {r:+z.2f}), so few runs separate their effects.")
    sizes = {tuple(sorted(set(cell["size"]))) for _, cell in frame.groupby("encoder")}
    if len(sizes) > 1:
        sentences.append(
            "Encoders were not all trained on the same sizes, so what data do and what parameters do with data lean on the shape of the model."
        )
    if "params" in logs and cluster == "series":
        sentences.append(
            f"Parameters take {len(np.unique(logs['params']))} values, one an encoder; what an encoder has of its own beyond its size is "
            f"counted as size."
        )
    return tuple(sentences)
