"""The loss as a predictor at equal settings: a clock is called one, and a true predictor is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, findings
from analysis.claims import overfitting, proxy
from analysis.claims.finding import Findings
from analysis.correlation.equal_settings import at_equal_settings, slope_at_equal_settings, without_seeds
from analysis.student import t_quantile
from benchmarks.statistics.worlds import PROXY_WORLDS, World, simulate_world


def table(world: World, seed: int = 0, *, seeds: int = 5, missing: float = 0.0) -> pd.DataFrame:
    return simulate_world(np.random.default_rng(seed), world, seeds=seeds, missing=missing)


def told(world: World, seed: int = 0, *, seeds: int = 5) -> Findings:
    return findings(table(world, seed, seeds=seeds), questions=proxy.QUESTIONS)


AXES = {"length only": "pre-training length", "model only": "model size", "data only": "pre-training images"}


@pytest.mark.parametrize(("name", "axis"), AXES.items())
def test_a_loss_that_is_a_clock_of_one_setting_is_said_to_be_that(name: str, axis: str) -> None:
    found = told(PROXY_WORLDS[name])
    assert {one.verdict for one in found} == {"open"}
    assert f"lives between the levels of {axis} alone" in found["loss-predicts-score"].sentence


def test_a_loss_that_predicts_at_equal_settings_is_supported() -> None:
    found = told(PROXY_WORLDS["loss predicts at equal settings"])["loss-predicts-score"]
    assert found.verdict == "supported"
    assert "alone" not in found.sentence


def test_a_loss_whose_sign_turns_at_equal_settings_is_refuted() -> None:
    found = told(World(model=0.05, proxy=0.9))["loss-predicts-score"]
    assert found.verdict == "refuted"
    assert found.sentence.startswith("At equal model size, pre-training images, pre-training length and labels validation loss and mIoU")


def test_a_sign_that_turns_within_the_levels_of_any_setting_is_found() -> None:
    runs = table(World(labels=0.0))
    large = runs["encoder"] == "nano/8@64"
    long = runs["pretrain_image_passes"] == 512_000
    random = np.random.default_rng(0).standard_normal((2, len(runs)))
    runs["val_mim_loss"] = np.where(runs["val_mim_loss"].notna(), 0.4 - 0.1 * large - 0.02 * long + 0.001 * random[0], np.nan)
    runs["miou"] = 0.4 + 0.1 * large - 0.02 * long + 0.001 * random[1]
    turned = at_equal_settings(runs, x="val_mim_loss", y="miou").reversals
    assert set(turned["level"]) == {"pico/8@64", "nano/8@64"}


def test_the_jackknife_is_that_of_regressions_on_all_settings_and_seeds() -> None:
    runs = table(PROXY_WORLDS["loss predicts at equal settings"], missing=0.1).dropna(subset=["val_mim_loss"]).reset_index(drop=True)
    cells = pd.get_dummies(runs["encoder"] + runs["pretrain_images"].astype(str) + runs["pretrain_length"] + runs["finetune_images"].astype(str))
    design = np.column_stack([cells, pd.get_dummies(runs["seed"])]).astype(float)
    numbers = runs[["val_mim_loss", "miou"]].to_numpy()

    def correlation(rows: np.ndarray) -> float:
        rest = numbers[rows] - design[rows] @ np.linalg.lstsq(design[rows], numbers[rows], rcond=None)[0]
        return float(np.corrcoef(rest.T)[0, 1])

    ids = runs["pretrain_id"].to_numpy()
    z = np.arctanh([correlation(ids == ids), *(correlation(ids != one) for one in pd.unique(ids))])
    error = np.sqrt((len(z) - 2) / (len(z) - 1) * np.sum((z[1:] - z[0]) ** 2))
    row = at_equal_settings(runs, x="val_mim_loss", y="miou").equal
    assert row["r"] == pytest.approx(np.tanh(z[0]))
    degrees = len(pd.unique(ids)) - 12 - 4 - 1
    assert row["high"] == pytest.approx(np.tanh(z[0] + t_quantile(0.95, degrees) * error))


def test_what_cannot_be_compared_at_equal_settings_is_left_open() -> None:
    one = table(PROXY_WORLDS["length only"], seeds=1)
    found = findings(one, questions=proxy.QUESTIONS)["loss-predicts-score"]
    assert found.verdict == "open"
    assert "run more seeds" in found.sentence
    with pytest.raises(AnalysisError, match="no two pre-trainings are equal"):
        without_seeds(one, ("val_mim_loss", "miou"))
    shared = table(PROXY_WORLDS["length only"])
    shared["pretrain_id"] = shared["pretrain_id"].str.rsplit("-", n=1).str[0]
    shared["val_mim_loss"] = shared.groupby("pretrain_id")["val_mim_loss"].transform("first")
    assert findings(shared, questions=proxy.QUESTIONS)["loss-predicts-score"].verdict == "open"


def by_phase(name: str, seed: int = 0, *, seeds: int = 5) -> Findings:
    return findings(table(PROXY_WORLDS[name], seed, seeds=seeds), questions=overfitting.QUESTIONS)


OVERFITS = "overfitting: longer training on 500 images raises the loss and lowers the score"


def test_the_loss_of_series_that_overfit_is_judged_at_equal_settings() -> None:
    found = by_phase(OVERFITS)
    falling, over, gap = (found[name] for name in ("loss-predicts-when-falling", "loss-predicts-when-overfitting", "overfitting-changes-slope"))
    assert {one.verdict for one in (falling, over, gap)} == {"open"}
    assert falling.sentence.startswith("In 10 of 30 series the held-out loss rises")  # 500 images, two models, five seeds
    assert "lives between the levels of pre-training length alone" in falling.sentence
    assert over.sentence.startswith("In series that overfit, at equal model size, pre-training length and labels")
    assert over.n.endswith("in 20 independent clusters")


def test_a_loss_that_predicts_at_equal_settings_is_supported_while_series_fall() -> None:
    found = by_phase("overfitting, and the loss predicts at equal settings", seeds=8)
    assert found["loss-predicts-when-falling"].verdict == "supported"
    assert found["overfitting-changes-slope"].verdict == "open"


@pytest.mark.parametrize("name", AXES)
def test_a_clock_predicts_nothing_while_series_fall(name: str) -> None:
    assert [one.verdict for one in by_phase(name)] == ["open"]


def test_slopes_that_differ_at_equal_settings_are_found() -> None:
    runs = table(PROXY_WORLDS[OVERFITS], seeds=8)
    loss = runs["val_mim_loss"]
    small = runs["pretrain_images"] == 500
    own = loss - loss.groupby([runs[name] for name in ("encoder", "pretrain_images", "pretrain_length")]).transform("mean")
    runs["miou"] += np.where(small, 5.0, -5.0) * own.fillna(0.0)
    found = findings(runs, questions=overfitting.QUESTIONS)
    gap = found["overfitting-changes-slope"]
    assert gap.verdict == "supported"
    assert gap.estimate is not None
    assert gap.estimate.low < 10.0 < gap.estimate.high
    assert found["loss-predicts-when-overfitting"].verdict == "refuted"


def test_the_slope_at_equal_settings_is_that_of_a_regression_on_all_settings_and_seeds() -> None:
    runs = table(PROXY_WORLDS["loss predicts at equal settings"], missing=0.1).dropna(subset=["val_mim_loss"]).reset_index(drop=True)
    cells = pd.get_dummies(runs["encoder"] + runs["pretrain_images"].astype(str) + runs["pretrain_length"] + runs["finetune_images"].astype(str))
    seeds = pd.get_dummies(runs["seed"])
    found = slope_at_equal_settings(runs, x="val_mim_loss", y="miou")

    def slope(kept: pd.DataFrame) -> float:
        design = np.column_stack([kept["val_mim_loss"], cells.loc[kept.index], seeds.loc[kept.index]]).astype(float)
        return float(np.linalg.lstsq(design, kept["miou"], rcond=None)[0][0])

    left_out = np.array([slope(runs[runs["pretrain_id"] != one]) for one in runs["pretrain_id"].unique()])
    count = len(left_out)
    assert found.slope == pytest.approx(slope(runs), abs=1e-8)
    assert found.error == pytest.approx(np.sqrt((count - 1) / count * np.sum((left_out - slope(runs)) ** 2)), rel=1e-6)
    assert (found.clusters, found.n) == (count, len(runs))


def test_one_run_of_each_setting_has_no_slope_at_equal_settings() -> None:
    runs = table(PROXY_WORLDS[OVERFITS])
    alone = slope_at_equal_settings(runs[runs["seed"] == 0], x="val_mim_loss", y="miou")
    assert np.isnan(alone.slope)
    assert alone.note.startswith("no two pre-trainings are equal")
