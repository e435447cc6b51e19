import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from analysis import AnalysisError
from analysis.correlation import proxy_quality
from analysis.correlation.permutation import p_of_placings
from analysis.published import load_published
from benchmarks.statistics.grids import simulate_grid


def single(losses, scores, **columns) -> pd.DataFrame:
    return pd.DataFrame({"val_mim_loss": losses, "miou": scores, **columns})


def row(runs: pd.DataFrame, proxy: str = "loss", group: str = "all", **asked) -> pd.Series:
    table = proxy_quality(runs, **({"within": ()} | asked)).table
    return table[(table["proxy"] == proxy) & (table["group"] == group)].iloc[0]


def test_regret_and_accuracy_of_a_case_done_by_hand() -> None:
    # pairs: (1, 2) right, (1, 3) wrong by 0.2, (2, 3) wrong by 0.3
    found = row(single([0.1, 0.2, 0.3], [0.5, 0.4, 0.7]))
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert (found["best"], found["chosen"], found["regret"]) == pytest.approx((0.7, 0.5, 0.2))
    assert found["pair_regret"] == pytest.approx((0.0 + 0.2 + 0.3) / 3)
    assert found["pairs"] == 3
    chance = row(single([0.1, 0.2, 0.3], [0.5, 0.4, 0.7]), "random")
    assert chance["accuracy"] == 0.5
    assert chance["regret"] == pytest.approx(0.7 - 1.6 / 3)
    assert chance["ahead"] == pytest.approx(1 / 3 - 0.5)


