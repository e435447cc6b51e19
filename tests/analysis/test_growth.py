"""The slope of effect on gain: exact moments, the first paper's table, and hostile tables. Error
rates are in benchmarks/statistics/growth.py.
"""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError
from analysis.significance.growth import effect_growth
from analysis.significance.growth_moments import directions, moment_from_seeds, moment_from_variances
from benchmarks.statistics.grids import Noise, simulate_grid
from benchmarks.statistics.growth import means_of

SILENT = Noise(seed=0.0, pretraining=0.0, intermediate=0.0, run=0.0)


@pytest.fixture
def runs() -> pd.DataFrame:
    return simulate_grid(np.random.default_rng(1), pretraining_gain=0.1, effect_per_gain=-0.5)


@pytest.fixture
def published() -> pd.DataFrame:
    table = pd.read_csv(Path(__file__).parents[2] / "analysis" / "published" / "diminishing_returns.csv")
    cells = table.rename(columns={"runs": "n_runs"})[["pretrain_images", "intermediate", "finetune_images", "n_runs"]]
    return cells.assign(miou=table["miou_pct"] / 100, miou_spread=table["miou_spread"] / 100)


def test_the_slope_is_cross_fitted_over_pairs_of_seeds(runs) -> None:
    wide = runs.pivot(index=["pretrain_images", "finetune_images"], columns=["intermediate", "seed"], values="miou")
    with_stage, trained = wide["classification"].drop(0), wide["none"].drop(0)
    scratch = wide["none"].loc[0].loc[trained.index.get_level_values(1)].to_numpy()
    effect, gain = (with_stage - trained).to_numpy(), trained.to_numpy() - scratch
    effect, gain = effect - effect.mean(axis=0), gain - gain.mean(axis=0)
    pairs = list(itertools.permutations(range(3), 2))
    expected = sum(effect[:, a] @ gain[:, b] for a, b in pairs) / sum(gain[:, a] @ gain[:, b] for a, b in pairs)
    found = effect_growth(runs)
    assert found.slope == pytest.approx(expected, rel=1e-8)
    means = effect.mean(axis=1), gain.mean(axis=1)
    assert found.naive_slope == pytest.approx(means[0] @ means[1] / (means[1] @ means[1]), rel=1e-8)
    assert found.naive_r == pytest.approx(np.corrcoef(*means)[0, 1], rel=1e-8)
    assert found.low < -0.5 < found.high
    assert (found.n_cells, found.n_seeds, found.note) == (18, 3, "")


def test_noise_alone_pulls_least_squares_below_zero_and_not_the_corrected_moment() -> None:
    random = np.random.default_rng(0)
    size, label = np.repeat(np.arange(3), 6), np.tile(np.arange(6), 3)
    strata = directions(size, label, np.ones((18, 1)))
    assert [one.shape for one in strata] == [(18, 2), (18, 5), (18, 10)]
    truth = np.linspace(0, 3, 18)
    arms = random.standard_normal((2000, 3, 3, 18)) + np.array([truth, truth, 0 * truth])[None, :, None, :]
    moments = np.array([moment_from_seeds(one[0] - one[1], one[1] - one[2], strata)(0.0)[0] for one in arms])
    assert abs(moments.mean()) < 3 * moments.std() / np.sqrt(2000)
    raw = [np.cov((one[0] - one[1]).mean(axis=0), (one[1] - one[2]).mean(axis=0))[0, 1] for one in arms]
    assert np.mean(raw) == pytest.approx(-1 / 3, abs=0.03)  # -var(P) / seeds


def test_known_variances_take_off_the_noise_that_is_shared() -> None:
    cells, scratch = 6, 6
    unit = np.eye(2 * cells + scratch)
    effect, gain = unit[:6] - unit[6:12], unit[6:12] - unit[12:]
    strata = directions(np.zeros(6, dtype=int), np.arange(6), np.ones((6, 1)))
    random = np.random.default_rng(0)
    variance = np.linspace(0.5, 2, 18)
    totals = []
    for _ in range(2000):
        means = np.sqrt(variance) * random.standard_normal(18)
        totals.append([moment_from_variances(effect, gain, means, variance, np.full(18, 1e9), strata)(slope)[0] for slope in (0.0, -1.0)])
    totals = np.array(totals)
    assert (np.abs(totals.mean(axis=0)) < 3 * totals.std(axis=0) / np.sqrt(2000)).all()


