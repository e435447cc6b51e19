"""What the three sections on extrapolation share: curves cut in two, how far a prediction is off,
and every way to predict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import analysis
from analysis import LAWS, AnalysisError, fit
from benchmarks.fitting.tables import Options

Array = NDArray[np.float64]
CHOICE = "choose_law"
MOST_POINTS = 60  # of a training curve, evenly spaced, so that a choice among laws takes seconds


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One curve, cut into what is fitted and what is to be predicted."""

    name: str
    group: str
    x: Array
    y: Array
    later_x: Array
    later_y: Array
    error: Array | None = None
    """Standard errors of y, above zero."""


def rmsle(predicted: Array, y: Array) -> float:
    """sqrt(mean (ln predicted - ln y)^2); infinite where a prediction has no logarithm."""
    good = np.all(np.isfinite(predicted)) and np.all(predicted > 0)
    return float(np.sqrt(np.mean((np.log(predicted) - np.log(y)) ** 2))) if good else float("inf")


def choice_of() -> Callable[..., Any] | None:
    """analysis.choose_law, where this version has it."""
    return getattr(analysis, CHOICE, None)


def score(curve: Curve, law: str, **settings: Any) -> float:
    """RMSLE of that law, or of the chosen one, on the later points; infinite where it cannot be
    fitted.
    """
    try:
        if law == CHOICE:
            choose = choice_of()
            assert choose is not None
            return rmsle(choose(curve.x, curve.y, **settings).predict(curve.later_x).mean, curve.later_y)
        return rmsle(fit(curve.x, curve.y, law=law, **settings).predict(curve.later_x).mean, curve.later_y)
    except AnalysisError:
        return float("inf")


def methods(options: Options) -> list[str]:
    """Every law, and the choice among them where there is one."""
    laws = list(LAWS) if not options.quick else ["power", "mmf", "last_value"]
    return [*laws, *([CHOICE] if choice_of() else [])]


def language_curves(options: Options) -> list[Curve]:
    """The 20 curves of Alabdulmohsin et al., with their own cut."""
    table = pd.read_csv(options.file("language_extrapolation.csv"))
    found = []
    for name, rows in table.groupby("curve", sort=True):
        early, late = rows[rows.fit == 1], rows[rows.fit == 0]
        found.append(
            Curve(
                name=str(name),
                group=str(rows.domain.iloc[0]),
                x=early.x.to_numpy(),
                y=early.y.to_numpy(),
                later_x=late.x.to_numpy(),
                later_y=late.y.to_numpy(),
            )
        )
    return found if not options.quick else found[::10]


def lcdb_curves(options: Options, count: int, shares: tuple[float, ...]) -> Iterator[Curve]:
    """A seeded sample of LCDB's curves, each cut after those shares of its anchors; curves that
    touch zero are left out.
    """
    table = pd.read_csv(options.file("learning_curves_lcdb.csv.gz"))
    keys = table[["openmlid", "learner"]].drop_duplicates()
    grouped = table.groupby(["openmlid", "learner"])
    given = 0
    for openmlid, learner in keys.sample(frac=1.0, random_state=options.seed).itertuples(index=False):
        rows = grouped.get_group((openmlid, learner)).sort_values("anchor")
        y = rows.test_mean.to_numpy()
        spread = rows.test_stderr.to_numpy()
        if len(y) < 20 or y.min() <= 0 or not np.any(spread > 0):
            continue
        spread = np.maximum(spread, spread[spread > 0].min())
        x = rows.anchor.to_numpy(dtype=float)
        for share in shares:
            cut = max(5, round(share * len(x)))
            yield Curve(
                name=f"{openmlid} {learner}", group=f"{share:.0%}", x=x[:cut], y=y[:cut], later_x=x[cut:], later_y=y[cut:], error=spread[:cut]
            )
        given += 1
        if given == count:
            return


def training_curves(options: Options) -> list[Curve]:
    """Loss by tokens of the language models, thinned, cut at half of the points."""
    table = pd.read_csv(options.file("language_training_curves.csv"))
    found = []
    for name, rows in table.groupby("model", sort=True):
        rows = rows.sort_values("tokens")
        keep = np.unique(np.linspace(0, len(rows) - 1, min(MOST_POINTS, len(rows))).round().astype(int))
        x, y = rows.tokens.to_numpy(dtype=float)[keep], rows.loss.to_numpy(dtype=float)[keep]
        if len(x) < 10 or y.min() <= 0:
            continue
        cut = len(x) // 2
        found.append(Curve(name=str(name), group="training", x=x[:cut], y=y[:cut], later_x=x[cut:], later_y=y[cut:]))
    return found if not options.quick else found[:1]


def delta_method_only(fitted: Any) -> Any:
    """The same fit without extrapolation error: predictions by the delta method alone."""
    return dataclasses.replace(fitted, extrapolation_error=None)