@given(st.lists(st.integers(0, 1000), min_size=6, max_size=12, unique=True), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_accuracy_is_half_of_one_less_kendalls_tau_where_nothing_ties(losses, random) -> None:
    scores = random.sample(range(1000), len(losses))
    tau = kendalltau(losses, scores).statistic
    found = row(single(np.array(losses, float), np.array(scores, float)))
    assert found["accuracy"] == pytest.approx((1.0 - tau) / 2.0)
    assert found["regret"] >= 0.0


def test_a_loss_that_orders_all_runs_costs_nothing_and_its_reverse_costs_most() -> None:
    scores = np.arange(8.0)
    perfect, worst = row(single(-scores, scores)), row(single(scores, scores))
    assert (perfect["accuracy"], perfect["regret"], perfect["pair_regret"]) == (1.0, 0.0, 0.0)
    assert perfect["note"] == "the accuracy is the same whichever cluster is left out"
    assert (worst["accuracy"], worst["regret"]) == (0.0, 7.0)


def test_runs_of_one_pretraining_are_no_choice() -> None:
    runs = single(np.repeat([1.0, 2.0], 3), [1.0, 2.0, 3.0, 0.0, 0.0, 0.0], pretrain_id=np.repeat(["a", "b"], 3))
    found = row(runs)
    assert (found["pairs"], found["accuracy"]) == (9, 1.0)
    assert found["chosen"] == 2.0  # the loss cannot tell the three apart: their mean
    assert found["note"] == "2 independent clusters: an interval needs at least 5"


def test_only_runs_of_one_group_are_compared_within_groups() -> None:
    losses, labels = np.tile(np.arange(6.0), 2), np.repeat([10, 100], 6)
    ids = [f"p{one}" for one in np.tile(np.arange(6), 2)]
    runs = single(losses, -losses + 100.0 * labels + np.tile([0, 0, 3.5, 0, 0, 0], 2), finetune_images=labels, pretrain_id=ids)
    found = row(runs, group="within groups", within="finetune_images")
    assert found["pairs"] == 30
    assert found["accuracy"] == pytest.approx(26 / 30)
    assert found["regret"] == pytest.approx(1.5)
    assert row(runs, group="all", within="finetune_images")["accuracy"] < found["accuracy"]


def test_trivial_rules_that_choose_alike_are_one_and_those_that_cannot_choose_are_left_out() -> None:
    random = np.random.default_rng(0)
    runs = single(random.standard_normal(12), random.standard_normal(12), pretrain_images=np.repeat([1, 2, 3, 4], 3))
    runs = runs.assign(pretrain_steps=10 * runs["pretrain_images"], encoder_params=5)
    result = proxy_quality(runs, within=())
    assert result.proxies == {"largest data and longest training": "pretrain_images and pretrain_steps"}
    assert result.sentences[-1].startswith("Choosing by the largest data and longest training orders")
    assert proxy_quality(runs, within="pretrain_images").proxies == {}


def test_the_published_runs_choose_well_by_loss_except_where_data_are_few() -> None:
    runs = load_published("data-scaling").table
    result = proxy_quality(runs, score="accuracy", within="pretrain_images")
    table = result.table.set_index(["proxy", "group"])
    tau = {size: kendalltau(part["val_mim_loss"], part["accuracy"], variant="b").statistic for size, part in runs.groupby("pretrain_images")}
    for size, part in runs.groupby("pretrain_images"):
        if part["val_mim_loss"].is_unique and part["accuracy"].is_unique:
            assert table.loc[("loss", f"pretrain_images = {size:,}"), "accuracy"] == pytest.approx((1.0 - tau[size]) / 2.0)
    assert table.loc[("loss", "pretrain_images = 128,117"), "accuracy"] == pytest.approx(1 / 3)
    assert table.loc[("loss", "all"), "accuracy"] == pytest.approx(0.873, abs=5e-4)
    assert table.loc[("largest model", "pretrain_images = 128,117"), "ahead_high"] < 0.0  # there the largest model is the surer choice
    assert result.sentences[0].startswith(
        "Of two runs of different pre-trainings at equal pretrain_images the one with the lower val_mim_loss has the "
    )
    assert "in 80% of 378 pairs (95% interval 69% to 91%, p < 0.001; 63 pre-trainings)" in result.sentences[0]
    series = proxy_quality(runs, score="accuracy", within="pretrain_images", cluster=("encoder", "pretrain_images"))
    assert "63 pre-trainings in 21 clusters" in series.sentences[0]


def test_what_leaves_no_choice_is_refused_in_a_sentence() -> None:
    runs = single([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], pretrain_id="a")
    with pytest.raises(AnalysisError, match="1 pre-trainings have both 'val_mim_loss' and 'miou': there is nothing to choose between"):
        proxy_quality(runs, within=())
    alone = single([1.0, 2.0], [1.0, 2.0], finetune_images=[1, 2])
    assert proxy_quality(alone).sentences == (
        "No two runs of different pre-trainings can be compared at equal finetune_images: choosing by val_mim_loss cannot be judged.",
    )
    with pytest.raises(AnalysisError, match="has no column 'flops'"):
        proxy_quality(runs, within=(), proxies={"most compute": "flops"})


def test_placings_of_kendall_inside_many_strata_are_those_counted_pair_by_pair() -> None:
    random = np.random.default_rng(4)
    strata = np.repeat(np.arange(8), 3)  # 24 clusters, of which few meet
    x, y = random.standard_normal(24), random.integers(0, 9, 48) / 9.0
    cluster = np.repeat(np.arange(24), 2)
    source = np.stack([np.arange(24), *(np.argsort(random.random(24) + 10 * strata) for _ in range(49))])
    pairs = [(i, j) for i in range(48) for j in range(i) if strata[cluster[i]] == strata[cluster[j]] and cluster[i] != cluster[j]]

    def tau(placed: np.ndarray) -> float:
        signs = [(np.sign(placed[cluster[i]] - placed[cluster[j]]), np.sign(y[i] - y[j])) for i, j in pairs]
        return float(sum(a * b for a, b in signs))

    taus = np.array([tau(x[one]) for one in source])
    expected = np.mean(np.abs(taus) >= abs(taus[0]) - 1e-9)
    assert p_of_placings("kendall", x, y, cluster, source, strata=strata[cluster]) == pytest.approx(expected)


def test_without_groups_and_tests_the_row_that_decides_is_the_same() -> None:
    runs = simulate_grid(np.random.default_rng(0), loss_slope=-1.0)
    whole = proxy_quality(runs, score="miou").table
    short = proxy_quality(runs, score="miou", each_group=False, test=False).table
    assert set(short["group"]) == {"within groups"}
    assert short["p"].isna().all()
    pd.testing.assert_frame_equal(
        short.drop(columns="p"), whole[whole["group"] == "within groups"].drop(columns="p")[short.columns.drop("p")], check_dtype=False
    )
