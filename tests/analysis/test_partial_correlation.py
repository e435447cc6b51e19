import warnings

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError
from analysis.correlation import correlate


def study(*, pretrainings: int = 30, runs_each: int = 1, random_seed: int = 0) -> pd.DataFrame:
    """Loss and score both fall with the size, and have nothing else in common."""
    random = np.random.default_rng(random_seed)
    size = 10.0 ** random.uniform(3, 6, pretrainings)
    loss = -np.log(size) + random.standard_normal(pretrainings)
    place = np.repeat(np.arange(pretrainings), runs_each)
    return pd.DataFrame(
        {
            "pretrain_id": [f"p{one}" for one in place],
            "pretrain_images": size[place],
            "encoder_params": random.uniform(1.0, 5.0, pretrainings)[place],
            "encoder": np.array(["small", "base", "large"])[place % 3],
            "val_mim_loss": loss[place],
            "miou": np.log(size)[place] + random.standard_normal(len(place)),
        }
    )


def rows(runs: pd.DataFrame, **asked) -> pd.DataFrame:
    return correlate(runs, within=(), **asked).table.set_index("method")


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_partial_correlations_equal_pingouin(method) -> None:
    runs = study()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pingouin
    logs = runs.assign(log_images=np.log(runs["pretrain_images"]))
    expected = pingouin.partial_corr(logs, x="val_mim_loss", y="miou", covar=["log_images", "encoder_params"], method=method)
    found = rows(runs, given=("pretrain_images", "encoder_params"))
    assert found.loc[method, "r"] == pytest.approx(float(expected["r"].iloc[0]), abs=1e-8)


def test_categories_take_their_means_away_as_a_regression_on_dummies_does() -> None:
    runs = study()
    columns = np.column_stack([pd.get_dummies(runs["encoder"]).to_numpy(dtype=float), runs["encoder_params"]])
    rest = [runs[name] - columns @ np.linalg.lstsq(columns, runs[name], rcond=None)[0] for name in ("val_mim_loss", "miou")]
    result = correlate(runs, within=(), given=("encoder", "encoder_params"))
    assert result.table["r"].iloc[0] == pytest.approx(np.corrcoef(*rest)[0, 1], abs=1e-8)
    assert result.adjusted == ("encoder as 3 categories", "encoder_params")
    assert "correlate given encoder as 3 categories, encoder_params with r = " in result.sentence


def test_what_the_size_makes_of_both_goes_away_once_it_is_held_fixed() -> None:
    runs = study(pretrainings=60, runs_each=3)
    assert rows(runs).loc["pearson", "high"] < -0.5
    held = correlate(runs, within=(), given="pretrain_images")
    row = held.table.iloc[0]
    assert held.adjusted == ("log of pretrain_images",)
    assert row["low"] < 0.0 < row["high"]
    assert row["p"] > 0.05
    assert row["p_note"] == "4,999 drawn placings of the losses, of what pretrain_images leave of them (approximate)"


def test_losses_change_places_inside_one_size_where_each_has_several_pretrainings() -> None:
    runs = study(pretrainings=9).assign(pretrain_images=np.repeat([1000, 2000, 4000], 3), seed=np.tile([0, 1, 2], 3))
    assert rows(runs, given="pretrain_images").loc["pearson", "p_note"] == "all 216 placings of the losses inside one pretrain_images"


def test_a_column_of_the_runs_alone_is_held_fixed_too() -> None:
    runs = study(pretrainings=8, runs_each=4).assign(finetune_images=np.tile([10, 100, 1000, 10_000], 8))
    noisy = runs.assign(miou=runs["miou"] + 50.0 * np.log(runs["finetune_images"]))
    held, plain = rows(noisy, given="finetune_images"), rows(noisy)
    without = rows(runs, given="finetune_images")
    assert held.loc["pearson", "r"] == pytest.approx(without.loc["pearson", "r"], abs=1e-8)
    assert abs(plain.loc["pearson", "r"]) < abs(held.loc["pearson", "r"])
    assert held.loc["pearson", "p_note"] == "4,999 drawn placings of the losses"


def test_what_cannot_be_adjusted_is_said() -> None:
    runs = study()
    assert rows(runs, given="encoder").loc["kendall", "note"] == "Kendall's tau is not adjusted for other columns: see Pearson and Spearman"
    constant = correlate(runs.assign(encoder_params=3.0), within=(), given="encoder_params")
    assert constant.adjusted == ("encoder_params (constant here)",)
    assert constant.table["r"].iloc[0] == pytest.approx(rows(runs).loc["pearson", "r"])
    assert rows(runs, given="pretrain_id").loc["pearson", "note"] == "one of the two columns is constant here once the other columns are held fixed"
    copied = rows(runs.assign(copy=2.0 * runs["val_mim_loss"] + 1.0), given="copy")
    assert copied.loc["pearson", "note"] == "one of the two columns is constant here once the other columns are held fixed"


def test_runs_without_what_is_held_fixed_are_left_out_and_counted() -> None:
    runs = study()
    runs.loc[:3, "encoder_params"] = np.nan
    result = correlate(runs, within=(), given="encoder_params")
    assert (result.n_without_given, result.table["n"].iloc[0]) == (4, 26)


def test_a_column_cannot_be_both_correlated_and_held_fixed() -> None:
    with pytest.raises(AnalysisError, match="'miou' is both correlated and held fixed: name other columns in given="):
        correlate(study(), given="miou", within=())
    with pytest.raises(AnalysisError, match=r"has no column 'encoders' \(did you mean 'encoder'\?\)"):
        correlate(study(), given="encoders", within=())
