"""Surfaces: Hoffmann et al.'s points with published answers, predictions, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, SurfaceFit, fit_surface

PUBLISHED = {"E": 1.8172, "A": 477.83, "alpha": 0.34731, "B": 2143.4, "beta": 0.36717}  # Besiroglu et al. 2024; tests/data/README.md
PUBLISHED_ERRORS = {"E": 0.0257, "A": 124.5, "alpha": 0.0154, "B": 1293.0, "beta": 0.0206}
BEST = 1018.2740e-6


@pytest.fixture(scope="module")
def hoffmann(public_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """The 240 points left without the 5 largest losses."""
    table = pd.read_csv(public_data / "chinchilla_points.csv").sort_values("loss").iloc[:-5]
    return table[["params", "tokens"]].to_numpy(), table["loss"].to_numpy()


def transfer(noise: float) -> tuple[np.ndarray, np.ndarray]:
    X = np.array([(before, after) for before in (0.0, 1e3, 1e4, 1e5) for after in (30.0, 100.0, 300.0, 1e3, 3e3)])
    y = 0.2 + 0.3 * (1 + X[:, 0] / 5e3) ** -0.4 + 3.0 * X[:, 1] ** -0.5
    return X, y * (1.0 + noise * np.random.default_rng(0).standard_normal(len(X)))


def test_the_published_optimum_is_reached_with_no_start(hoffmann: tuple[np.ndarray, np.ndarray]) -> None:
    result = fit_surface(*hoffmann, bootstrap=0)
    assert result.objective <= BEST * 1.0001
    assert result.status == "converged"
    assert result.params == pytest.approx(PUBLISHED, rel=1e-3)
    for name, error in PUBLISHED_ERRORS.items():
        ends = result.intervals[name]
        assert ends is not None
        assert ends[0] < PUBLISHED[name] < ends[1]
        assert ends[1] - ends[0] > error


def test_all_245_points_have_their_published_optimum_too(public_data: Path) -> None:
    table = pd.read_csv(public_data / "chinchilla_points.csv")
    result = fit_surface(table[["params", "tokens"]], table["loss"], bootstrap=0)
    assert result.objective <= 1826.0105e-6 * 1.0001


def test_the_bootstrap_gives_the_published_standard_errors(hoffmann: tuple[np.ndarray, np.ndarray]) -> None:
    result = fit_surface(*hoffmann, bootstrap=600)
    errors = result.standard_errors()
    assert errors["B"] == pytest.approx(PUBLISHED_ERRORS["B"], rel=0.25)  # its tail is heavy
    assert {name: errors[name] for name in ("E", "A", "alpha", "beta")} == pytest.approx(
        {name: error for name, error in PUBLISHED_ERRORS.items() if name != "B"}, rel=0.2
    )


def test_thirty_random_starts_all_reach_it(hoffmann: tuple[np.ndarray, np.ndarray]) -> None:
    random = np.random.default_rng(0)
    for alpha, beta in 10 ** random.uniform(-1.5, 0.3, (30, 2)):
        assert fit_surface(*hoffmann, bootstrap=60, start={"alpha": alpha, "beta": beta}).objective <= BEST * 1.0001


def test_no_other_law_of_model_and_data_fits_worse_than_its_special_case(hoffmann: tuple[np.ndarray, np.ndarray]) -> None:
    shared, chinchilla, skaling = (fit_surface(*hoffmann, law=law, bootstrap=60).objective for law in ("shared_exponent", "chinchilla", "skaling"))
    assert skaling <= chinchilla * (1 + 1e-6) <= shared * (1 + 2e-6)


def test_pins_bounds_and_units_of_the_inputs_keep_their_meaning() -> None:
    X, y = transfer(0.01)
    free = fit_surface(X, y, law="additive", bootstrap=0)
    other = fit_surface(X * [1e-3, 1e3], y, law="additive", bootstrap=0)
    assert other.objective == pytest.approx(free.objective, rel=1e-6)
    assert other.params["c"] == pytest.approx(free.params["c"] * 1e-3, rel=1e-3)
    pinned = fit_surface(X, y, law="additive", fixed={"B": 2.0, "alpha": 0.4}, bootstrap=0)
    assert (pinned.params["B"], pinned.params["alpha"]) == (2.0, 0.4)
    assert pinned.objective > free.objective
    bound = fit_surface(X, y, law="additive", bounds={"beta": (0.7, None)}, bootstrap=0)
    assert bound.status_detail.startswith("beta ended on its lower bound 0.7")


def test_predictions_hold_the_truth_and_flag_extrapolation() -> None:
    X, y = transfer(0.003)
    truth = transfer(0.0)[1]
    for options in ({"bootstrap": 200}, {"bootstrap": 0}, {"bootstrap": 0, "cluster": np.arange(20) % 7}):
        result = fit_surface(X, y, law="additive", **options)
        band = result.predict(X)
        assert np.mean((band.low <= truth) & (truth <= band.high)) > 0.6
        assert not band.extrapolated.any()
        assert result.predict([[2e5, 100.0], [0.0, 10.0], [10.0, 50.0]]).extrapolated.tolist() == [True, True, False]
        gain = result.marginal([[1e4, 100.0]], "P")
        ends = result.predict([[1e4, 100.0], [2e4, 100.0]])
        assert gain.mean[0] == pytest.approx(ends.mean[1] - ends.mean[0])
        assert gain.low[0] < gain.mean[0] < min(0.0, gain.high[0] + 1.0)
        assert SurfaceFit.from_json(result.to_json()) == result
        assert list(result.plot_data()["points"]) == ["P", "F", "y", "weight", "fitted", "residual"]
        assert "P from 0 to 100,000 and F from 30 to 3,000" in result.summary()


def test_the_inputs_of_a_prediction_are_called_as_the_table_or_the_law_calls_them() -> None:
    X, y = transfer(0.002)
    ends = ["mean", "low", "high", "extrapolated"]
    of_arrays = fit_surface(X, y, law="additive", bootstrap=0)
    assert list(of_arrays.predict(X).to_frame()) == ["P", "F", *ends]
    assert list(of_arrays.marginal(X, "P").to_frame()) == ["P", "F", *ends]
    table = pd.DataFrame({"images": X[:, 0], "mean": X[:, 1], "err": y})
    frame = fit_surface(table, x=["images", "mean"], y="err", law="additive", bootstrap=0).predict(X).to_frame()
    assert list(frame) == ["images", "mean (x)", *ends]
    assert frame["mean (x)"].to_numpy() == pytest.approx(X[:, 1])


@pytest.mark.parametrize(
    ("X", "y", "options", "sentence"),
    [
        ([[1.0, 2.0]], [1.0, 2.0], {}, "X has 1 rows and y has shape (2,): give one y for each row."),
        ([1.0, 2.0], [1.0, 2.0], {}, "X has shape (2,): the law 'chinchilla' needs 2 columns, N, D, one row per point."),
        ([[1.0, 0.0]], [1.0], {}, "D of X[0] is 0: the law 'chinchilla' needs it finite and above zero."),
        ([[1.0, math.nan]], [1.0], {}, "D of X[0] is nan: the law 'chinchilla' needs it finite and above zero."),
        ([[-1.0, 1.0]], [1.0], {"law": "additive"}, "P of X[0] is -1: the law 'additive' needs it finite and zero or above."),
        ([[1.0, 1.0, 2.0]], [1.0], {"law": "data_constrained"}, "U of X[0] is above its D: U counts the unique samples among the D that were seen."),
        ([[1.0, 1.0]], [math.inf], {}, "y[0] is inf (1 of 1 values are not finite): leave those points out before fitting."),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_a_sentence(X: list, y: list, options: dict, sentence: str) -> None:
    with pytest.raises(AnalysisError) as error:
        fit_surface(X, y, **options)
    assert str(error.value) == sentence
