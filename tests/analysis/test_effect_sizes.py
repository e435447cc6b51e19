import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy.stats import chi2, nct
from statsmodels.stats.effect_size import _noncentrality_t

from analysis import paired_effects
from analysis.significance.effect_sizes import effect_sizes, noncentrality_interval
from analysis.significance.standardised import small_sample_factor


def paired(new: list[float], old: list[float]) -> pd.DataFrame:
    n = len(new)
    table = pd.DataFrame({"movie": ["b"] * n + ["a"] * n, "seed": [*range(n)] * 2, "rating": [*old, *new]})
    return effect_sizes(paired_effects(table, factor="movie", baseline="b", treatment="a", outcome="rating", by=()))


def test_the_movie_ratings_of_lakens_2013() -> None:
    # Front. Psychol. 4:863, table 1: d_z = 1.50 within, and d = 1.13 in units of the arms' spread
    first, second = [9, 7, 8, 9, 8, 9, 9, 10, 9, 9], [9, 6, 7, 8, 7, 9, 8, 8, 8, 7]
    row = paired(first, second).iloc[0]
    factor = small_sample_factor(9)
    assert row["g_z"] / factor == pytest.approx(1.50, abs=0.005)
    of_arms = small_sample_factor(18 / (1 + np.corrcoef(first, second)[0, 1] ** 2))
    assert row["g_av"] / of_arms == pytest.approx(1.13, abs=0.005)
    assert row["g_av"] / of_arms == pytest.approx(pingouin.compute_effsize(first, second, paired=True, eftype="cohen"), abs=1e-8)
    low, high = _noncentrality_t(1.5 * 10**0.5, 9, 0.05).confint
    assert (row["g_z_low"], row["g_z_high"]) == pytest.approx((low / 10**0.5, high / 10**0.5), abs=1e-6)


def test_the_small_sample_factor_is_that_of_hedges_1981() -> None:
    assert [round(small_sample_factor(m), 4) for m in (2, 3, 4)] == [0.5642, 0.7236, 0.7979]
    assert np.isnan(small_sample_factor(1))


@pytest.mark.parametrize(("t", "df"), [(2.0, 9), (-3.0, 2), (0.0, 5), (30.0, 2), (12.0, 40)])
def test_at_the_ends_of_the_noncentral_interval_the_statistic_lies_at_the_tails(t: float, df: float) -> None:
    low, high = noncentrality_interval(t, df, 0.95)
    assert (nct.cdf(t, df, low), nct.cdf(t, df, high)) == pytest.approx((0.975, 0.025), abs=1e-10)


@pytest.mark.parametrize(("t", "df"), [(2.0, 9), (-3.0, 2), (0.0, 5)])
def test_the_noncentral_interval_is_that_of_statsmodels(t: float, df: float) -> None:
    # Farther out statsmodels rests on an inversion that misses the tails by up to 1e-6, which the
    # test above does not allow.
    assert noncentrality_interval(t, df, 0.95) == pytest.approx(_noncentrality_t(t, df, 0.05).confint, abs=1e-6)


def test_no_spread_gives_no_size_and_keeps_the_note() -> None:
    row = paired([2.0, 2.0, 2.0], [1.0, 1.0, 1.0]).iloc[0]
    assert np.isnan(row["g_z"])
    assert np.isnan(row["g_av_low"])
    assert row["note"].startswith("all 3 differences are the same")


def test_a_very_regular_effect_of_three_seeds_has_an_interval_too() -> None:
    low, high = noncentrality_interval(2000.0, 2, 0.95)
    # so far out the noncentral t is the statistic times chi: its ends are those of a chi
    # distribution
    assert (low, high) == pytest.approx((2000.0 * (chi2.ppf(0.025, 2) / 2) ** 0.5, 2000.0 * (chi2.ppf(0.975, 2) / 2) ** 0.5), rel=1e-3)
