"""Standardised effects of paired groups, with small-sample correction and interval."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from analysis.fitting.inputs import checked_level
from analysis.significance.noncentral import noncentrality
from analysis.significance.paired_effects import PairedEffects
from analysis.significance.standardised import small_sample_factor

COLUMNS = ("groups", "g_z", "g_z_low", "g_z_high", "g_av", "g_av_low", "g_av_high", "note")


def effect_sizes(effects: PairedEffects, *, level: float | None = None) -> pd.DataFrame:
    """Hedges' g of every row of `effects.table`, then of `effects.overall`, over independent
    groups.

    g_z: mean difference / SD of the groups' differences. It says how regular the effect is from
    seed to seed, and grows as pairing removes noise. g_av: mean difference / root mean of the two
    sides' variances over groups. It says how large the effect is beside the spread of such runs, and
    is the one to compare with studies that did not pair (Lakens 2013, Front. Psychol. 4:863). Both
    are multiplied by `small_sample_factor`, on groups - 1 degrees of freedom for g_z and 2 (groups
    - 1) / (1 + r^2) for g_av, r the correlation of the two sides (Cousineau 2020, TQMP 16:418).

    The interval of g_z is exact under normality (noncentral t); that of g_av scales it by SD of
    differences / SD of sides (Algina and Keselman 2003), which is approximate (with three groups it
    covered 92 to 94%, and g_av up to a sixth too small). Both hold the population value and are not
    shrunk by the factor. NaN, with the row's note, where groups have no spread.
    """
    level = effects.level if level is None else level
    checked_level(level)
    rows = []
    for row in effects.rows():
        names = ["treatment", *(name for name in effects.by if name in row.index)]
        units = effects.units(row)
        sizes = _sizes(units, level) if not pd.isna(row["p"]) else (float("nan"),) * 6
        rows.append({name: row[name] for name in names} | dict(zip(COLUMNS, (len(units), *sizes, row["note"]), strict=True)))
    return pd.DataFrame(rows, columns=["treatment", *effects.by, *COLUMNS])


def noncentrality_interval(statistic: float, degrees_of_freedom: float, level: float) -> tuple[float, float]:
    """The noncentralities of Student's t under which the statistic is not extreme, by exact
    inversion.
    """
    low, high = (noncentrality(statistic, degrees_of_freedom, probability) for probability in (0.5 + level / 2.0, 0.5 - level / 2.0))
    return low, high


def _sizes(units: pd.DataFrame, level: float) -> tuple[float, ...]:
    n = len(units)
    mean, spread = float(units["difference"].mean()), float(units["difference"].std(ddof=1))
    own = math.sqrt((float(units["baseline_value"].var(ddof=1)) + float(units["treatment_value"].var(ddof=1))) / 2.0)
    factor = small_sample_factor(n - 1)
    low, high = (one / math.sqrt(n) for one in noncentrality_interval(mean / spread * math.sqrt(n), n - 1, level))
    ratio = spread / own if own > 0 else float("nan")
    d = mean / spread
    r = (
        float(np.corrcoef(units["baseline_value"], units["treatment_value"])[0, 1])
        if units[["baseline_value", "treatment_value"]].std().min() > 0
        else 0.0
    )
    factor_av = small_sample_factor(2.0 * (n - 1) / (1.0 + r**2))
    return tuple(np.array([factor * d, low, high, factor_av * d * ratio, low * ratio, high * ratio]).tolist())
