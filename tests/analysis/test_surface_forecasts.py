"""What a forecast by `choose_surface` rests on: which points count and how much, and what its interval
is made of; against references.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import choose_surface, fit_surface
from analysis.fitting.extrapolation_error import normal_quantile
from analysis.forecasting.choose_surface import _rows
from analysis.forecasting.surface_choice import ALONE, GROWTH, NOISE, PRIOR_ORIGINS, SPLIT, TYPICAL, WIDTH, shrunk_surface_error
from analysis.forecasting.surface_rolling import ALL_POINTS, RECENT, SHARES, RollingSurfaces, rolling_surfaces
from analysis.laws import SURFACES
from tests.analysis.test_choosing_surfaces import DENSE, GRID, bent, chinchilla, measured


def test_a_law_whose_points_count_by_their_budget_is_fitted_so() -> None:
    seen = DENSE[DENSE.prod(axis=1) < 3e18]
    y, budget = measured(bent(seen), 0.002), seen.prod(axis=1)
    found = choose_surface(seen, y, candidates=["skaling"])
    assert found.recency > 0
    counted = (budget >= 0.999 * found.window) * (budget / budget.max()) ** found.recency
    assert found.fit.params == pytest.approx(fit_surface(seen, y, law="skaling", weights=counted, loss="log_huber", bootstrap=0).params, rel=1e-3)
    (of_law,), shares, recencies = found.fits_of_laws()
    assert (shares, recencies) == ([1.0], [found.recency])
    assert of_law.predict([[1e10, 1e11]]).mean == pytest.approx(found.fit.predict([[1e10, 1e11]]).mean, rel=0.01)


def test_points_of_no_weight_change_nothing() -> None:
    """Forecasts beyond the points that count are extrapolated, though others lie there."""
    y, counts = measured(chinchilla(GRID), 0.002), GRID.prod(axis=1) < 1e18
    one = choose_surface(GRID, y, weights=counts.astype(float), candidates=["chinchilla"])
    other = choose_surface(GRID[counts], y[counts], candidates=["chinchilla"])
    later = GRID[~counts][-3:]
    ahead, expected = one.predict(later), other.predict(later)
    assert ahead.extrapolated.all()
    assert ahead.mean == pytest.approx(expected.mean, rel=1e-6)
    assert ahead.high - ahead.low == pytest.approx(expected.high - expected.low, rel=0.01)


def test_a_point_of_no_weight_may_have_an_input_of_zero() -> None:
    """The budgets of the others are still products of all inputs."""

    def shifted(X: np.ndarray, floor: float, size: float, slope: float, more: float, faster: float) -> np.ndarray:
        return np.asarray(floor + size * (1.0 + X[:, 0]) ** -slope + more * (1.0 + X[:, 1]) ** -faster)

    where = np.vstack([GRID / 1e5, [[0.0, 1e3]]])
    y = measured(shifted(where, 1.0, 3.0, 0.3, 5.0, 0.4), 0.002)
    counts = np.append(np.ones(len(GRID)), 0.0)
    one = choose_surface(where, y, weights=counts, candidates=[shifted])
    other = choose_surface(where[:-1], y[:-1], candidates=[shifted])
    assert (one.left_out, one.window) == (other.left_out, other.window)
    assert one.fit.params == pytest.approx(other.fit.params, rel=1e-6)


def test_an_input_beyond_its_range_widens_the_interval_although_the_budget_is_measured() -> None:
    choice = choose_surface(GRID, measured(chinchilla(GRID), 0.002), candidates=["chinchilla"])
    inside, beyond = choice.predict([[1e9, 1e9]]), choice.predict([[1e9 * np.e**2, 1e9 / np.e**2]])
    assert not inside.extrapolated.any()
    assert beyond.extrapolated.all()
    assert choice._distance(np.array([[1e9 * np.e**2, 1e9 / np.e**2]])) == pytest.approx(2.0)


def test_the_interval_is_made_of_disagreement_growth_and_noise() -> None:
    choice = choose_surface(GRID, measured(chinchilla(GRID)))
    for efolds in (0.0, 1.0, 4.0):
        where = np.array([GRID[-1] * np.exp(efolds / 2)])
        logs = np.array([np.log(SURFACES[one.law].function(where, **one.params))[0] for one in choice.candidates])
        weights = np.array([one.weight for one in choice.candidates])
        mean = weights @ logs
        leverage = weights @ [len(one.params) for one in choice.candidates] / len(GRID)
        variance = SPLIT * weights @ (logs - mean) ** 2 + GROWTH * (choice.extrapolation_error.per_efold * efolds) ** 2
        for kind, one_run in (("mean", 0.0), ("new run", 1.0)):
            half = WIDTH * normal_quantile(0.95) * np.sqrt(variance + NOISE * choice.noise_sd**2 * (leverage + one_run))
            found = choice.predict(where, kind)  # type: ignore[arg-type]
            assert np.log([found.low[0], found.mean[0], found.high[0]]) == pytest.approx([mean - half, mean, mean + half])


def test_the_extrapolation_error_is_shrunk_towards_the_typical_one() -> None:
    assert shrunk_surface_error(np.nan, 0, 2.0).per_efold == 2.0 * ALONE
    squared = [TYPICAL**2] * 7 + [0.02**2] * 30  # in tenths of an origin: 0.7 typical ones and 3 of these points
    assert round(10 * PRIOR_ORIGINS) == 7
    assert shrunk_surface_error(0.02**2, 3, 1.0).per_efold == pytest.approx(np.sqrt(np.mean(squared)))


def test_a_simpler_law_is_chosen_within_one_standard_error_and_not_beyond() -> None:
    """Its errors over four origins are off by 0.7 or 0.3 of their standard deviation in the mean."""
    laws = {name: SURFACES[name] for name in ("shared_exponent", "chinchilla")}
    simple, heavy = sorted(laws, key=lambda name: len(laws[name].names))
    spread = np.array([-1.0, 1.0, -1.0, 1.0]) * np.sqrt(3 / 4)  # standard deviation 1
    for mean, expected in ((0.7, heavy), (0.3, simple)):
        found = RollingSurfaces(
            candidates=((heavy, ALL_POINTS), (simple, ALL_POINTS)),
            weights=np.array([0.55, 0.45]),
            params=({}, {}),
            starts=np.zeros(2),
            errors=np.exp(2.0 * np.array([np.zeros(4), mean + spread])),
            origin_weights=np.full(4, 0.25),
            bias=np.zeros(2),
            squared_error=0.0,
            noise_sd=0.01,
        )
        assert _rows(found, laws)[1] == expected


def test_a_y_above_zero_keeps_its_floor_above_zero() -> None:
    y = measured(2.0 * GRID[:, 0] ** -0.05 + 3.0 * GRID[:, 1] ** -0.05 - 1.2, 0.001)
    assert y.min() > 0
    assert min(one.params["E"] for one in choose_surface(GRID, y, candidates=["chinchilla"]).candidates) >= 0.0


def test_far_points_are_named_with_how_far_below_they_lie_if_they_are_few(public_data: Path) -> None:
    """Hoffmann et al.'s four farthest, mirrored: e^-0.47 of the law is 37% below it, not 59%."""
    table = pd.read_csv(public_data / "chinchilla_points.csv")
    X, y = table[["params", "tokens"]].to_numpy(), table["loss"].to_numpy(copy=True)
    near = np.argsort(y)[:-5]
    law = fit_surface(X[near], y[near], bootstrap=0).predict(X).mean
    order = np.argsort(-np.abs(np.log(y / law)))
    far, others = order[:4], np.random.default_rng(0).permutation(np.sort(order[6:]))
    y[far] = law[far] * (y[far] / law[far]) ** -1.5
    few, many = np.append(far, others[:100]), np.append(far, others[:60])
    found = fit_surface(X[few], y[few], bootstrap=0)
    assert found.check.far_points == 4
    assert "4 of 104 points of small budgets lie up to 37% from a law" in found.status_detail
    assert fit_surface(X[many], y[many], bootstrap=0).check.far_points == 0  # more than one in twenty


