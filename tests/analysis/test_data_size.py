"""The data-size questions: known surfaces, the published runs, and independent implementations."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy.stats import ttest_1samp

from analysis import AnalysisError, paired_effects
from analysis.data_size import data_interaction, more_data_effects, saturation
from analysis.data_size.grid import size_grid
from analysis.data_size.pooling import mean_over
from analysis.data_size.run_error import run_error
from analysis.data_size.trend import trend_within
from analysis.overfitting import split_by_overfitting
from analysis.significance.equivalence import tost

PARAMETERS = {"49M": 48.96e6, "87M": 86.89e6, "195M": 195.20e6, "655M": 655.21e6, "1.06B": 1060.98e6}
IMAGES = {"ImageNet-1K 10%": 128_117, "ImageNet-1K 20%": 256_233, "ImageNet-1K 50%": 640_584, "ImageNet-1K": 1_281_167, "ImageNet-22K": 14_197_122}


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    with (files("analysis") / "published" / "data_scaling_runs.csv").open(encoding="utf-8") as stream:
        table = pd.read_csv(stream)
    return pd.DataFrame(
        {
            "encoder": table["model"],
            "encoder_params": table["params"].map(PARAMETERS),
            "pretrain_images": table["pretrain_dataset"].map(IMAGES),
            "pretrain_steps": table["iterations"].str[:-1].astype(int) * 1000,
            "val_mim_loss": table["val_loss"],
            "accuracy": table["ft_top1"] / 100,
        }
    )


def grid(*, seeds: int = 3, lengths: int = 3, noise: float = 0.001, interaction: float = 0.0, random_seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(random_seed)
    rows = []
    for place, encoder in enumerate(("s", "b", "l", "h")):
        for doubling in range(4):
            for length in range(lengths):
                for seed in range(seeds):
                    y = 0.5 + 0.01 * doubling + 0.02 * length + 0.03 * place + interaction * doubling * length
                    rows.append((encoder, 1e6 * 2**place, 1000 * 2**doubling, 500 * 2**length, seed, y + noise * random.standard_normal()))
    return pd.DataFrame(rows, columns=["encoder", "encoder_params", "pretrain_images", "pretrain_steps", "seed", "miou"])


def test_where_the_loss_falls_the_published_runs_gain_nothing_and_where_it_rises_they_do(published) -> None:
    found = more_data_effects(published, outcome="accuracy", split=split_by_overfitting(published), margin=0.001)
    rows = found.regimes[found.regimes["measure"] == "step"].set_index("regime")
    assert rows["n_cells"].tolist() == [21, 27, 48]
    assert rows.loc["falling", "p"] > 0.05
    assert rows.loc["falling", "p_equivalent"] < 0.05
    assert rows.loc["overfitting", "low"] > 0.0
    assert rows.loc["difference", "p"] < 0.05


def test_22k_against_1k_is_within_a_tenth_of_a_point_at_500k_steps(published) -> None:
    pooled = more_data_effects(published, outcome="accuracy", margin=0.001).pooled
    pair = pooled[(pooled["smaller"] == 1_281_167) & (pooled["larger"] == 14_197_122)].set_index("length")
    assert pair.loc["all", ["n_cells", "n_units"]].tolist() == [12, 4]
    assert pair.loc[500_000, "largest_absolute"] == pytest.approx(0.001)
    assert pair.loc[500_000, "difference"] == pytest.approx(-0.000075)
    assert pair.loc[500_000, "p_equivalent"] == pytest.approx(0.066, abs=5e-4)  # four encoders are too few to show it


def test_cells_with_seeds_are_those_of_paired_effects() -> None:
    runs = grid(lengths=1)
    found = more_data_effects(runs)
    oracle = paired_effects(
        runs, factor="pretrain_images", baseline=1000, treatment=8000, by=("encoder", "pretrain_steps"), match=("encoder", "pretrain_steps", "seed")
    ).table
    ours = found.table[(found.table["smaller"] == 1000) & found.table["is_largest"]]
    for name in ("difference", "low", "high", "p"):
        assert ours[name].tolist() == pytest.approx(oracle[name].tolist(), abs=1e-12)


def test_pooled_rows_are_t_tests_over_encoders_and_over_seeds() -> None:
    runs = grid(lengths=2)
    runs = runs[runs["pretrain_images"] > 1000]
    rows = more_data_effects(runs).pooled
    mean = runs.groupby(["encoder", "seed", "pretrain_images"])["miou"].mean().unstack()
    gap = mean[8000] - mean[4000]
    for unit in ("encoder", "seed"):
        row = rows[(rows["smaller"] == 4000) & (rows["length"] == "all") & (rows["unit"] == unit)].iloc[0]
        oracle = ttest_1samp(gap.groupby(unit).mean(), 0.0)
        assert row["p"] == pytest.approx(oracle.pvalue, rel=1e-9)
        assert [row["low"], row["high"]] == pytest.approx(list(oracle.confidence_interval(0.95)), abs=1e-10)


def test_single_runs_are_judged_by_the_stated_error_and_say_so() -> None:
    row = more_data_effects(grid(seeds=1), run_sd=0.001).table.iloc[0]
    assert row["high"] - row["difference"] == pytest.approx(1.959964 * 2**0.5 * 0.001, rel=1e-6)
    assert row["note"] == "single runs, judged by a stated SD of 0.001 a run"


def test_the_estimated_error_of_a_run_is_near_the_truth_on_a_smooth_surface() -> None:
    tables = [grid(seeds=1, random_seed=seed) for seed in range(8)]
    found = [run_error(runs, size_grid(runs, outcome="miou", length="pretrain_steps")) for runs in tables]
    assert all("smooth surface" in one.source for one in found)
    assert np.mean([one.sd for one in found]) == pytest.approx(0.001, rel=0.2)


def test_equivalence_is_two_one_sided_tests() -> None:
    values = np.array([0.001, 0.002, -0.001, 0.0005])
    oracle = max(ttest_1samp(values, 0.004, alternative="less").pvalue, ttest_1samp(values, -0.004, alternative="greater").pvalue)
    assert mean_over(values, "encoder", margin=0.004, level=0.95)[4] == pytest.approx(oracle, abs=1e-12)
    assert tost(0.0, 1.0, 5, margin=100.0).p_tost < 1e-8


def test_equal_differences_and_one_encoder_give_no_interval_and_say_why() -> None:
    pooled = more_data_effects(grid(seeds=1, noise=0.0), run_sd=0.1).pooled
    assert pooled["low"].isna().all()
    assert "all 4 encoders show the same difference" in pooled["note"].iloc[0]
    one = grid(seeds=1)
    pooled = more_data_effects(one[one["encoder"] == "s"], run_sd=0.1).pooled
    assert pooled["note"].iloc[0].startswith("one encoder, so there is no spread")


def test_too_few_single_runs_leave_differences_without_intervals() -> None:
    one = grid(seeds=1)
    table = more_data_effects(one[one["encoder"] == "s"].drop(columns="encoder_params")).table
    assert np.isfinite(table["difference"]).all()
    assert table["low"].isna().all()
    assert "give run_sd=" in table["note"].iloc[0]


def test_terms_agree_with_statsmodels_on_coefficients_and_naive_intervals(published) -> None:
    found = data_interaction(published, outcome="accuracy").table.set_index("term")
    logs = {
        name: np.log2(published[column]) - np.log2(published[column]).mean()
        for name, column in (("d", "pretrain_images"), ("t", "pretrain_steps"), ("p", "encoder_params"))
    }
    oracle = smf.ols("y ~ d * t * p + I(d**2) + I(t**2) + I(p**2)", pd.DataFrame({**logs, "y": published["accuracy"]})).fit()
    for ours, theirs in {
        "data": "d",
        "data x length": "d:t",
        "data x params": "d:p",
        "data x length x params": "d:t:p",
        "data^2": "I(d ** 2)",
    }.items():
        assert found.loc[ours, "estimate"] == pytest.approx(oracle.params[theirs], abs=1e-8)
        assert [found.loc[ours, "naive_low"], found.loc[ours, "naive_high"]] == pytest.approx(list(oracle.conf_int().loc[theirs]), abs=1e-8)


def test_a_known_interaction_is_found_and_the_others_are_not() -> None:
    found = data_interaction(grid(interaction=0.004)).table.set_index("term")
    assert found.loc["data x length", "estimate"] == pytest.approx(0.004, abs=0.0005)
    assert found.loc["data x length", "p_holm"] < 0.05
    assert abs(found.loc["data x params", "estimate"]) < 0.0005


def test_what_absorbed_intercepts_explain_is_left_out_and_said() -> None:
    found = data_interaction(grid(), absorb=("encoder",)).table.set_index("term")
    assert found.loc["params", "note"] == "wholly explained by encoder and the other terms"
    assert np.isfinite(found.loc["data x params", "low"])


def test_a_study_of_one_encoder_has_no_terms_with_parameters() -> None:
    one = grid()
    found = data_interaction(pd.concat([one[one["encoder"] == "s"].assign(pretrain_recipe=name) for name in "abc"]), curvature=False)
    assert found.table["term"].tolist() == ["data", "length", "data x length"]


def test_confounded_grids_are_named(published) -> None:
    assert "Encoders were not all trained on the same sizes" in " ".join(data_interaction(published, outcome="accuracy").confounded)
    assert not any("same sizes" in one for one in data_interaction(grid()).confounded)


def test_saturation_is_where_no_larger_size_gains_the_margin() -> None:
    runs = grid(seeds=1, noise=0.0)
    runs["miou"] = runs["pretrain_images"].map({1000: 0.1, 2000: 0.2, 4000: 0.21, 8000: 0.215})
    found = saturation(runs, margin=0.02, run_sd=1e-6)
    assert found.table["saturates_at"].unique().tolist() == [2000]
    assert found.table["sizes"].unique().tolist() == [(2000.0,)]
    assert found.table["gain_left"].iloc[0] == pytest.approx(0.015)
    vague = saturation(runs, margin=0.02, run_sd=1.0).table
    assert vague["sizes"].iloc[0] == (1000.0, 2000.0, 4000.0, 8000.0)
    assert saturation(runs, margin=0.001, run_sd=1e-6).table["censored"].all()


@pytest.mark.parametrize("column", ["pretrain_images", "pretrain_steps"])
def test_a_size_or_a_length_beyond_whole_numbers_keeps_its_sign(column) -> None:
    runs = grid(seeds=1)
    runs[column] = runs[column].astype(float)
    large = runs.assign(**{column: runs[column].where(runs[column] < runs[column].max(), 1e300)})
    found = saturation(large, margin=0.012)
    assert "smooth surface" in found.error
    assert found.table["gain_left"].tolist() == pytest.approx(saturation(runs, margin=0.012, run_sd=0.001).table["gain_left"].tolist(), abs=0.01)


@pytest.mark.parametrize("length", [0.0, -1.0])
def test_a_run_that_was_not_pretrained_for_a_step_is_left_out(length) -> None:
    runs = grid(seeds=1)
    none = runs.assign(pretrain_steps=runs["pretrain_steps"].where(runs["pretrain_steps"] < runs["pretrain_steps"].max(), length))
    assert set(saturation(none, margin=0.012).table["length"]) == {500, 1000}


def test_scores_that_cannot_be_squared_give_no_endless_error() -> None:
    found = saturation(grid(seeds=1).assign(miou=lambda one: one["miou"] * 1e300), margin=0.012)
    assert "too large to be squared" in found.error


def test_a_loss_saturates_where_its_negative_does() -> None:
    runs = grid()
    points = saturation(runs, margin=0.012).table["saturates_at"]
    turned = saturation(runs.assign(miou=-runs["miou"]), margin=0.012, higher_is_better=False).table["saturates_at"]
    assert points.tolist() == turned.tolist()


def test_published_saturation_moves_up_with_the_model_but_sizes_differ(published) -> None:
    found = saturation(published, outcome="accuracy", margin=0.001)
    points = found.table.set_index(["encoder", "length"])["saturates_at"]
    assert points["SwinV2-Small", 125_000] == 256_233
    assert points["SwinV2-Huge", 500_000] == 1_281_167
    across = found.trends[(found.trends["trend"] == "params") & (found.trends["sizes"] == "all sizes")].iloc[0]
    assert "encoders differ in the sizes" in across["note"]


def test_a_trend_is_judged_by_all_arrangements() -> None:
    x, y = np.tile([0.0, 1.0, 2.0], 3), np.tile([0.0, 1.0, 3.0], 3)
    found = trend_within(np.repeat([0, 1, 2], 3), x, y)
    assert found.slope == pytest.approx(1.5)
    assert found.p == pytest.approx(2 / 216)  # the one seen and its mirror image, of 3!^3
    assert "same in all cells" in trend_within(np.repeat([0, 1, 2], 3), x, np.zeros(9)).note


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda runs: more_data_effects(runs[runs["pretrain_images"] == 1000]), "one size of pre-training data has a run with 'miou'"),
        (lambda runs: more_data_effects(runs, margin=0.0), "margin is 0.0: give the difference that counts as none"),
        (lambda runs: more_data_effects(pd.concat([runs, runs.head(1)])), "two runs share encoder s, 1,000 pre-training images"),
        (
            lambda runs: more_data_effects(runs[runs["pretrain_steps"] == 500].assign(pretrain_steps=lambda one: one["pretrain_images"])),
            "no two data sizes share an encoder and a value of 'pretrain_steps'",
        ),
        (lambda runs: data_interaction(runs, absorb=("colour",)), "no column 'colour' to absorb"),
        (lambda runs: data_interaction(runs[runs["encoder"] == "s"]), "too few for"),
        (lambda runs: saturation(runs, margin=-1.0), "margin is -1.0: give the gain that counts as none"),
        (lambda runs: saturation(runs, margin=0.1, outcome="score"), "has no column 'score'"),
    ],
)
def test_mistakes_are_refused_in_a_sentence(call, sentence) -> None:
    with pytest.raises(AnalysisError) as error:
        call(grid(seeds=1))
    assert sentence in str(error.value)
