"""Sign-flip permutation test of no effect, over independent groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.significance.paired_effects import PairedEffects

MOST_GROUPS_ENUMERATED = 14
FEWEST_GROUPS = 6  # 2 / 2^6 = 0.03 is the first below 5%
BATCH = 4096
COLUMNS = ("p_permutation", "smallest_p", "groups", "exact", "note")


def permutation_test(effects: PairedEffects, *, resamples: int = 9999, seed: int = 0) -> pd.DataFrame:
    """Sign-flip test of every row of `effects.table` and then of `effects.overall` (missing in the
    columns of `by`).

    Under no effect treatment and baseline could be swapped in all runs that share anything, so the
    sign of each independent group's mean difference is as likely + as -; p is the share of sign
    patterns whose mean is at least as far from zero as that observed (Fisher 1935, The Design of
    Experiments, section 21). All 2^groups patterns are tried up to 14 groups; beyond, p = (b + 1) /
    (m + 1) over m random ones (Phipson and Smyth 2010). A group counts once however many pairs it
    holds, as in the t test of the row.

    Returns treatment and the columns of `by`, then p_permutation, smallest_p (2 / 2^groups: no data
    give less), groups, exact, note. Fewer than six groups can never reach 5%, and the note says so.
    The rows' p are not corrected for their number: see `adjust`. Raises AnalysisError for resamples
    below 99.
    """
    if resamples < 99:
        raise AnalysisError(f"resamples = {resamples} is too few for a p-value of 1%: give at least 99.")
    rows = []
    for number, row in enumerate(effects.rows()):
        names = ["treatment", *(name for name in effects.by if name in row.index)]
        means = effects.units(row)["difference"].to_numpy(dtype=np.float64)
        result = _tested(means, resamples, np.random.default_rng([seed, number]))
        conditional = str(row["note"]) if "conditional" in str(row["note"]) else ""
        note = "; ".join(one for one in (result[-1], conditional) if one)
        rows.append({name: row[name] for name in names} | dict(zip(COLUMNS, (*result[:-1], note), strict=True)))
    return pd.DataFrame(rows, columns=["treatment", *effects.by, *COLUMNS])


def sign_flip_p(differences: NDArray[np.float64], *, resamples: int, random: np.random.Generator) -> float:
    """Two-sided p of the mean of independent differences, shape (groups,), by the sign patterns of
    `permutation_test`.

    Where all patterns are tried this is the p of scipy.stats.permutation_test. Where they are drawn
    SciPy's memory grows with their number, and it doubles the smaller one-sided p; here a pattern
    counts by the size of its mean.
    """
    groups = len(differences)
    least = abs(float(differences.sum())) * (1.0 - 1e-12) - 1e-300  # a tie counts, also after rounding
    if groups <= MOST_GROUPS_ENUMERATED:
        patterns = np.arange(2**groups, dtype=np.int64)[:, None] >> np.arange(groups) & 1
        return float(np.mean(np.abs((1.0 - 2.0 * patterns) @ differences) >= least))
    as_far = 0
    for start in range(0, resamples, BATCH):
        signs = 1.0 - 2.0 * random.integers(0, 2, size=(min(BATCH, resamples - start), groups))
        as_far += int(np.sum(np.abs(signs @ differences) >= least))
    return (as_far + 1) / (resamples + 1)


def _tested(means: NDArray[np.float64], resamples: int, random: np.random.Generator) -> tuple[float, float, int, bool, str]:
    groups = len(means)
    exact = groups <= MOST_GROUPS_ENUMERATED
    smallest = 2.0 ** (1 - groups) if exact else max(2.0 ** (1 - groups), 1.0 / (resamples + 1))
    if groups < 2:
        return float("nan"), smallest, groups, exact, "a single group of runs, whose sign alone says nothing"
    if not np.any(means):
        return 1.0, smallest, groups, exact, f"all {groups} differences are zero"
    note = "" if groups >= FEWEST_GROUPS else f"with {groups} groups p cannot be below {smallest:.2g}: 5% needs at least {FEWEST_GROUPS}"
    return sign_flip_p(means, resamples=resamples, random=random), smallest, groups, exact, note
