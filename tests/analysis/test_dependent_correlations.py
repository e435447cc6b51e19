import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from analysis import AnalysisError
from analysis.correlation import compare_correlations
from analysis.correlation.overlapping import meng, steiger, williams, zou_interval


def study(*, pretrainings: int = 20, runs_each: int = 3, train_slope: float = 0.0, random_seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(random_seed)
    place = np.repeat(np.arange(pretrainings), runs_each)
    shared = random.standard_normal(pretrainings)
    val, train = shared + random.standard_normal(pretrainings), shared + random.standard_normal(pretrainings)
    score = -2.0 * val[place] + train_slope * train[place] + 0.5 * random.standard_normal(len(place))
    return pd.DataFrame({"pretrain_id": [f"p{one}" for one in place], "train_mim_loss": train[place], "val_mim_loss": val[place], "miou": score})


def test_formulas_give_the_published_worked_examples() -> None:
    # Silver, Hittner and May 2006, Applied Psychological Measurement 30, 152-153 (program DEPCOR):
    # r = .3, .4, .5, n = 100
    assert williams(0.3, 0.4, 0.5, 100) == pytest.approx((-1.0767, 0.2843), abs=5e-5)
    assert steiger(0.3, 0.4, 0.5, 100) == pytest.approx((-1.0718, 0.2838), abs=5e-5)
    assert meng(0.3, 0.4, 0.5, 100) == pytest.approx((-1.0707, 0.2843), abs=5e-5)
    # Meng, Rosenthal and Rubin 1992, Psychological Bulletin 111, p. 173: .63 against -.03, which
    # correlate at -.19, n = 15; one-sided p .047
    z, p = meng(0.63, -0.03, -0.19, 15)
    assert (round(z, 2), round(p / 2.0, 3)) == (1.68, 0.047)
    # May and Hittner 1997, Psychological Reports 80, 475-480, n = 50
    assert [round(meng(0.7, 0.4, between, 50)[0], 2) for between in (0.0, 0.3, 0.6, 0.8)] == [2.03, 2.32, 2.94, 4.05]
    # Zou 2007, Psychological Methods 12, 399-413
    assert zou_interval(0.396, 0.179, 0.088, 66, level=0.95) == pytest.approx((-0.093, 0.517), abs=5e-4)


def test_independent_runs_are_compared_by_williams_t() -> None:
    runs = study(runs_each=1)
    result = compare_correlations(runs)
    statistic, p = williams(*result.r, result.between, 20)
    assert (result.test, result.p) == ("Williams' t, interval by Zou", p)
    assert result.classical["statistic"].iloc[0] == statistic
    assert result.classical["test"].tolist() == ["Williams t", "Steiger z", "Meng-Rosenthal-Rubin z"]
    assert result.r[1] == pytest.approx(np.corrcoef(runs["val_mim_loss"], runs["miou"])[0, 1], abs=1e-8)


def test_runs_that_share_pretrainings_are_compared_by_leaving_pretrainings_out() -> None:
    runs = study(pretrainings=9)
    result = compare_correlations(runs)

    def gap(kept: pd.DataFrame) -> float:
        r = kept.corr(numeric_only=True)["miou"]
        return float(np.arctanh(r["train_mim_loss"]) - np.arctanh(r["val_mim_loss"]))

    without = np.array([gap(runs[runs["pretrain_id"] != one]) for one in runs["pretrain_id"].unique()])
    error = np.sqrt(8 / 9 * np.sum((without - gap(runs)) ** 2))
    assert result.p == pytest.approx(2.0 * student.sf(abs(gap(runs)) / error, 7), abs=1e-8)
    assert len(result.classical) == 0
    assert result.low < result.difference < result.high


def test_copies_of_runs_do_not_make_the_difference_surer() -> None:
    once = study(pretrainings=9, runs_each=1).assign(pretrain_id=lambda runs: [f"p{one}" for one in range(9)])
    thrice = pd.concat([once] * 3, ignore_index=True)
    twice = pd.concat([once] * 2, ignore_index=True)
    assert compare_correlations(thrice).p == pytest.approx(compare_correlations(twice).p)


@pytest.mark.parametrize("method", ["pearson", "spearman", "kendall"])
def test_swapping_the_two_columns_turns_the_difference_round(method) -> None:
    runs = study()
    one = compare_correlations(runs, method=method)
    other = compare_correlations(runs, x=("val_mim_loss", "train_mim_loss"), method=method)
    assert (other.difference, other.low, other.high) == pytest.approx((-one.difference, -one.high, -one.low))
    assert other.p == pytest.approx(one.p)


def test_the_closer_loss_is_named_where_the_two_differ_and_only_there() -> None:
    apart = compare_correlations(study(pretrainings=40))
    assert apart.p < 0.01
    assert apart.sentence.endswith("40 independent pre-trainings): val_mim_loss goes with mIoU more closely.")
    alike = compare_correlations(study(pretrainings=40, train_slope=-2.0, random_seed=1))
    assert alike.p > 0.05
    assert alike.sentence.endswith("which does not distinguish the two.")


def test_other_columns_can_be_held_fixed() -> None:
    runs = study().assign(size=lambda table: np.repeat(np.arange(20.0), 3))
    result = compare_correlations(runs.assign(miou=runs["miou"] - 100.0 * runs["size"]), given="size")
    assert result.r == pytest.approx(compare_correlations(runs, given="size").r, abs=1e-8)
    assert "correlates given size with train_mim_loss" in result.sentence


def test_too_few_pretrainings_and_constant_columns_are_said() -> None:
    few = compare_correlations(study(pretrainings=4))
    assert np.isnan([few.low, few.high, few.p]).all()
    assert few.note == "4 independent clusters: a comparison needs at least 5"
    assert "(no interval: 4 independent clusters: a comparison needs at least 5; 12 runs, 4 independent pre-trainings)" in few.sentence
    constant = compare_correlations(study().assign(train_mim_loss=0.4))
    assert constant.sentence.startswith(
        "The correlations of train_mim_loss and val_mim_loss with mIoU cannot be compared: one of the columns is constant"
    )


def test_what_cannot_be_compared_is_refused_in_a_sentence() -> None:
    runs = study()
    with pytest.raises(AnalysisError, match=r"method is 'pearsen' \(did you mean 'pearson'\?\): give one of pearson, spearman, kendall"):
        compare_correlations(runs, method="pearsen")
    with pytest.raises(AnalysisError, match="give two different columns, neither of them 'miou'"):
        compare_correlations(runs, x=("miou", "val_mim_loss"))
    with pytest.raises(
        AnalysisError, match="3 runs have all of 'train_mim_loss', 'val_mim_loss', 'miou': a comparison of correlations needs at least 4"
    ):
        compare_correlations(runs.head(3))
    with pytest.raises(AnalysisError, match="Kendall's tau is not adjusted for other columns"):
        compare_correlations(runs, method="kendall", given="train_mim_loss")
