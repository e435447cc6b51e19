"""Power and numbers of seeds: statsmodels as oracle, a published table, and plans from finished
studies.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import nctdtr, ndtr
from scipy.stats import chi2
from statsmodels.stats.power import TTestIndPower, TTestPower

from analysis import AnalysisError, paired_effects
from analysis.significance.noncentral import noncentral_t_below
from analysis.significance.power import fractional_seeds, power_of, seeds_needed, smallest_effect
from analysis.significance.seed_plan import plan_seeds

ORACLE = {"paired": TTestPower(), "independent": TTestIndPower()}


@pytest.mark.parametrize("design", ["paired", "independent"])
@pytest.mark.parametrize("size", [0.2, 0.8, 2.5])
def test_power_and_seeds_are_those_of_statsmodels(design, size) -> None:
    for seeds in (3, 5, 12):
        assert power_of(-size, sd=1, seeds=seeds, design=design) == pytest.approx(ORACLE[design].power(size, seeds, 0.05), abs=1e-10)
        assert power_of(size, sd=1, seeds=seeds, design=design, tests=18) == pytest.approx(ORACLE[design].power(size, seeds, 0.05 / 18), abs=1e-10)
    exact = fractional_seeds(size, sd=1, design=design)
    assert ORACLE[design].power(size, exact, 0.05) == pytest.approx(0.8, abs=1e-8)
    assert seeds_needed(size, sd=1, design=design) == np.ceil(exact)


def test_why_power_and_its_noncentral_t_are_not_taken_from_the_libraries() -> None:
    exact, theirs = fractional_seeds(0.5, sd=1), TTestPower().solve_power(0.5, alpha=0.05, power=0.8)
    assert theirs == pytest.approx(exact, abs=1e-4)
    assert abs(TTestPower().power(0.5, theirs, 0.05) - 0.8) > 1e3 * abs(TTestPower().power(0.5, exact, 0.05) - 0.8), "its solver stops early"
    # tiny spreads lead to noncentralities for which SciPy has no number
    assert np.isnan(nctdtr(1.0, 1e6, 1e6))
    # nearly T / noncentrality = 1 / |Z|, and P(1 / |Z| < 1) = P(|Z| > 1)
    assert noncentral_t_below(1e6, 1.0, 1e6) == pytest.approx(2.0 * ndtr(-1.0), abs=1e-4)


def test_cohens_table() -> None:
    # Cohen 1988, table 2.4.1, two-sided .05, power .80: d = .20, .50, .80 need 393, 64, 26 in each
    # group
    assert [seeds_needed(d, sd=1, design="independent") for d in (0.2, 0.5, 0.8)] == [394, 64, 26]  # 393.4 rounded up


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 10), st.integers(2, 40), st.floats(0.3, 0.95), st.integers(1, 20))
def test_the_smallest_effect_has_the_power_asked_for_and_needs_those_seeds(sd, seeds, power, tests) -> None:
    effect = smallest_effect(seeds, sd=sd, power=power, tests=tests)
    assert power_of(effect, sd=sd, seeds=seeds, tests=tests) == pytest.approx(power, abs=1e-8)
    assert seeds_needed(effect * (1 + 1e-6), sd=sd, power=power, tests=tests) <= seeds


def test_a_plan_carries_the_uncertainty_of_the_sd_to_the_seeds(study) -> None:
    effects = paired_effects(study(objectives=("none",), noise=0.01), factor="pretrain_images", baseline=0, treatment=20_000)
    plan = plan_seeds(effects, 0.01)
    row, first = plan.table.iloc[0], effects.pairs[effects.pairs["finetune_images"] == 60]["difference"]
    assert (row["units"], row["sd"]) == (5, pytest.approx(first.std(ddof=1)))
    ends = first.std(ddof=1) * np.sqrt(4 / chi2.ppf([0.975, 0.025], 4))
    assert (row["sd_low"], row["sd_high"]) == pytest.approx(tuple(ends))
    assert [row["seeds_low"], row["seeds"], row["seeds_high"]] == [seeds_needed(0.01, sd=sd) for sd in (ends[0], row["sd"], ends[1])]
    assert plan.sentence(0).startswith("To find a change of 0.01 in mIoU with probability 80% (treatment 20,000, finetune_images 60): ")
    assert plan.sentence(0).endswith("given how poorly 5 units tell the SD")
    for effect in (1e-9, -1e-9, 1e-300, -1e-300):  # the square of the last ratio is no float
        assert plan_seeds(effects, effect).table["seeds"].tolist() == [np.inf, np.inf]


def test_a_plan_says_where_there_is_no_spread(study) -> None:
    effects = paired_effects(study(seeds=1, objectives=("none",)), factor="pretrain_images", baseline=0, treatment=20_000)
    plan = plan_seeds(effects, 0.01)
    assert plan.table["seeds"].isna().all()
    assert "no number of seeds can be determined (a single pair, which has no spread)" in plan.sentence(0)
    shared = paired_effects(study(objectives=("none",), shared_pretraining=True), factor="pretrain_images", baseline=0, treatment=20_000)
    assert "conditional on this one pre-training" in plan_seeds(shared, 0.01).sentence(0)


def test_mistakes_are_answered_in_a_sentence() -> None:
    for match, call in [
        ("effect is 0: no number of seeds shows", lambda: seeds_needed(0.0, sd=1)),
        ("sd is 0: give a standard deviation above zero", lambda: seeds_needed(1.0, sd=0)),
        ("seeds is 1: a spread over seeds needs at least 2", lambda: power_of(1.0, sd=1, seeds=1)),
        ("needs more than a million seeds", lambda: seeds_needed(1e-4, sd=1)),
        ("power is 0.01: choose a probability between 0.05 and 1", lambda: seeds_needed(1.0, sd=1, power=0.01)),
        ("tests is 0: give the number of tests", lambda: power_of(1.0, sd=1, seeds=3, tests=0)),
        ("design is 'crossed': choose 'paired'", lambda: power_of(1.0, sd=1, seeds=3, design="crossed")),
        ("effect is nan: state a finite difference", lambda: power_of(float("nan"), sd=1, seeds=3)),
    ]:
        with pytest.raises(AnalysisError, match=match):
            call()
