import math

import numpy as np
import pytest

from analysis import fit
from analysis.fitting.extrapolation_error import TYPICAL, shrunk, width
from analysis.fitting.rolling_origin import solve_many

X = np.geomspace(100.0, 1e5, 16)


def test_a_curve_that_bends_away_from_its_law_gets_wider_extrapolations_than_one_that_does_not() -> None:
    straight = fit(X, 0.1 + 3.0 * X**-0.4)
    bent = fit(X, 0.1 + 3.0 * X**-0.4 * (1.0 + (X / 5e3) ** 2.0) ** -0.4)
    assert straight.extrapolation_error is not None
    assert bent.extrapolation_error is not None
    assert bent.extrapolation_error.per_efold > 1.3 * straight.extrapolation_error.per_efold
    ahead = bent.predict(4e5)
    truth = 0.1 + 3.0 * 4e5**-0.4 * (1.0 + (4e5 / 5e3) ** 2.0) ** -0.4
    assert ahead.low[0] < truth < ahead.high[0]


def test_extrapolations_widen_with_distance_to_either_side_and_the_measured_range_is_untouched() -> None:
    result = fit(X, (0.1 + 3.0 * X**-0.4) * np.exp(0.01 * np.random.default_rng(0).standard_normal(16)))
    assert result.extrapolation_error is not None
    half = result.extrapolation_error.half_width(np.array([25.0, 50.0, 100.0, 1e4, 1e5, 2e5, 8e5]), 100.0, 1e5, 0.9)
    assert half[0] > half[1] > 0
    assert half[2:5] == pytest.approx(0.0)
    assert 0 < half[5] < half[6]
    inside = result.predict(np.array([1e3, 1e5]))
    narrow = np.hypot(np.log(inside.high / inside.mean), half[[3, 3]])
    assert np.log(inside.high / inside.mean) == pytest.approx(narrow)


def test_one_origin_is_worth_a_third_beside_what_other_curves_did() -> None:
    assert shrunk(math.nan, 0, 1.0).per_efold == pytest.approx(TYPICAL)
    assert shrunk(0.0, 1, 1.0).per_efold == pytest.approx(TYPICAL * math.sqrt(2.0 / 3.0))
    assert shrunk(1.0, 1000, 1.0).per_efold == pytest.approx(1.0, rel=0.01)
    assert "a prior from other curves" in shrunk(math.nan, 0, 1.0).sentence()
    assert width(0.95) > width(0.9) > width(0.5)


def test_absolute_extrapolation_errors_are_in_the_unit_of_y() -> None:
    small = fit(X, 3.0 * X**-0.4, loss="squared")
    large = fit(X, 3e3 * X**-0.4, loss="squared")
    assert small.extrapolation_error is not None
    assert large.extrapolation_error is not None
    assert large.extrapolation_error.per_efold == pytest.approx(1e3 * small.extrapolation_error.per_efold, rel=1e-3)


def test_fits_to_many_first_parts_are_those_of_one_at_a_time() -> None:
    from analysis.fitting.losses import find_loss
    from analysis.fitting.problem import make_problem
    from analysis.laws import LAWS

    y = (0.1 + 3.0 * X**-0.4) * np.exp(0.02 * np.random.default_rng(1).standard_normal(16))
    problem = make_problem(LAWS["power"], X, y, np.ones(16), find_loss("log_squared", None), {}, {})
    ends = [8, 12, 16]
    weights = np.array([np.arange(16) < end for end in ends], dtype=float)
    together = solve_many(problem, weights).fitted
    for row, end in zip(together, ends, strict=True):
        alone = fit(X[:end], y[:end], loss="log_squared")
        assert row == pytest.approx(alone.predict(X).mean, rel=1e-5)
