"""Overfitting detected from held-out losses: the published split, known curves, and independent
implementations.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from analysis import AnalysisError
from analysis.overfitting import change_point, phase_relations, split_by_overfitting
from analysis.significance.clustered_regression import ClusteredDesign, wild_joint_p


@pytest.fixture
def published() -> pd.DataFrame:
    with (files("analysis") / "published" / "data_scaling_runs.csv").open(encoding="utf-8") as stream:
        table = pd.read_csv(stream)
    images = {"ImageNet-1K 10%": 128_117, "ImageNet-1K 20%": 256_233, "ImageNet-1K 50%": 640_584, "ImageNet-1K": 1_281_167}
    return pd.DataFrame(
        {
            "encoder": table["model"],
            "pretrain_images": table["pretrain_dataset"].map(images).fillna(14_197_122).astype(int),
            "pretrain_steps": table["iterations"].str[:-1].astype(int) * 1000,
            "val_mim_loss": table["val_loss"],
            "accuracy": table["ft_top1"] / 100,
        }
    )


def series_of(losses: list[float], **columns: object) -> pd.DataFrame:
    lengths = [1000 * 2**place for place in range(len(losses))]
    return pd.DataFrame({"encoder": "e", "pretrain_images": 100, "pretrain_steps": lengths, "val_mim_loss": losses}).assign(**columns)


def test_the_published_runs_split_into_12_falling_series_and_9_others(published) -> None:
    split = split_by_overfitting(published)
    assert split.series["label"].value_counts().to_dict() == {"falling": 12, "overfitting": 9}
    assert (split.runs["label"] == "falling").sum() == 36
    assert (split.runs["phase"] == "overfitting").sum() == 14


def test_correlations_of_the_published_phases_are_those_of_the_reference(published) -> None:
    found = phase_relations(published, split_by_overfitting(published), y="accuracy").table.set_index("phase")
    assert found.loc["all", "r"] == pytest.approx(-0.786, abs=5e-4)
    assert found.loc["falling", "r"] == pytest.approx(-0.956, abs=5e-4)
    assert found.loc["overfitting", "r"] == pytest.approx(-0.697, abs=5e-4)
    assert found.loc["difference", "p"] < 0.001
    slopes = found["slope"]
    assert slopes["difference"] == pytest.approx(slopes["overfitting"] - slopes["falling"], abs=1e-10)


def test_relations_agree_with_scipy_and_with_ordinary_least_squares(published) -> None:
    split = split_by_overfitting(published)
    row = phase_relations(published, split, y="accuracy").table.set_index("phase").loc["falling"]
    kept = published[split.runs["label"] == "falling"]
    assert row["r"] == pytest.approx(pearsonr(kept["val_mim_loss"], kept["accuracy"]).statistic, abs=1e-10)
    plain = sm.OLS(kept["accuracy"], sm.add_constant(kept["val_mim_loss"])).fit()
    assert row["slope"] == pytest.approx(plain.params["val_mim_loss"], abs=1e-8)
    assert [row["naive_low"], row["naive_high"]] == pytest.approx(list(plain.conf_int().loc["val_mim_loss"]), abs=1e-8)
    assert row["naive_p"] == pytest.approx(plain.pvalues["val_mim_loss"], rel=1e-6)


def test_with_one_run_a_cluster_cr2_is_hc2() -> None:
    random = np.random.default_rng(0)
    design = np.column_stack([np.ones(20), random.standard_normal((20, 2))])
    y = random.standard_normal(20)
    ours = ClusteredDesign(design, np.arange(20)).fit(y).covariance
    assert ours == pytest.approx(sm.OLS(y, design).fit(cov_type="HC2").cov_params(), abs=1e-10)


def test_with_balanced_clusters_and_a_mean_alone_degrees_are_clusters_minus_one() -> None:
    random = np.random.default_rng(0)
    y, cluster = random.standard_normal(24), np.repeat(np.arange(8), 3)
    parent = ClusteredDesign(np.ones((24, 1)), cluster)
    found = parent.fit(y).contrast(np.ones(1), level=0.95)
    means = y.reshape(8, 3).mean(axis=1)
    assert found.degrees == pytest.approx(7.0, abs=1e-9)
    assert found.error == pytest.approx(means.std(ddof=1) / 8**0.5, abs=1e-10)
    joint = parent.fit(y).joint(np.ones((1, 1)))
    assert (joint.degrees, joint.p) == pytest.approx((7.0, found.p), abs=1e-9)


def test_the_wild_bootstrap_finds_what_is_there_and_not_what_is_not() -> None:
    random = np.random.default_rng(1)
    cluster = np.repeat(np.arange(20), 3)
    design = np.column_stack([np.ones(60), random.standard_normal((60, 2))])
    noise = random.standard_normal(20)[cluster] + random.standard_normal(60)
    parent = ClusteredDesign(design, cluster)
    assert wild_joint_p(parent, noise + design @ [0, 3, 0], np.eye(3)[1:]) == pytest.approx(1 / 2000)
    assert wild_joint_p(parent, noise, np.eye(3)[1:]) > 0.05


def test_a_tie_is_not_a_fall() -> None:
    assert split_by_overfitting(series_of([0.5, 0.4, 0.4])).series["label"].tolist() == ["overfitting"]
    assert split_by_overfitting(series_of([0.5, 0.4, 0.3])).series["label"].tolist() == ["falling"]


def test_runs_after_the_least_loss_are_in_the_overfitting_phase() -> None:
    split = split_by_overfitting(series_of([0.5, 0.4, 0.42, 0.45]), rule="change point", tolerance=0.01)
    assert split.runs["phase"].tolist() == ["falling", "falling", "overfitting", "overfitting"]
    assert split.series.loc[0, ["change_point", "rise"]].tolist() == pytest.approx([2000, 0.05])
    allowed = split_by_overfitting(series_of([0.5, 0.4, 0.42, 0.45]), rule="change point", tolerance=0.06)
    assert allowed.runs["phase"].unique().tolist() == ["falling"]
    assert allowed.series["note"].tolist() == ["the loss rises by no more than is allowed"]


def test_one_length_is_said_to_tell_nothing_and_a_run_from_scratch_is_left_out() -> None:
    runs = pd.concat([series_of([0.5]), series_of([np.nan]).assign(pretrain_images=0)], ignore_index=True)
    split = split_by_overfitting(runs)
    assert split.series["label"].isna().all()
    assert "cannot be determined" in split.series.loc[0, "note"]
    assert split.n_without_loss == 1
    assert split.runs["series"].tolist() == [0, -1]


def test_noise_between_seeds_decides_when_no_tolerance_is_stated() -> None:
    random = np.random.default_rng(0)
    rows = [
        series_of([0.5 + shift, 0.40 + shift, 0.41 + shift]).assign(seed=seed, pretrain_images=images, encoder=f"e{images}")
        for images in (100, 200, 300)
        for seed, shift in enumerate(random.standard_normal(3))  # what a seed's runs share is no noise of a difference
    ]
    runs = pd.concat(rows, ignore_index=True)
    for sd, label in ((0.0005, "overfitting"), (0.05, "falling")):
        split = split_by_overfitting(runs.assign(val_mim_loss=runs["val_mim_loss"] + sd * random.standard_normal(27)), rule="change point")
        assert split.series["label"].unique().tolist() == [label]
        assert split.noise_degrees == 12
        assert split.noise_sd == pytest.approx(sd, rel=0.5)


def grid_of_losses(random: np.random.Generator, mean: list[float], *, noise_sd: float, lost: float = 0.0) -> pd.DataFrame:
    """20 settings of 3 seeds, whose shift is large; a share of the runs is lost."""
    rows = [
        series_of([at + shift + noise_sd * random.standard_normal() for at in mean]).assign(seed=seed, pretrain_images=images)
        for images in range(20)
        for seed, shift in enumerate(0.01 * random.standard_normal(3))
    ]
    runs = pd.concat(rows, ignore_index=True)
    return runs[random.random(len(runs)) >= lost].reset_index(drop=True)


def share_overfitting(mean: list[float], *, noise_sd: float, lost: float = 0.0, rule: str | None = None) -> float:
    random = np.random.default_rng(3)
    shares = [
        (split_by_overfitting(grid_of_losses(random, mean, noise_sd=noise_sd, lost=lost), rule=rule).series["label"] == "overfitting").mean()
        for _ in range(10)
    ]
    return float(np.mean(shares))


@pytest.mark.parametrize("noise_sd", [0.0005, 0.001])
def test_a_loss_that_falls_by_less_than_its_noise_is_not_called_overfitting(noise_sd) -> None:
    falls = [0.3610, 0.3605, 0.3600]
    assert share_overfitting(falls, noise_sd=noise_sd) < 0.03
    assert share_overfitting(falls, noise_sd=noise_sd, rule="falling") > 0.3


def test_a_flat_loss_is_called_overfitting_at_the_stated_rate_and_a_rise_is_found_also_where_runs_are_lost() -> None:
    assert share_overfitting([0.36, 0.36, 0.36], noise_sd=0.001) < 0.05  # 200 settings: 3% and two standard errors
    assert share_overfitting([0.363, 0.36, 0.364], noise_sd=0.001) > 0.9
    assert share_overfitting([0.363, 0.36, 0.364], noise_sd=0.001, lost=0.1) > 0.8


def test_all_seeds_of_a_setting_have_one_label_and_a_lost_run_does_not_shift_the_mean() -> None:
    runs = grid_of_losses(np.random.default_rng(0), [0.363, 0.36, 0.364], noise_sd=1e-5)
    runs = runs.drop(index=[1, 3]).reset_index(drop=True)  # seed 0 lacks the least loss, seed 1 the first
    split = split_by_overfitting(runs)
    assert split.rule == "change point"
    assert (split.series["label"] == "overfitting").all()
    first = split.series[split.series["pretrain_images"] == 0]
    assert first["least_at"].tolist() == [2000] * 3
    assert first["rise"].tolist() == pytest.approx([0.004] * 3, abs=5e-5)


def test_lengths_that_no_seed_joins_cannot_be_compared() -> None:
    known = grid_of_losses(np.random.default_rng(0), [0.363, 0.36, 0.364], noise_sd=1e-4)
    apart = pd.concat([series_of([0.36]).assign(seed=0), series_of([0.3, 0.4]).iloc[1:].assign(seed=1)]).assign(pretrain_images=99)
    split = split_by_overfitting(pd.concat([known, apart], ignore_index=True))
    assert split.series["label"].iloc[-2:].isna().all()
    assert split.series["note"].iloc[-1] == "no seed joins these lengths, so whether the loss rises cannot be determined"


def test_without_seeds_the_rule_is_falling_and_says_that_the_noise_is_unknown(published) -> None:
    split = split_by_overfitting(published)
    assert split.rule == "falling"
    assert split.sentence.endswith("the noise of the loss is unknown, and a small rise may be noise.")
    assert split_by_overfitting(published, rule="falling").note == ""
    assert split_by_overfitting(published, tolerance=0.001).rule == "change point"


def test_seeds_that_share_a_pretraining_are_one_series() -> None:
    runs = pd.concat([series_of([0.5, 0.4], seed=seed, pretrain_id=["a", "b"]) for seed in (0, 1)], ignore_index=True)
    assert len(split_by_overfitting(runs).series) == 1


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"rule": "bend"}, "the rule 'bend' is not known: give 'falling' or 'change point'."),
        ({"rule": "change point"}, "needs the noise of the loss, and no setting has two seeds"),
        ({"tolerance": -1.0}, "tolerance is -1.0: give the rise of the loss that counts as none, zero or above."),
        ({"loss": "val_loss"}, "has no column 'val_loss' (did you mean 'val_mim_loss'?)"),
    ],
)
def test_mistakes_of_a_split_are_refused_in_a_sentence(call, sentence) -> None:
    with pytest.raises(AnalysisError) as error:
        split_by_overfitting(series_of([0.5, 0.4, 0.3]), **call)
    assert sentence in str(error.value)


def test_a_split_of_another_table_is_refused(published) -> None:
    with pytest.raises(AnalysisError, match="the split was made from another table"):
        phase_relations(published.iloc[:9], split_by_overfitting(published), y="accuracy")


def test_a_phase_without_enough_series_says_so_and_the_other_comes_out(published) -> None:
    few = published[~published["pretrain_images"].isin([128_117, 256_233])].reset_index(drop=True)
    found = phase_relations(few, split_by_overfitting(few), y="accuracy")
    rows = found.table.set_index("phase")
    assert rows.loc["overfitting", "note"] == "2 series, and an interval needs 5"
    assert np.isfinite(rows.loc["falling", "low"])
    assert found.sentences()[-1].startswith("Whether the slopes of the two phases differ cannot be determined")


def test_labels_and_seeds_do_not_pose_as_an_effect_of_the_loss(published) -> None:
    split = split_by_overfitting(published)
    both = pd.concat([published.assign(finetune_images=100), published.assign(finetune_images=200)], ignore_index=True)
    both.loc[both["finetune_images"] == 200, "accuracy"] += 0.3
    slopes = [phase_relations(runs, split_by_overfitting(runs), y="accuracy").table["slope"].tolist() for runs in (published, both)]
    assert slopes[0] == pytest.approx(slopes[1], abs=1e-9)
    assert split.n_without_loss == 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=6, max_size=40))
def test_a_curve_that_never_rises_has_p_above_one_half_without_noise(drops: list[float]) -> None:
    losses = 100.0 - np.cumsum(drops)
    assert not change_point(np.arange(len(losses)), losses).overfitting


def test_few_noisy_flat_curves_and_most_rising_ones_are_called_overfitting() -> None:
    random = np.random.default_rng(0)
    steps = np.arange(30.0)
    flat = [change_point(steps, random.standard_normal(30)).overfitting for _ in range(120)]
    shape = 30 * np.exp(-steps / 4) + 0.4 * np.maximum(0.0, steps - 15)
    rising = [change_point(steps, shape + random.standard_normal(30)) for _ in range(30)]
    assert np.mean(flat) < 0.11
    assert np.mean([one.overfitting for one in rising]) > 0.8
    assert np.median([one.step for one in rising if one.overfitting]) == pytest.approx(15, abs=4)


def test_a_curve_is_read_in_order_of_step_and_twice_alike() -> None:
    losses = np.array([5.0, 3.0, 2.0, 2.1, 2.6, 3.1, 3.4, 3.9])
    order = np.random.default_rng(0).permutation(8)
    assert change_point(order, losses[order]) == change_point(np.arange(8), losses)
    assert change_point(np.arange(8), losses, tolerance=10.0).overfitting is False


def test_short_noise_free_and_wrong_curves_are_distinguished() -> None:
    assert "fewer than 6" in change_point([0, 1, 2], [3.0, 2.0, np.nan]).sentence
    assert change_point(range(8), [1.0] * 8).note == "the losses show no noise, so every rise counts"
    with pytest.raises(AnalysisError, match="step 1 occurs twice: give one loss per step, such as the mean"):
        change_point([0, 1, 1], [3.0, 2.0, 1.0])
    with pytest.raises(AnalysisError, match="give one loss per step"):
        change_point([0, 1], [3.0, 2.0, 1.0])


def test_pre_trainings_that_differ_in_sampling_or_objective_are_series_of_their_own() -> None:
    """Before, the mean of both was taken at each length, which can rise where neither does."""
    falling = series_of([0.5, 0.4, 0.3], pretrain_sampling="uniform", pretrain_objective="simmim", seed=0)
    for column, value in (("pretrain_sampling", "classes"), ("pretrain_objective", "mae")):
        other = series_of([0.9, 0.8, 0.7], seed=0).assign(**{"pretrain_sampling": "uniform", "pretrain_objective": "simmim", column: value})
        split = split_by_overfitting(pd.concat([falling.head(2), other.tail(2)], ignore_index=True))
        assert split.series["label"].tolist() == ["falling", "falling"]
        assert split.series[column].tolist() == [falling[column].iloc[0], value]
