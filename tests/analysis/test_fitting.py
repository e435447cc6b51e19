"""`fit` against known truth and reference implementations: recovery, least squares, Huber, weights,
pins and bounds.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from analysis import LAWS, Fit, fit

SIZES = np.array([100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0])


def noisy(random_seed: int, *, n: int = 12, noise: float = 0.005) -> tuple[np.ndarray, np.ndarray]:
    x = np.geomspace(1e2, 1e4, n)
    random = np.random.default_rng(random_seed)
    return x, (1.0 + 8.0 * x**-0.3) * (1.0 + noise * random.standard_normal(n))


@pytest.mark.parametrize(("floor", "size", "exponent"), [(1.69, 406.4, 0.34), (0.8, -2.0, 0.5), (-1.0, 3.0, 0.02), (0.0, 1.0, 4.0), (1e-3, 1e6, 1.5)])
def test_noise_free_points_are_recovered_exactly_falling_and_rising(floor: float, size: float, exponent: float) -> None:
    result = fit(SIZES, floor + size * SIZES**-exponent, metric="any")
    assert result.status == "converged"
    assert result.params == pytest.approx({"E": floor, "A": size, "b": exponent}, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("fixed", [{"E": 1.69}, {"A": 406.4}, {"b": 0.34}, {"E": 1.69, "b": 0.34}, {"E": 1.69, "A": 406.4}])
def test_a_pinned_parameter_stays_and_the_rest_are_recovered(fixed: dict[str, float]) -> None:
    result = fit(SIZES, 1.69 + 406.4 * SIZES**-0.34, fixed=fixed)
    assert result.params == pytest.approx({"E": 1.69, "A": 406.4, "b": 0.34}, rel=1e-9)
    assert set(result.pinned) == set(fixed)
    assert all((result.intervals[name] is None) == (name in fixed) for name in result.params)
    assert "(pinned)" in result.summary()


@given(
    exponent=st.floats(0.05, 2.0),
    size=st.floats(0.1, 100.0),
    sign=st.sampled_from([-1.0, 1.0]),
    floor=st.floats(-2.0, 2.0),
    x_factor=st.floats(1e-3, 1e6),
    y_factor=st.floats(1e-3, 1e3),
    random_seed=st.integers(0, 10_000),
)
@settings(max_examples=40, deadline=None)
def test_rescaling_x_or_y_rescales_the_curve_and_leaves_the_exponent(
    exponent: float, size: float, sign: float, floor: float, x_factor: float, y_factor: float, random_seed: int
) -> None:
    x = np.geomspace(1.0, 100.0, 9)
    y = floor + sign * size * x**-exponent * (1.0 + 0.01 * np.random.default_rng(random_seed).standard_normal(9))
    one, other = (fit(*points, loss="huber", delta=delta) for *points, delta in ((x, y, 1.0), (x * x_factor, y * y_factor, y_factor)))
    assert one.status == other.status
    if one.status == "converged":
        assert other.params["b"] == pytest.approx(one.params["b"], rel=1e-4)
        assert other.params["A"] == pytest.approx(one.params["A"] * y_factor * x_factor ** one.params["b"], rel=1e-2)
        spread = float(np.ptp(y)) * y_factor
        assert other.predict(x * x_factor).mean == pytest.approx(one.predict(x).mean * y_factor, abs=1e-6 * spread)
        assert other.predict(x * x_factor).low == pytest.approx(one.predict(x).low * y_factor, abs=1e-4 * spread)


@pytest.mark.parametrize("random_seed", range(5))
def test_equals_scipy_least_squares_from_the_true_start(random_seed: int) -> None:
    x, y = noisy(random_seed)
    reference = least_squares(lambda p: p[0] + p[1] * x ** -p[2] - y, [1.0, 8.0, 0.3], x_scale="jac", xtol=1e-15, ftol=1e-15)
    result = fit(x, y, loss="squared", weights="equal")
    assert list(result.params.values()) == pytest.approx(reference.x, rel=1e-5)
    assert result.objective == pytest.approx(reference.cost, rel=1e-9)
    assert result.residual_sd == pytest.approx(math.sqrt(2 * reference.cost / (len(x) - 3)), rel=1e-9)
    covariance = np.linalg.inv(reference.jac.T @ reference.jac)
    assert result.correlation is not None
    assert result.correlation["A"]["b"] == pytest.approx(covariance[1, 2] / math.sqrt(covariance[1, 1] * covariance[2, 2]), rel=1e-3)


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("random_seed", range(3))
def test_equals_scipy_with_hubers_loss_and_outliers(random_seed: int, logarithmic: bool) -> None:
    x, y = noisy(random_seed, n=20)
    y[[3, 11]] *= [1.3, 0.8]
    delta = 0.01

    def residual(p: np.ndarray) -> np.ndarray:
        fitted = p[0] + p[1] * x ** -p[2]
        return np.log(fitted / y) if logarithmic else fitted - y

    reference = least_squares(
        residual, [1.0, 8.0, 0.3], loss="huber", f_scale=delta, x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=2000
    )
    result = fit(x, y, loss="log_huber" if logarithmic else "huber", delta=delta, weights="equal")
    assert result.objective <= reference.cost * (1 + 1e-9)
    assert result.objective == pytest.approx(reference.cost, rel=1e-6)
    assert list(result.params.values()) == pytest.approx(reference.x, rel=1e-3)
    assert result.delta == delta


def test_outliers_move_the_default_fit_far_less_than_least_squares() -> None:
    x, y = noisy(0, n=20)
    clean = fit(x, y).params["b"]
    y[4] *= 1.5
    assert abs(fit(x, y).params["b"] - clean) < 0.1 * abs(fit(x, y, loss="log_squared").params["b"] - clean)


@pytest.mark.parametrize("start", [{"b": 0.02}, {"b": 3.0}, {"E": 1.0, "A": 8.0, "b": 0.3}])
def test_a_start_of_ones_own_leads_to_the_same_optimum(start: dict[str, float]) -> None:
    x, y = noisy(2)
    assert fit(x, y, start=start).params == pytest.approx(fit(x, y).params, rel=1e-4)


@pytest.mark.parametrize("law", ["power", "shifted_power", "mmf", "generalised_logistic"])
@pytest.mark.parametrize("random_seed", range(3))
def test_no_random_start_finds_a_better_optimum(law: str, random_seed: int) -> None:
    x, y = noisy(random_seed, n=14, noise=0.02)
    found = fit(x, y, law=law, loss="log_squared")
    random = np.random.default_rng(random_seed)
    for _ in range(15):
        start = {name: 10 ** random.uniform(1, 4) if name == "c" else 10 ** random.uniform(-1, 0.5) for name in LAWS[law].searched}
        assert found.objective <= fit(x, y, law=law, loss="log_squared", start=start).objective * (1 + 1e-6)


@pytest.mark.parametrize("law", ["power", "mmf"])
@pytest.mark.parametrize("loss", ["squared", "log_squared", "log_huber"])
def test_weights_of_zero_leave_points_out(law: str, loss: str) -> None:
    x, y = noisy(4)
    weights = np.where(np.arange(12) % 5 == 2, 0.0, 1.0)
    spoilt = np.where(weights > 0, y, 7.0 * y)
    with_all, without = fit(x, spoilt, law=law, loss=loss, weights=weights), fit(x[weights > 0], y[weights > 0], law=law, loss=loss)
    assert with_all.params == pytest.approx(without.params, rel=1e-6)
    assert with_all.objective == pytest.approx(without.objective, rel=1e-9)
    for name, ends in without.intervals.items():
        assert with_all.intervals[name] == pytest.approx(ends, rel=1e-4)
    assert with_all.residual_sd == pytest.approx(without.residual_sd)


@pytest.mark.parametrize("loss", ["squared", "log_squared"])
def test_a_weight_counts_like_as_many_points(loss: str) -> None:
    x, y = noisy(5)
    counts = np.array([1, 2, 3, 1, 1, 4, 1, 2, 1, 1, 2, 1])
    weighted, repeated = fit(x, y, loss=loss, weights=counts), fit(np.repeat(x, counts), np.repeat(y, counts), loss=loss)
    assert weighted.params == pytest.approx(repeated.params, rel=1e-6)
    assert weighted.objective * counts.mean() == pytest.approx(repeated.objective, rel=1e-9)


def test_standard_errors_are_weights_of_one_over_their_square() -> None:
    x, y = noisy(6)
    sigma = np.linspace(0.5, 2.0, 12) * y
    for loss, weights in (("squared", sigma**-2.0), ("log_squared", (sigma / y) ** -2.0)):
        assert fit(x, y, loss=loss, sigma=sigma).params == pytest.approx(fit(x, y, loss=loss, weights=weights).params, rel=1e-7)


def test_bounds_hold_and_the_result_says_which_was_met() -> None:
    x, y = noisy(0)
    free = fit(x, y)
    inside = fit(x, y, bounds={"b": (0.01, 5.0), "A": (0.0, None)})
    assert inside.status == "converged"
    assert inside.params == pytest.approx(free.params, rel=1e-5)
    low = free.params["b"] * 1.5
    bound = fit(x, y, bounds={"b": (low, None)})
    assert bound.status == "at bound"
    assert bound.status_detail.startswith(f"b ended on its lower bound {low:.4g}")
    assert bound.params == pytest.approx(fit(x, y, fixed={"b": low}).params, rel=1e-6)
    ends = bound.intervals["b"]
    assert ends is not None
    assert ends[0] == pytest.approx(low)


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e5])
def test_bounds_and_pins_of_the_size_mean_the_size_for_x_as_given(unit: float) -> None:
    x, y = noisy(1)
    free = fit(x / unit, y)
    half = 0.5 * free.params["A"]
    pinned, bound = fit(x / unit, y, fixed={"A": half}), fit(x / unit, y, bounds={"A": (None, half)})
    reference = least_squares(lambda p: np.log((p[0] + half * (x / unit) ** -p[1]) / y), [0.9, 0.3], xtol=1e-15, ftol=1e-15, gtol=1e-15)
    squared = fit(x / unit, y, fixed={"A": half}, loss="log_squared")
    assert squared.objective == pytest.approx(reference.cost, rel=1e-6)
    assert pinned.params["A"] == half
    assert bound.status == "at bound"
    assert bound.params == pytest.approx(pinned.params, rel=1e-4)


def test_the_range_of_y_confines_the_level_it_tends_to() -> None:
    y = 1.2 - 2.0 * SIZES**-0.3
    assert fit(SIZES, y).params["E"] == pytest.approx(1.2)
    confined = fit(SIZES, y, y_range=(0, 1.15))
    assert confined.params["E"] == pytest.approx(1.15)
    assert confined.status_detail == "E ended on its upper bound 1.15"


def test_last_value_is_the_mean_at_the_largest_x_with_students_t() -> None:
    from scipy.stats import t

    x, y = [1.0, 2.0, 2.0, 2.0], [9.0, 1.0, 2.0, 3.0]
    result = fit(x, y, law="last_value", loss="squared", level=0.95)
    half = t.ppf(0.975, 2) / math.sqrt(3)
    assert result.params == pytest.approx({"E": 2.0})
    assert result.intervals["E"] == pytest.approx((2.0 - half, 2.0 + half), rel=1e-6)
    assert result.n == 4
    assert result.x_min == 1.0
    relative = fit(x, y, law="last_value", loss="log_squared")
    assert relative.params["E"] == pytest.approx(6.0 ** (1 / 3))
    alone = fit([1.0, 2.0], [3.0, 4.0], law="last_value")
    assert alone.reason_no_interval == "one point at the largest x, so its spread is not known"


def test_pandas_and_lists_and_integers_are_points_too() -> None:
    x, y = [1, 2, 4, 8, 16], [5, 4, 3, 3, 2]
    table = pd.DataFrame({"x": x, "y": y}, index=[7, 3, 9, 1, 0])
    assert fit(table.x, table.y) == fit(x, y) == fit(np.array(x), np.array(y))


def test_json_keeps_everything() -> None:
    x, y = noisy(0)
    for result in (
        fit(x, y),
        fit(x, y, cluster=np.arange(12) % 4),
        fit(x, y, bootstrap=50, law="m4"),
        fit(SIZES, np.log(SIZES)),
        fit(SIZES[:3], SIZES[:3]),
        fit(np.repeat(x, 2), np.repeat(y, 2) * np.tile([1.0, 1.01], 12), bounds={"b": (0.2, None)}, fixed={"E": 1.0}),
    ):
        again = Fit.from_json(result.to_json())
        assert again == result
        assert again.summary() == result.summary()
        assert again.predict([50.0, 1e3, 1e5]).to_frame().equals(result.predict([50.0, 1e3, 1e5]).to_frame())
