"""Curves of thousands of points are searched over bins and fitted over all points."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import LAWS, fit
from analysis.fitting import bins
from analysis.fitting.bins import BINS, binned, binned_at, has_many_points
from analysis.fitting.losses import Loss
from analysis.fitting.problem import Problem, make_problem

X = np.linspace(1e3, 1e6, 2400)


def noisy(y: np.ndarray) -> np.ndarray:
    measured = y * np.exp(0.01 * np.random.default_rng(0).standard_normal(len(y)))
    measured[::97] *= 1.3
    return measured


def test_the_optimum_and_the_intervals_are_those_of_all_points(monkeypatch: pytest.MonkeyPatch) -> None:
    y = noisy(0.1 + 60.0 * X**-0.5)
    merged = fit(X, y, weights="equal")
    monkeypatch.setattr(bins, "MANY", 10_000)
    plain = fit(X, y, weights="equal")
    assert "bins of 2,400 points" in merged.interval_method
    assert "bins" not in plain.interval_method
    assert merged.objective == pytest.approx(plain.objective, rel=1e-6)
    for name, (low, high) in plain.intervals.items():
        assert merged.params[name] == pytest.approx(plain.params[name], abs=0.02 * (high - low))
        assert merged.intervals[name] == pytest.approx((low, high), abs=0.1 * (high - low))


def test_laws_of_many_parameters_are_recovered_from_exact_points() -> None:
    truth = {"E": 0.1, "A": 0.8, "c": 3e4, "b": 0.6, "a": 0.7}
    found = fit(X, LAWS["m4"].function(X, **truth), law="m4", weights="equal", loss="log_squared")
    assert found.params == pytest.approx(truth, rel=1e-4)


def test_bins_keep_the_mass_and_the_slope_at_the_optimum() -> None:
    y, law = noisy(0.1 + 60.0 * X**-0.5), LAWS["power"]
    problem = make_problem(law, X, y, np.ones(len(X)), Loss(logarithmic=True, robust=True, delta=0.025), {}, {})
    assert has_many_points(problem)
    assert not has_many_points(binned(problem))
    assert len(binned(problem).y) <= BINS
    u = problem.at({name: np.array([value]) for name, value in {"E": 0.1, "A": 60.0, "b": 0.5}.items()})[0]
    merged = binned_at(problem, u)

    def slope(of: Problem, at: np.ndarray) -> np.ndarray:
        by = of.gradient(at[None])[0] / of.function(at[None])[0][:, None]
        return np.asarray((of.weights * of.loss.slope(of.residual(at[None])[0])) @ by)

    size = np.abs(problem.gradient(u[None])[0]).sum(axis=0) * 0.01
    assert np.abs(slope(merged, u) - slope(problem, u)).max() < 0.02 * size.max()


def test_repeats_at_few_x_are_not_merged() -> None:
    x = np.repeat(np.geomspace(1e3, 1e5, 10), 300)
    assert "bins" not in fit(x, noisy(0.1 + 60.0 * x**-0.5), weights="equal").interval_method


@pytest.mark.parametrize("logarithmic", [True, False])
def test_bins_have_the_slope_of_the_loss_where_many_points_are_cut(logarithmic: bool) -> None:
    """A third of the residuals lie beyond delta; points of large x count twice, in other units."""
    random = np.random.default_rng(1)
    truth, law = 0.1 + 60.0 * X**-0.5, LAWS["power"]
    weights, units = np.where(X > 1e5, 2.0, 1.0), np.where(X > 1e5, 3.0, 1.0)
    y = truth * np.exp(0.01 * units * random.standard_normal(len(X)))
    loss = Loss(logarithmic=logarithmic, robust=True, delta=0.01 if logarithmic else 0.002)
    problem = make_problem(law, X, y, weights, loss, {}, {}, units)
    u = problem.at({name: np.array([value]) for name, value in {"E": 0.1002, "A": 60.1, "b": 0.5}.items()})[0]
    merged = binned_at(problem, u)

    def slope(of: Problem) -> np.ndarray:
        residual = of.residual(u[None])[0]
        by = of.gradient(u[None])[0] / np.broadcast_to(of.units, residual.shape)[:, None]
        by = by / of.function(u[None])[0][:, None] if logarithmic else by
        return np.asarray((of.weights * of.loss.slope(residual)) @ by)

    assert 0.1 < 1.0 - np.mean(loss.inside(problem.residual(u[None])[0])) < 0.7
    assert slope(merged) == pytest.approx(slope(problem), rel=0.01, abs=0.01 * np.abs(slope(problem)).max())


def test_bins_count_as_many_points_as_they_hold_and_those_within_delta_curve_the_loss() -> None:
    y, law = noisy(0.1 + 60.0 * X**-0.5), LAWS["power"]
    problem = make_problem(law, X, y, np.ones(len(X)), Loss(logarithmic=True, robust=True, delta=0.01), {}, {})
    held = np.histogram(np.log(X), BINS)[0]
    held = held[held > 0]
    assert binned(problem).weights == pytest.approx(held / held.mean())
    u = problem.at({name: np.array([value]) for name, value in {"E": 0.1, "A": 60.0, "b": 0.5}.items()})[0]
    inside = float(np.mean(problem.loss.inside(problem.residual(u[None])[0])))
    assert inside < 0.8
    assert binned_at(problem, u).weights == pytest.approx(held * inside)
