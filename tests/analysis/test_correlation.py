import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from analysis import AnalysisError, correlate
from analysis.correlation_intervals import pearson, spearman


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


def test_published_losses_correlate_with_accuracy_pooled_but_not_within_a_data_size(shared_folder) -> None:
    runs = pd.read_csv(shared_folder / "published" / "data_scaling_runs.csv")
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
