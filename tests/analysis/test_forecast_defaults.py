"""What `fit`, `fit_surface` and `choose_law` do where the caller says nothing, and say of it."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import AnalysisError, Fit, choose_law, fit, fit_surface
from analysis.fitting.fit import fit as fit_points

X = np.geomspace(1e3, 1e5, 20)
LATER = X[-1] * np.array([1.5, 2.0, 4.0])
N, D = (each.ravel() for each in np.meshgrid(np.geomspace(1e7, 1e10, 5), np.geomspace(1e9, 1e12, 5)))
GRID = np.column_stack([N, D])


def bent(x: np.ndarray) -> np.ndarray:
    """Falls slowly at first, then as a power: no plain power law fits its first part."""
    return 0.05 + 0.6 * (1.0 + (x / 8e3) ** 1.5) ** -0.3


def off(result: Fit, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.log(result.predict(LATER).mean / truth) ** 2)))


def test_the_default_forecasts_better_than_the_last_value_and_says_how_it_weighed() -> None:
    y = bent(X) * np.exp(0.003 * np.random.default_rng(0).standard_normal(20))
    found = fit(X, y)
    last = float(np.sqrt(np.mean(np.log(y[-1] / bent(LATER)) ** 2)))
    assert off(found, bent(LATER)) < 0.5 * last
    assert off(found, bent(LATER)) < 0.7 * off(fit(X, y, weights="equal"), bent(LATER))
    assert any("points weigh as x" in one for one in found.defaults)
    assert "by default: points weigh as x" in found.summary()
    assert Fit.from_json(found.to_json()) == found


def test_who_asks_for_equal_weights_or_gives_weights_gets_exactly_those() -> None:
    y = bent(X)
    equal = fit(X, y, weights="equal")
    assert equal.weights == pytest.approx(np.ones(20))
    assert equal.params == pytest.approx(fit(X, y, weights=np.ones(20)).params)
    assert not any("weigh" in one for one in equal.defaults)
    assert not any("weigh" in one for one in fit(X, y, sigma=0.01 * y).defaults)
    table = {"x": X, "y": y, "equal": np.linspace(1.0, 2.0, 20)}
    assert fit(table, x="x", y="y", weights="equal").weights == pytest.approx(np.linspace(1.0, 2.0, 20) / 1.5)
    with pytest.raises(AnalysisError, match="weights is 'recent': give one number per point, or 'equal'"):
        fit_points(X, y, weights="recent")


def test_a_law_that_is_right_keeps_equal_weights() -> None:
    changed = 0
    for seed in range(12):
        y = (1.0 + 8.0 * X**-0.3) * np.exp(0.005 * np.random.default_rng(seed).standard_normal(20))
        changed += any("weigh" in one for one in fit(X, y).defaults)
    assert changed <= 2


def test_an_outlier_does_not_change_the_weights() -> None:
    y = (1.0 + 8.0 * X**-0.3) * np.exp(0.005 * np.random.default_rng(1).standard_normal(20))
    y[6] *= 1.5
    assert fit(X, y).weights == pytest.approx(np.ones(20))


def test_the_floor_of_a_loss_is_not_below_zero_unless_told_otherwise() -> None:
    y = -1.0 + 5.0 * X**-0.1  # above zero at every point, and below zero later
    found = fit(X, y)
    assert found.params["E"] == 0.0
    assert found.status == "at bound"
    assert "E ended on its lower bound 0" in found.status_detail
    assert any("E is kept at 0 or above" in one for one in found.defaults)
    assert fit(X, y, metric="any").params["E"] == pytest.approx(-1.0, rel=1e-6)
    assert fit(X, y, bounds={"E": (-2.0, None)}).params["E"] == pytest.approx(-1.0, rel=1e-6)
    assert fit(X, y, metric="loss").params["E"] == 0.0
    assert fit(X, 1.2 - 2.0 * X**-0.2, metric="any").params["E"] == pytest.approx(1.2)
    assert fit(X, 1.02 - 2.0 * X**-0.2, metric="accuracy").params["E"] == pytest.approx(1.0)
    with pytest.raises(AnalysisError, match="metric is 'los' \\(did you mean 'loss'\\?\\): choose one of loss"):
        fit(X, y, metric="los")
    with pytest.raises(AnalysisError, match="metric and y_range both say where y ends"):
        fit(X, y, metric="loss", y_range=(0, None))


@pytest.mark.parametrize(("points", "left"), [(3, "no degrees of freedom"), (4, "1 degree of freedom")])
def test_hardly_more_points_than_parameters_are_not_identified(points: int, left: str) -> None:
    x = X[:: 20 // points][:points]
    found = fit(x, 1.0 + 8.0 * x**-0.3)
    assert found.status == "not identified"
    assert found.status_detail == f"{points} points for 3 free parameters leave {left} to judge the fit by"
    assert fit(X[:5], 1.0 + 8.0 * X[:5] ** -0.3).status == "converged"


def test_no_last_value_is_named_while_the_forecast_falls() -> None:
    named = 0
    for seed in range(12):
        random = np.random.default_rng(seed)
        choice = choose_law(X, (0.3 + 2.0 * X**-0.5) * np.exp(0.02 * random.standard_normal(20)))
        if choice.law != "last_value":
            continue
        named += 1
        ahead = choice.predict(X[-1] * np.array([1.0, 4.0, 100.0])).mean
        assert ahead == pytest.approx(np.full(3, ahead[0]), rel=1e-12)
    flat = choose_law(np.geomspace(1e3, 1e5, 14), 0.3 * np.exp(0.02 * np.random.default_rng(0).standard_normal(14)))
    assert flat.law == "last_value"
    assert flat.levelled
    assert "nothing beats the last value" in flat.summary()
    assert type(flat).from_json(flat.to_json()) == flat
    assert named < 12


def surface_points(noise: float, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    at = 10 ** np.column_stack([random.uniform(7.5, 10.0, count), random.uniform(9.0, 11.5, count)])
    return at, (1.69 + 406.4 * at[:, 0] ** -0.34 + 410.7 * at[:, 1] ** -0.28) * np.exp(noise * random.standard_normal(count))


@pytest.mark.parametrize(("noise", "count", "bootstrap"), [(0.01, 40, 0), (0.005, 9, 60)])
def test_surface_intervals_hold_where_noise_exceeds_delta_and_where_points_are_few(noise: float, count: int, bootstrap: int) -> None:
    held = []
    for seed in range(12):
        found = fit_surface(*surface_points(noise, seed, count), bootstrap=bootstrap, level=0.9)
        for name, truth in {"E": 1.69, "alpha": 0.34, "beta": 0.28}.items():
            ends = found.intervals[name]
            assert ends is not None
            held.append(ends[0] <= truth <= ends[1])
    assert np.mean(held) > 0.8  # they held 0.3 and 0.7


def test_a_bootstrap_of_as_many_points_as_parameters_has_no_interval() -> None:
    found = fit_surface(*surface_points(0.005, 0, 5), bootstrap=60)
    assert found.status == "not identified"
    assert found.intervals["E"] is None
