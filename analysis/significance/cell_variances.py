"""Variance of single runs in each cell: its own, pooled, or shrunk towards that of the other cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Variance = Literal["welch", "pooled", "moderated"]
FEWEST_CELLS = 6  # below, the prior of moderated variances is itself too uncertain: it then falls back on Welch
CAUTION = 0.6  # standard errors by which the scatter of log variances is taken above its estimate; measured to bring the error rate to 4-6%


@dataclass(frozen=True, kw_only=True)
class CellVariances:
    """The variance of one run in each cell, and its degrees of freedom. From `cell_variances`."""

    how: Variance
    """What was done."""
    variance: Array
    """Of a single run, shape (cells,), in the outcome's unit squared; NaN where a cell has no
    spread.
    """
    df: Array
    """Degrees of freedom of each, shape (cells,)."""
    prior_df: Array
    """d0: degrees of freedom that the cell borrows from the others of its side, shape (cells,); 0
    for Welch, inf if variances look equal.
    """

    def of_combination(self, weights: Array, n: Array) -> tuple[float, float]:
        """Variance of sum(weights * cell means) over independent cells of n runs, and its degrees
        of freedom.

        All arguments have shape (cells,).

        Welch's are Satterthwaite's. Those of moderated variances are the mean of the cells' own,
        weighted by their share: a borrowed variance is uncertain as a posterior is, whose t has
        heavier tails than Satterthwaite grants (measured: 8% instead of 6%; Cochran's rule has it
        so).
        """
        used = weights != 0.0
        parts = weights[used] ** 2 * self.variance[used] / n[used]
        total = float(parts.sum())
        if not total > 0.0:
            return total, float("nan")
        if self.how == "pooled":
            return total, float(self.df[used].min())
        power = 2 if self.how == "welch" else 1
        return total, total**power / float((parts**power / self.df[used]).sum())


def cell_variances(variance: Array, df: Array, *, how: Variance, side: NDArray[np.int64] | None = None) -> CellVariances:
    """Estimates each cell's variance: its own, one for all, or shrunk towards the common one.

    Args:
        variance: sample variance of the runs of each cell, shape (cells,); NaN or zero where there
            is none, and such cells lend nothing.
        df: runs - 1, shape (cells,).
        how: 'welch', 'pooled' (over all cells) or 'moderated': (d0 s0^2 + d s^2) / (d0 + d) on d0 +
            d degrees of freedom, with d0 and s0^2 from the mean and scatter of log s^2 over the
            cells of a side (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1), sections 3 and 6.2).
        side: integer label of treatment or baseline, shape (cells,); cells of one side lend to one
            another. All cells are one side if None.
    """
    usable = np.isfinite(variance) & (variance > 0.0) & (df > 0.0)
    drawn, drawn_df = np.where(usable, variance, np.nan), np.where(usable, df, 0.0)
    prior_df = np.zeros(len(variance))
    sides = np.zeros(len(variance), dtype=np.int64) if side is None or how == "pooled" else side
    for one in np.unique(sides):
        of_side = np.flatnonzero(usable & (sides == one))
        own, own_df = variance[of_side], df[of_side]
        if how == "welch" or len(of_side) < (2 if how == "pooled" else FEWEST_CELLS):
            continue
        d0, s0_squared = _prior(own, own_df) if how == "moderated" else (np.inf, 0.0)
        prior_df[of_side] = d0
        if np.isinf(d0):
            drawn[of_side], drawn_df[of_side] = (own_df * own).sum() / own_df.sum(), own_df.sum()
        else:
            drawn[of_side], drawn_df[of_side] = (d0 * s0_squared + own_df * own) / (d0 + own_df), np.minimum(d0 + own_df, own_df.sum())
    return CellVariances(how=how, variance=drawn, df=drawn_df, prior_df=prior_df)


def _prior(variance: Array, df: Array) -> tuple[float, float]:
    """d0 and s0^2 by the moments of log s^2.

    d0 is inf where the variances scatter clearly less than chi-square does.
    """
    from scipy.special import digamma, polygamma

    centred = np.log(variance) - digamma(df / 2.0) + np.log(df / 2.0)
    sampling = polygamma(1, df / 2.0)  # the variance of log chi-square
    fourth = polygamma(3, df / 2.0) + 2.0 * sampling**2  # and that of its squared deviation
    excess = float(centred.var(ddof=1) - sampling.mean() + CAUTION * np.sqrt(fourth.mean() / len(variance)))
    if excess <= 0.0:
        return float("inf"), float("nan")
    prior_df = 2.0 * _inverse_trigamma(excess)
    return prior_df, float(np.exp(centred.mean() + digamma(prior_df / 2.0) - np.log(prior_df / 2.0)))


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value > 0, by Newton's method on 1 / trigamma (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    x = 0.5 + 1.0 / value
    for _ in range(60):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1.0 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-12 * x:
            break
    return x