def test_later_origins_count_more_by_a_power_of_their_budget() -> None:
    """Budgets of the grid go up in steps along its diagonals, and no step is split by an origin."""
    laws = {"chinchilla": SURFACES["chinchilla"]}
    found = rolling_surfaces(laws, GRID, measured(chinchilla(GRID)), np.ones(64), (ALL_POINTS,), (0.0, np.inf), logarithmic=True)
    diagonals = np.array([6, 7, 9, 10, 11])  # which end at 28, 36, 49, 54 and 58 points, the first from 40 to 91% of them on
    expected = np.exp(0.3 * np.log(1e3) / 7 * diagonals)
    assert found.origin_weights == pytest.approx(expected / expected.sum())


def test_a_fit_by_recency_begins_with_less_weight_than_one_to_all_points_alike() -> None:
    """Eight points are too few for an origin, so the weights are those before the points speak."""
    random = np.random.default_rng(0)
    where = np.exp(random.uniform(np.log([1e6, 1e8]), np.log([1e9, 1e11]), (8, 2)))
    laws = {"chinchilla": SURFACES["chinchilla"]}
    found = rolling_surfaces(laws, where, measured(chinchilla(where), 0.002), np.ones(8), (ALL_POINTS, RECENT), (0.0, np.inf), logarithmic=True)
    counted = where.prod(axis=1) ** 1.2
    effective = counted.sum() ** 2 / np.sum(counted**2)
    assert found.errors.shape == (2, 0)
    assert found.weights[1] / found.weights[0] == pytest.approx(0.3 * ((1 + 2 * 5 / 8) / (1 + 2 * 5 / effective)) ** 2)