@pytest.mark.parametrize(("spread", "slope", "low", "high"), [("sd", -0.465, -0.560, -0.374), ("se", -0.467, -0.589, -0.369)])
def test_the_first_papers_stage_undoes_half_the_gain_with_or_without_correction(published, spread, slope, low, high) -> None:
    found = effect_growth(published, spread=spread)
    assert (found.slope, found.low, found.high) == pytest.approx((slope, low, high), abs=0.0006)
    assert found.naive_slope == pytest.approx(-0.463, abs=0.0005)
    assert found.signal > 0.97
    assert "which mistakes shared noise for a relation, gives -0.46): it falls as the gain grows." in found.sentence()
    assert effect_growth(published, spread=spread, given="finetune_images").high < 0
    assert effect_growth(published, spread=spread, given="log finetune_images").high < 0


def test_an_effect_of_labels_is_no_effect_of_gain_at_equal_labels() -> None:
    runs = simulate_grid(np.random.default_rng(3), pretraining_gain=0.2)
    staged = (runs["intermediate"] != "none") & (runs["pretrain_images"] > 0)
    runs.loc[staged, "miou"] += 0.05 * np.log(runs.loc[staged, "finetune_images"] / 250)
    assert effect_growth(runs).p < 0.01
    assert effect_growth(runs, given="finetune_images").p > 0.05
    assert effect_growth(runs, given="log finetune_images").p > 0.05


def test_gains_that_do_not_differ_give_no_slope_and_say_so() -> None:
    results = [effect_growth(simulate_grid(np.random.default_rng(seed))) for seed in range(8)]
    none, some = ([one for one in results if np.isnan(one.slope) == wanted] for wanted in (True, False))
    assert none
    assert some
    assert none[0].note == "the gains do not differ beyond noise, so there is no slope to tell"
    assert "has no slope that can be determined: the gains do not differ beyond noise" in none[0].sentence()
    assert sum(np.isinf(one.low) for one in results) >= 6


def test_missing_runs_cost_the_fewest_cells_and_the_note_counts_them(runs) -> None:
    gone = (runs["seed"] == 0) & (runs["pretrain_images"] == 45_000) & (runs["finetune_images"] == 250) & (runs["intermediate"] == "none")
    found = effect_growth(runs[~gone])
    assert (found.n_cells, found.n_seeds) == (17, 3)
    assert found.note == "0 seeds and 1 cells without all kinds in the others left out"
    half = (runs["seed"] == 2) & (runs["intermediate"] != "none") & (runs["finetune_images"] > 250)
    assert effect_growth(runs[~half]).n_seeds == 2


def test_shared_pretrainings_and_unknown_spreads_are_said(runs) -> None:
    shared = runs.assign(pretrain_id=[None if size == 0 else f"pretrain-{size}" for size in runs["pretrain_images"]])
    assert effect_growth(shared).note == "seeds share pre-trainings, so the result is conditional on those"
    cells = means_of(runs)
    cells.loc[cells.index[-1], "miou_spread"] = np.nan
    found = effect_growth(cells)
    assert found.n_cells == 17
    assert found.note.startswith("1 cells without a spread left out; errors of different means taken as independent")


def test_constant_scores_and_zero_spreads_are_said(runs, published) -> None:
    constant = effect_growth(runs.assign(miou=0.5))
    assert np.isnan(constant.slope)
    assert constant.sentence().endswith("the gains do not differ beyond noise (18 cells, 3 seeds; least squares gives none either).")
    assert effect_growth(published.assign(miou_spread=0.0)).note.startswith("42 means with a spread of zero taken as exact")


def test_noise_free_runs_give_the_slope() -> None:
    found = effect_growth(simulate_grid(np.random.default_rng(0), pretraining_gain=0.1, effect_per_gain=-0.5, noise=SILENT))
    assert found.slope == pytest.approx(-0.5)
    assert found.signal == pytest.approx(1.0)


def test_mistakes_are_answered_in_a_sentence(runs) -> None:
    def refused(match: str, table: pd.DataFrame, **options: object) -> None:
        with pytest.raises(AnalysisError, match=match):
            effect_growth(table, **options)

    refused("only 1 seeds have 18 cells with all three kinds of runs in common", runs[runs["seed"] == 0])
    refused("intermediate= is not given, and the table's stages are none", runs[runs["intermediate"] == "none"])
    refused("intermediate is 'spatial', and the table's stages are classification", runs, intermediate="spatial")
    refused("give the runs of one setting of encoder at a time", pd.concat([runs, runs.assign(encoder="base/16@128")]))
    refused("given is 'seed': choose", runs, given="seed")
    refused("has no column 'finetune_images'", runs.drop(columns="finetune_images"))
    refused("cells with all three kinds of runs in common", runs[runs["pretrain_images"] > 0])
    refused("only 0 cells have all three kinds of runs", means_of(runs).assign(n_runs=1))
