import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr, spearmanr

from analysis import AnalysisError, correlate
from analysis.correlation.estimates import pearson, spearman
from analysis.published.load import read_printed


def points(*, pretrainings: int, runs_each: int = 3, slope: float = -1.0, random_seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(random_seed)
    loss = np.repeat(random.standard_normal(pretrainings), runs_each)
    return pd.DataFrame(
        {
            "pretrain_id": np.repeat([f"p{one}" for one in range(pretrainings)], runs_each),
            "finetune_images": 60,
            "val_mim_loss": loss,
            "miou": slope * loss + random.standard_normal(len(loss)),
        }
    )


def test_weighted_correlations_equal_scipy_on_the_resampled_runs() -> None:
    random = np.random.default_rng(0)
    x, y = np.round(random.standard_normal(20), 1), random.standard_normal(20)
    weights = random.integers(0, 4, (5, 20)).astype(float)
    for row, r, rank in zip(weights, pearson(x, y, weights), spearman(x, y, weights), strict=True):
        drawn = np.repeat(np.arange(20), row.astype(int))
        assert r == pytest.approx(pearsonr(x[drawn], y[drawn]).statistic, rel=1e-9)
        assert rank == pytest.approx(spearmanr(x[drawn], y[drawn]).statistic, rel=1e-9)


def test_published_losses_correlate_with_accuracy_pooled_but_not_within_a_data_size() -> None:
    runs = read_printed("data_scaling_runs")
    result = correlate(runs, x="val_loss", y="ft_top1", within="pretrain_dataset")
    r = result.table[result.table["method"] == "pearson"].set_index("group")["r"]
    assert r["all"] == pytest.approx(-0.786, abs=5e-4)
    assert r["pretrain_dataset = ImageNet-1K 10%"] == pytest.approx(0.55, abs=5e-3)
    assert r["pretrain_dataset = ImageNet-1K 20%"] == pytest.approx(-0.12, abs=5e-3)
    assert result.signs_differ
    assert "each run counted as a pre-training of its own" in result.sentence
    assert "The sign turns within levels (" in result.sentence
    assert "+0.55 within pretrain_dataset = ImageNet-1K 10%" in result.sentence


def test_runs_of_one_pretraining_count_once() -> None:
    once, thrice = points(pretrainings=8, runs_each=1), points(pretrainings=8, runs_each=1)
    thrice = pd.concat([thrice] * 3, ignore_index=True)
    one, other = correlate(once).table.iloc[0], correlate(thrice).table.iloc[0]
    assert (one["n"], other["n"]) == (8, 24)
    assert one["pretrainings"] == other["pretrainings"] == 8
    assert (other["low"], other["high"]) == pytest.approx((one["low"], one["high"]))


def test_the_interval_holds_the_truth_and_is_reproducible() -> None:
    runs = points(pretrainings=30, random_seed=3)
    row = correlate(runs).table.iloc[0]
    assert row["low"] < -1 / np.sqrt(2) < row["high"]
    assert correlate(runs).table.equals(correlate(runs).table)


def test_runs_from_scratch_are_left_out_and_counted(study) -> None:
    runs = study()
    runs.loc[runs.index[-1], "miou"] = np.nan
    result = correlate(runs)
    assert (result.n_without_x, result.n_without_y) == (20, 1)
    assert len(result.points) == 39
    assert result.table["group"].unique().tolist() == ["all", "finetune_images = 60", "finetune_images = 600"]
    assert result.table["pretrainings"].iloc[0] == 10


def test_too_few_pretrainings_give_no_interval_and_say_so() -> None:
    few = correlate(points(pretrainings=4))
    assert few.table["low"].isna().all()
    assert few.table["note"].iloc[0] == "4 pre-trainings: an interval needs at least 5 independent ones"
    assert "(no interval: 4 pre-trainings: an interval needs at least 5 independent ones" in few.sentence
    shared = correlate(points(pretrainings=8).assign(trunk_id=lambda table: table["pretrain_id"].map(lambda one: f"t{int(one[1:]) % 2}")))
    assert shared.table["note"].iloc[0] == "8 pre-trainings on 2 trunks: an interval needs at least 5 independent ones"


def test_a_constant_column_has_no_correlation_and_no_warning() -> None:
    result = correlate(points(pretrainings=6).assign(miou=0.1))
    assert result.table["r"].isna().all()
    assert set(result.table["note"]) == {"one of the two columns is constant here"}
    assert result.sentence == "The correlation of val_mim_loss with mIoU is undefined: one of the two columns is constant here."


def test_what_cannot_be_correlated_is_refused_in_a_sentence() -> None:
    runs = points(pretrainings=6)
    with pytest.raises(AnalysisError, match=r"has no column 'val_loss' \(did you mean 'val_mim_loss'\?\)"):
        correlate(runs, x="val_loss")
    with pytest.raises(AnalysisError, match="2 runs have both 'val_mim_loss' and 'miou': a correlation needs at least 3"):
        correlate(runs.head(2))


SCIPY = {"pearson": pearsonr, "spearman": spearmanr, "kendall": kendalltau}


def by_method(table: pd.DataFrame, group: str = "all") -> pd.DataFrame:
    return table[table["group"] == group].set_index("method")


@pytest.mark.parametrize("method", SCIPY)
def test_each_correlation_equals_scipy_with_ties(method) -> None:
    random = np.random.default_rng(4)
    runs = pd.DataFrame({"val_mim_loss": np.round(random.standard_normal(40), 1), "miou": np.round(random.standard_normal(40), 1)})
    row = by_method(correlate(runs, within=()).table).loc[method]
    assert row["r"] == pytest.approx(SCIPY[method](runs["val_mim_loss"], runs["miou"]).statistic, abs=1e-8)


@pytest.mark.parametrize("method", SCIPY)
def test_p_counts_every_placing_of_the_losses_among_pretrainings(method) -> None:
    runs = points(pretrainings=5, runs_each=2, slope=-0.5, random_seed=2)
    loss = runs["val_mim_loss"].to_numpy()[::2]
    sizes = [abs(SCIPY[method](np.repeat(placed, 2), runs["miou"]).statistic) for placed in itertools.permutations(loss)]
    row = by_method(correlate(runs, within=()).table).loc[method]
    assert row["p"] == pytest.approx(np.mean(np.array(sizes) >= sizes[0] - 1e-12))
    assert row["p_note"] == "all 120 placings of the losses"


@given(st.lists(st.floats(-100, 100), min_size=6, max_size=6), st.lists(st.floats(-100, 100), min_size=6, max_size=6))
@settings(max_examples=25, deadline=None)
def test_whatever_the_numbers_estimates_lie_in_their_intervals_and_p_is_a_probability(losses, scores) -> None:
    table = correlate(pd.DataFrame({"val_mim_loss": losses, "miou": scores}), within=()).table
    there = table[table["r"].notna() & table["low"].notna()]
    assert ((there["low"] <= there["r"] + 1e-9) & (there["r"] <= there["high"] + 1e-9)).all()
    assert table["r"].dropna().between(-1.0, 1.0).all()
    assert table["p"].dropna().between(1 / 720, 1.0).all()
    assert (table["note"][table["low"].isna()] != "").all()


def test_over_all_placings_p_falls_below_each_share_no_more_often_than_that_share() -> None:
    scores = [0.1, 0.4, 0.35, 0.8]
    tables = [correlate(pd.DataFrame({"val_mim_loss": one, "miou": scores}), within=()).table for one in itertools.permutations([0.0, 1.0, 2.5, 2.6])]
    for method in SCIPY:
        p = np.array([by_method(table)["p"][method] for table in tables])
        assert all(np.mean(p <= share + 1e-12) <= share + 1e-12 for share in (0.05, 0.1, 0.25, 0.5))


def test_losses_change_places_inside_one_seed_where_seeds_are_shared() -> None:
    random = np.random.default_rng(0)
    runs = points(pretrainings=9, runs_each=2).assign(seed=np.repeat(np.tile([0, 1, 2], 3), 2))
    assert set(correlate(runs, within=()).table["p_note"]) == {"all 216 placings of the losses inside one seed"}
    # what a seed adds to all of its scores leaves the placings' order as it is
    shifted = runs.assign(miou=runs["val_mim_loss"] * -1.0 + 0.01 * random.standard_normal(18) + 5.0 * runs["seed"])
    assert correlate(shifted, within=()).table["p"].iloc[0] <= 0.02


def test_too_few_placings_are_named_and_bound_p() -> None:
    table = correlate(points(pretrainings=3, slope=-9.0)).table
    assert table["p_note"].iloc[0] == "all 6 placings of the losses, so that p cannot be below 0.17"
    assert table["p"].min() >= 1 / 6
    assert correlate(points(pretrainings=1)).table["note"].iloc[0] == "one of the two columns is constant here"


def test_with_group_means_removed_pooled_and_inside_agree_though_groups_differ() -> None:
    runs = pd.concat([points(pretrainings=12, random_seed=one).assign(finetune_images=100 * one) for one in (1, 2, 3)], ignore_index=True)
    runs = runs.assign(pretrain_id=runs["pretrain_id"] + "-" + runs["finetune_images"].astype(str))
    moved = runs.assign(val_mim_loss=runs["val_mim_loss"] + runs["finetune_images"], miou=runs["miou"] + runs["finetune_images"])
    before, after = correlate(runs).within_groups.set_index("method"), correlate(moved).within_groups.set_index("method")
    assert after["r"].to_numpy() == pytest.approx(before["r"].to_numpy(), abs=1e-8)
    assert after["high"].max() < 0.0
    centred = runs[["val_mim_loss", "miou"]] - runs.groupby("finetune_images")[["val_mim_loss", "miou"]].transform("mean")
    assert before.loc["pearson", "r"] == pytest.approx(pearsonr(centred["val_mim_loss"], centred["miou"]).statistic, abs=1e-8)
    result = correlate(moved)
    assert result.signs_differ_beyond_doubt == ("finetune_images = 100", "finetune_images = 200", "finetune_images = 300")
    assert "it turns beyond doubt within finetune_images = 100 and finetune_images = 200" in result.sentence


def test_the_published_turn_of_sign_is_not_beyond_doubt() -> None:
    runs = read_printed("data_scaling_runs")
    result = correlate(runs, x="val_loss", y="ft_top1", within="pretrain_dataset")
    assert result.signs_differ
    assert result.signs_differ_beyond_doubt == ()
    assert (
        "no level has an interval that excludes zero on the other side, so the turn may be chance. With the levels' means removed r = -0.57"
        in result.sentence
    )
    series = correlate(runs, x="val_loss", y="ft_top1", within=(), cluster=("model", "pretrain_dataset"))
    assert series.table["clusters"].iloc[0] == 21
    assert "21 clusters by model x pretrain_dataset" in series.sentence
    assert series.table["high"].iloc[0] > result.table["high"].iloc[0]


def test_a_perfect_order_has_no_interval_and_says_so() -> None:
    runs = pd.DataFrame({"val_mim_loss": np.arange(8.0), "miou": -np.arange(8.0)})
    table = by_method(correlate(runs, within=()).table)
    assert table["r"].to_numpy() == pytest.approx([-1.0, -1.0, -1.0])
    assert table["low"].isna().all()
    assert set(table["note"]) == {"too little varies between pre-trainings for an interval"}
    assert (table["p"] < 0.01).all()


def test_where_x_varies_inside_clusters_p_is_that_of_the_jackknife() -> None:
    runs = points(pretrainings=9).assign(finetune_images=np.tile([10, 20, 30], 9))
    row = correlate(runs.assign(miou=runs["miou"] + runs["finetune_images"]), x="finetune_images", within=()).table.iloc[0]
    assert row["p_note"] == "jackknife over clusters, as finetune_images varies inside them"
    assert row["p"] < 0.001
    few = correlate(runs.head(9), x="finetune_images", within=()).table.iloc[0]
    assert np.isnan(few["p"])
    assert few["p_note"] == "finetune_images varies inside clusters, and a t test needs at least 5 of them: no p"


def test_methods_can_be_chosen_and_give_the_same_rows() -> None:
    runs = points(pretrainings=8)
    every, one = correlate(runs), correlate(runs, methods=("pearson",))
    pd.testing.assert_frame_equal(one.table, every.table[every.table["method"] == "pearson"].reset_index(drop=True))
    assert one.sentence == every.sentence
    with pytest.raises(AnalysisError, match="give 'pearson' first, then any of spearman, kendall"):
        correlate(runs, methods=("spearman",))