def rolled(small_noise: float, noise: float, seed: int) -> RollingSurfaces:
    """The right law, rolled over points whose noise differs between small and large budgets."""
    budget = DENSE.prod(axis=1)
    sd = np.where(budget < np.median(budget), small_noise, noise)
    y = chinchilla(DENSE) * np.exp(sd * np.random.default_rng(seed).standard_normal(len(DENSE)))
    laws = {"chinchilla": SURFACES["chinchilla"]}
    return rolling_surfaces(laws, DENSE, y, np.ones(len(DENSE)), (ALL_POINTS,), (0.0, np.inf), logarithmic=True)


def test_the_noise_of_a_forecast_is_that_of_the_larger_budgets() -> None:
    assert rolled(0.03, 0.003, 0).noise_sd == pytest.approx(0.003, rel=0.35)


def test_noise_is_no_part_of_the_extrapolation_error() -> None:
    """With the right law nearly all that is missed beyond an origin is noise."""
    found = [rolled(0.02, 0.02, seed) for seed in range(3)]
    missed = np.mean([one.origin_weights @ one.errors[0] for one in found])
    assert missed == pytest.approx(0.02**2, rel=0.4)
    budget = np.sort(np.log(DENSE.prod(axis=1)))
    squared_efolds = [np.mean((budget[end:] - budget[end - 1]) ** 2) for end in (round(share * len(budget)) for share in SHARES)]
    assert np.mean([one.squared_error for one in found]) < 0.3 * missed / np.mean(squared_efolds)


def test_a_surface_is_judged_alike_by_standard_errors_and_by_the_weights_that_they_stand_for() -> None:
    """Points count by sigma^-2, in the fit and in the test of the law; no residual is an outlier."""
    random = np.random.default_rng(0)
    sigma = 0.002 * np.where(np.arange(len(GRID)) % 3, 1.0, 1.3)
    y = chinchilla(GRID) * np.exp(sigma * random.uniform(-1.5, 1.5, len(GRID)))
    one = fit_surface(GRID, y, sigma=sigma * y, loss="log_squared", bootstrap=0).check
    other = fit_surface(GRID, y, weights=sigma**-2.0, loss="log_squared", bootstrap=0).check
    assert one.p == pytest.approx(other.p, rel=1e-6)
    assert one.runs_p == pytest.approx(other.runs_p)
    assert one.fits == other.fits
