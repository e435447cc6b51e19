"""Checks of the assumptions behind the t test of a row of paired effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.formatting import p_value
from analysis.significance.mixed import mixed_effect
from analysis.significance.paired_effects import PairedEffects
from analysis.significance.permutation import FEWEST_GROUPS, sign_flip_p
from analysis.student import t_p_value

ALPHA = 0.05
FEWEST_FOR_NORMALITY = 8
MOST_PAIRS_MIXED = 600
"""Beyond, a mixed model takes seconds, as its matrices are pairs x pairs; t test and permutation
speak alone.
"""
RESAMPLES = 9999


@dataclass(frozen=True, kw_only=True)
class Check:
    """The check of one assumption."""

    name: str
    """'normality', 'influence', 'balance' or 'agreement'."""
    passed: bool | None
    """None where there are too few data for the check."""
    sentence: str
    """The result as a sentence."""


def checks(effects: PairedEffects, row: int | pd.Series) -> tuple[Check, ...]:
    """Checks one row of `effects.table` (an integer is a position there) or of `effects.overall`.

    normality: Shapiro and Wilk's test of the groups' differences at 5%, from eight groups on (with
    fewer it sees next to nothing). influence: no single group, left out, turns the sign or carries
    p across 5%. balance: every group has the same number of pairs (t weighs groups, not pairs,
    alike). agreement: the paired t, the sign-flip permutation test and the mixed model (cells
    fixed) are on the same side of 5%; a test that cannot reach 5% with so few groups does not
    count, and of more than 600 pairs no mixed model is fitted.

    Raises AnalysisError for a position beyond the table.
    """
    if isinstance(row, int):
        if not -len(effects.table) <= row < len(effects.table):
            raise AnalysisError(f"row {row} is beyond the table of effects, which has {len(effects.table)}: give a position in it.")
        row = effects.table.iloc[row]
    units = effects.units(row)
    means = units["difference"].to_numpy(dtype=np.float64)
    if np.isnan(row["p"]):
        nothing = f"no test was possible: {row['note']}"
        return tuple(Check(name=name, passed=None, sentence=nothing) for name in ("normality", "influence", "balance", "agreement"))
    return _normality(means), _influence(means), _balance(units["n_pairs"].to_numpy()), _agreement(effects, row, means)


def _normality(means: NDArray[np.float64]) -> Check:
    if len(means) < FEWEST_FOR_NORMALITY:
        text = f"{len(means)} groups are too few to check that their differences are normal (at least {FEWEST_FOR_NORMALITY})"
        return Check(name="normality", passed=None, sentence=text)
    from scipy.stats import shapiro

    p = float(shapiro((means - means.mean()) / means.std()).pvalue)
    verdict = "look normal" if p >= ALPHA else "do not look normal"
    return Check(name="normality", passed=p >= ALPHA, sentence=f"the differences of {len(means)} groups {verdict} (Shapiro-Wilk {p_value(p)})")


def _influence(means: NDArray[np.float64]) -> Check:
    n, name = len(means), "influence"
    if n < 3:
        return Check(name=name, passed=None, sentence=f"{n} groups are too few to leave one out and test the rest")
    left = [np.delete(means, place) for place in range(n)]
    turned = sum(float(np.mean(one)) * float(means.mean()) < 0 for one in left)
    if turned:
        return Check(name=name, passed=False, sentence=f"leaving out one group turns the sign ({turned} of {n} groups do so)")
    before = _t_p(means)
    after = np.array([_t_p(one) for one in left])
    across = int(np.sum((after > ALPHA) != (before > ALPHA)))
    if across:
        ends = f"to between {after.min():.3f} and {after.max():.3f}"
        # leaving a group out also costs a degree of freedom, so a p that crosses 5% is a warning, and
        # not the fault of that group
        text = f"leaving out one group keeps the sign but carries p across {ALPHA:g} ({across} of {n} groups do so, {p_value(before)} {ends})"
        return Check(name=name, passed=False, sentence=text)
    return Check(name=name, passed=True, sentence=f"leaving out any one of {n} groups keeps the sign and the side of p = {ALPHA:g}")


def _balance(counts: NDArray[np.int64]) -> Check:
    if len(set(counts.tolist())) == 1:
        noun = "pair" if counts[0] == 1 else "pairs"
        return Check(name="balance", passed=True, sentence=f"each of {len(counts)} groups has {counts[0]} {noun}")
    text = f"groups have {counts.min()} to {counts.max()} pairs and count alike: their means are not over the same cells"
    return Check(name="balance", passed=False, sentence=text)


def _agreement(effects: PairedEffects, row: pd.Series, means: NDArray[np.float64]) -> Check:
    found = {"paired t": float(row["p"])}
    if len(means) >= FEWEST_GROUPS:
        found["permutation"] = sign_flip_p(means, resamples=RESAMPLES, random=np.random.default_rng(0))
    alone = effects.restricted(row)
    if len(alone.pairs) <= MOST_PAIRS_MIXED:
        mixed = mixed_effect(alone, cells="fixed")
        if not np.isnan(mixed.p):
            found["mixed model"] = mixed.p
    compared = ", ".join(f"{name} {p_value(p)}" for name, p in found.items())
    few = "" if "permutation" in found else f" (permutation cannot reach {ALPHA:g} with {len(means)} groups)"
    if len(found) == 1:
        return Check(name="agreement", passed=None, sentence=f"nothing to compare the paired t with{few}: {compared}")
    alike = len({p <= ALPHA for p in found.values()}) == 1
    return Check(name="agreement", passed=alike, sentence=f"the tests {'agree' if alike else 'disagree'} at {ALPHA:g}{few}: {compared}")


def _t_p(means: NDArray[np.float64]) -> float:
    spread = float(means.std(ddof=1))
    if spread == 0.0:
        return 0.0 if means.any() else 1.0
    return t_p_value(float(means.mean()) / (spread / np.sqrt(len(means))), len(means) - 1)
