"""Tests on published means: SciPy as oracle, the first paper's table, and hostile tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import digamma, polygamma
from scipy.stats import nct, ttest_ind_from_stats

from analysis import AnalysisError
from analysis.significance.cell_variances import cell_variances
from analysis.significance.noncentral import noncentral_t_below
from analysis.significance.standardised import hedges_g
from analysis.significance.summaries import summary_effects, summary_intermediate_effects, summary_pretraining_effects


@pytest.fixture
def published() -> pd.DataFrame:
    table = pd.read_csv(Path(__file__).parents[2] / "analysis" / "published" / "diminishing_returns.csv")
    renamed = table.rename(columns={"runs": "n_runs"})[["pretrain_images", "intermediate", "finetune_images", "n_runs"]]
    return renamed.assign(miou=table["miou_pct"] / 100, miou_spread=table["miou_spread"] / 100)


@pytest.mark.parametrize("spread", ["sd", "se"])
def test_welch_is_that_of_scipy(published, spread) -> None:
    effects = summary_intermediate_effects(published, spread=spread, variance="welch")
    assert len(effects.table) == 18
    indexed = published.set_index(["pretrain_images", "intermediate", "finetune_images"])
    for _, row in effects.table.iterrows():
        new, old = (indexed.loc[(row["pretrain_images"], stage, row["finetune_images"])] for stage in ("classification", "none"))
        scale = np.sqrt(3) if spread == "se" else 1.0
        reference = ttest_ind_from_stats(new["miou"], new["miou_spread"] * scale, 3, old["miou"], old["miou_spread"] * scale, 3, equal_var=False)
        assert row["p"] == pytest.approx(reference.pvalue, rel=1e-8)
        assert row["difference"] / row["se"] == pytest.approx(reference.statistic, rel=1e-8)


def test_pooled_over_two_cells_is_students_t_of_scipy() -> None:
    cells = pd.DataFrame({"encoder": ["a", "b"], "miou": [0.5, 0.6], "miou_spread": [0.04, 0.05], "n_runs": [4, 7]})
    row = summary_effects(cells, factor="encoder", baseline="a", treatment="b", variance="pooled").table.iloc[0]
    reference = ttest_ind_from_stats(0.6, 0.05, 7, 0.5, 0.04, 4, equal_var=True)
    assert (row["p"], row["df"]) == (pytest.approx(reference.pvalue, rel=1e-8), 9)


@pytest.mark.parametrize(("spread", "variance", "below"), [("sd", "welch", 11), ("se", "welch", 6), ("sd", "moderated", 17), ("se", "moderated", 11)])
def test_how_many_cells_of_the_intermediate_stage_survive_holm(published, spread, variance, below) -> None:
    counts = summary_intermediate_effects(published, spread=spread, variance=variance).counts()
    assert (counts["cells"], counts["below"], counts["significantly_below"]) == (18, 18, below)


@pytest.mark.parametrize(("spread", "above"), [("sd", 16), ("se", 9)])
def test_the_intermediate_stage_leaves_17_of_18_cells_above_scratch(published, spread, above) -> None:
    effects = summary_pretraining_effects(published, intermediate="classification", spread=spread)
    counts = effects.counts()
    assert (counts["above"], counts["below"], counts["significantly_above"], counts["significantly_below"]) == (17, 1, above, 0)
    worst = effects.table.loc[effects.table["difference"].idxmin()]
    assert (worst["treatment"], worst["finetune_images"]) == (45_000, 6_000)
    assert worst["difference"] == pytest.approx(-0.0031)
    assert effects.sentence(0).startswith(
        "Pre-training on 45,000 images and an intermediate classification stage changes mIoU at 250 labels by +0.052 (95% interval +0."
    )


def test_pretraining_helps_in_every_cell_and_the_overall_mean_counts_a_scratch_cell_once(published) -> None:
    effects = summary_pretraining_effects(published)
    assert effects.counts()["significantly_above"] == 18
    every = effects.overall.iloc[-1]
    assert (every["treatment"], every["n_cells"], every["n_clusters"]) == ("all", 18, 3)
    variance = published["miou_spread"] ** 2 / 3
    trained = (published["intermediate"] == "none") & (published["pretrain_images"] > 0)
    scratch = published["pretrain_images"] == 0
    assert every["se"] == pytest.approx(np.sqrt(variance[trained].sum() / 18**2 + variance[scratch].sum() / 6**2))
    assert every["low"] > 0 > every["low_clustered"] - 0.06


def test_a_moderated_variance_solves_smyths_moment_equations() -> None:
    variance = np.random.default_rng(0).chisquare(2, 40) * np.geomspace(0.01, 100, 40)
    found = cell_variances(variance, np.full(40, 2.0), how="moderated")
    prior_df = found.prior_df[0]
    centred = np.log(variance) - digamma(1.0)
    caution = 0.6 * np.sqrt((polygamma(3, 1.0) + 2 * polygamma(1, 1.0) ** 2) / 40)
    assert polygamma(1, prior_df / 2) == pytest.approx(centred.var(ddof=1) - polygamma(1, 1.0) + caution)
    prior = np.exp(centred.mean() + digamma(prior_df / 2) - np.log(prior_df / 2))
    assert found.variance == pytest.approx((prior_df * prior + 2 * variance) / (prior_df + 2))
    assert found.df == pytest.approx(np.full(40, prior_df + 2))


def test_few_cells_or_welch_borrow_nothing() -> None:
    variance, df = np.array([1.0, 2.0, 0.0, np.nan]), np.full(4, 2.0)
    for how in ("welch", "moderated"):
        found = cell_variances(variance, df, how=how)
        assert found.variance[:2].tolist() == [1.0, 2.0]
        assert np.isnan(found.variance[2:]).all()


def test_hedges_g_has_the_noncentral_interval() -> None:
    g, low, high = hedges_g(0.3, 0.2, 0.25, 5, 7)
    pooled = np.sqrt((4 * 0.2**2 + 6 * 0.25**2) / 10)
    assert g == pytest.approx(0.3 / pooled * 0.9228, abs=1e-4)  # J(10) = 0.9228: Hedges & Olkin 1985, table 2
    t, scale = 0.3 / pooled / np.sqrt(1 / 5 + 1 / 7), np.sqrt(1 / 5 + 1 / 7) * g * pooled / 0.3
    assert [nct.cdf(t, 10, end / scale) for end in (low, high)] == pytest.approx([0.975, 0.025], abs=1e-8)
    assert np.isfinite(hedges_g(0.1, 0.001, 0.001, 3, 3)).all()


def test_the_noncentral_t_is_scipys() -> None:
    for t, df, shift in [(-3, 1, 2), (0, 2, 1), (2.1, 4, -1), (12, 17, 9), (3, 400, 2.5)]:
        assert noncentral_t_below(t, df, shift) == pytest.approx(nct.cdf(t, df, shift), abs=1e-10)


def test_single_runs_zero_spreads_and_missing_means_keep_the_other_rows(published) -> None:
    stage = published["intermediate"] == "classification"
    first, second, third, fourth = published.index[stage][:4]
    published.loc[first, "n_runs"] = 1
    published.loc[second, "miou_spread"] = 0.0
    published.loc[third, "miou"] = np.nan
    published.loc[fourth, "miou_spread"] = np.nan
    effects = summary_intermediate_effects(published)
    assert effects.table["note"].tolist()[:4] == [
        "a single run, which has no spread",
        "a spread of zero, as of runs that are copies, or of rounding",
        "a mean is missing",
        "a spread is missing",
    ]
    assert effects.table["p_holm"].notna().sum() == effects.overall["n_cells"].iloc[0] == 14
    assert effects.table["difference"].notna().sum() == 17
    assert effects.sentence(0).endswith("by -0.038 (no interval: a single run, which has no spread)")
    assert "4 cells without an interval left out" in effects.overall["note"].iloc[0]
    assert effects.counted().endswith("; 4 could not be tested.")
    nothing = summary_intermediate_effects(published.assign(n_runs=1))
    assert nothing.table["p"].isna().all()
    assert nothing.overall["note"].iloc[0] == "no cell has an interval"


def test_mistakes_are_answered_in_a_sentence(published) -> None:
    def refused(match: str, cells: pd.DataFrame = published, **changed: object) -> None:
        with pytest.raises(AnalysisError, match=match):
            summary_effects(cells, **({"factor": "intermediate", "baseline": "none", "treatment": "classification"} | changed))

    refused("no cell has 'intermediate' = spatial: its values are classification, none", treatment="spatial")
    refused("spread is 'iqr': say 'sd' if it is of single runs", spread="iqr")
    refused("variance is 'own'", variance="own")
    refused("the treatment none is the baseline", treatment="none")
    refused("row 0: a spread below zero", published.assign(miou_spread=-1.0))
    refused("row 0: the number of runs must be 1 or more", published.assign(n_runs=0))
    refused("are equal in all settings: keep one of them", pd.concat([published, published], ignore_index=True))
    refused("has no column 'miou_spread'", published.drop(columns="miou_spread"))
    refused("'good' is not a number", published.assign(miou="good"))
