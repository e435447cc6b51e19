import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from analysis import LAWS, AnalysisError, Fit, fit

SIZES = np.array([100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0])


def noisy(random_seed: int, *, n: int = 12, noise: float = 0.005) -> tuple[np.ndarray, np.ndarray]:
    x = np.geomspace(1e2, 1e4, n)
    random = np.random.default_rng(random_seed)
    return x, (1.0 + 8.0 * x**-0.3) * (1.0 + noise * random.standard_normal(n))


@pytest.mark.parametrize(("floor", "size", "exponent"), [(1.69, 406.4, 0.34), (0.8, -2.0, 0.5), (-1.0, 3.0, 0.02), (0.0, 1.0, 4.0), (1e-3, 1e6, 1.5)])
def test_noise_free_points_are_recovered_exactly_falling_and_rising(floor: float, size: float, exponent: float) -> None:
    result = fit(SIZES, floor + size * SIZES**-exponent)
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
    one, other = fit(x, y), fit(x * x_factor, y * y_factor)
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
    result = fit(x, y)
    assert list(result.params.values()) == pytest.approx(reference.x, rel=1e-5)
    assert result.residual_sd == pytest.approx(math.sqrt(2 * reference.cost / (len(x) - 3)), rel=1e-9)
    covariance = np.linalg.inv(reference.jac.T @ reference.jac)
    assert result.correlation is not None
    assert result.correlation["A"]["b"] == pytest.approx(covariance[1, 2] / math.sqrt(covariance[1, 1] * covariance[2, 2]), rel=1e-3)


def test_the_ends_of_a_profile_interval_lie_on_the_likelihood_threshold() -> None:
    from scipy.stats import t

    x, y = noisy(1)
    result = fit(x, y, level=0.9)
    best = float(np.sum((y - result.predict(x).mean) ** 2))
    threshold = best * (1 + t.ppf(0.95, 9) ** 2 / 9)
    for name in ("E", "A", "b"):
        interval = result.intervals[name]
        assert interval is not None
        for end in interval:
            pinned = fit(x, y, fixed={name: end})
            assert float(np.sum((y - pinned.predict(x).mean) ** 2)) == pytest.approx(threshold, rel=1e-3)


def test_prediction_interval_equals_linear_regression_where_the_exponent_is_pinned() -> None:
    import statsmodels.api as sm

    x, y = noisy(3)
    reference = sm.OLS(y, sm.add_constant(x**-0.3)).fit().get_prediction(sm.add_constant(x**-0.3)).conf_int(alpha=0.1)
    prediction = fit(x, y, fixed={"b": 0.3}, level=0.9).predict(x)
    assert np.column_stack([prediction.low, prediction.high]) == pytest.approx(reference, rel=1e-9)


def test_gradients_equal_finite_differences() -> None:
    for law in LAWS.values():
        params = {"E": 0.4, "A": -1.3, "b": 0.7}
        values = [params[name] for name in law.parameters]
        for index in range(len(values)):
            up, down = list(values), list(values)
            up[index] += 1e-6
            down[index] -= 1e-6
            slope = (law.function(SIZES, *up) - law.function(SIZES, *down)) / 2e-6
            assert law.gradient(SIZES, *values)[:, index] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_flat_points_are_not_identified_and_say_so() -> None:
    result = fit(SIZES, np.full(6, 0.3))
    assert result.status == "not identified"
    assert result.status_detail == "y is the same at every x, so it says nothing about b"
    random = np.random.default_rng(0)
    noise = fit(SIZES, 0.3 + 0.01 * random.standard_normal(6))
    assert noise.status == "not identified"
    assert noise.intervals["b"] == (0.0, math.inf)
    assert "unbounded" in noise.summary()


def test_a_line_in_log_x_is_at_bound() -> None:
    result = fit(SIZES, np.log(SIZES))
    assert result.status == "at bound"
    assert result.status_detail.startswith("b ended on its lower bound 0.001: the points look like a straight line in log x")


def test_rising_points_without_a_floor_are_at_bound() -> None:
    result = fit(SIZES, SIZES**0.2, law="power_no_floor")
    assert result.status == "at bound"
    assert result.status_detail.endswith("y does not move towards its floor as x grows, as this law must")


def test_three_points_are_fitted_exactly_but_have_no_interval() -> None:
    result = fit(SIZES[:3], 1.0 + 8.0 * SIZES[:3] ** -0.3)
    assert result.params == pytest.approx({"E": 1.0, "A": 8.0, "b": 0.3}, rel=1e-6)
    assert result.intervals == {"E": None, "A": None, "b": None}
    assert result.reason_no_interval == "3 points for 3 free parameters leave nothing to tell the noise from"
    assert np.isnan(result.predict(200.0).low).all()
    assert result.reason_no_interval in result.summary()


def test_three_sizes_with_replicates_have_intervals() -> None:
    x = np.repeat(SIZES[:3], 4)
    y = 1.0 + 8.0 * x**-0.3 + 0.01 * np.random.default_rng(0).standard_normal(12)
    assert fit(x, y).intervals["b"] is not None


def test_extrapolation_is_flagged_and_json_keeps_everything() -> None:
    x, y = noisy(0)
    for result in (fit(x, y), fit(x, y, cluster=np.arange(12) % 4), fit(SIZES, np.log(SIZES)), fit(SIZES[:3], SIZES[:3])):
        again = Fit.from_json(result.to_json())
        assert again == result
        assert again.predict([50.0, 1e3, 1e5]).to_frame().equals(result.predict([50.0, 1e3, 1e5]).to_frame())
    assert fit(x, y).predict([50.0, 1e3, 1e5]).extrapolated.tolist() == [True, False, True]
    assert fit(x, y).doubling_gain([1e3, 6e3]).extrapolated.tolist() == [False, True]


def test_doubling_gain_is_the_difference_of_two_predictions_with_a_narrower_interval() -> None:
    x, y = noisy(0)
    result = fit(x, y)
    gain, ends = result.doubling_gain(1000.0), result.predict([1000.0, 2000.0])
    assert gain.mean[0] == pytest.approx(ends.mean[1] - ends.mean[0])
    assert gain.mean[0] < 0
    assert gain.low[0] < gain.mean[0] < gain.high[0]
    assert gain.high[0] - gain.low[0] < np.sum(ends.high - ends.low)


def test_last_value_is_the_mean_at_the_largest_x_with_students_t() -> None:
    from scipy.stats import t

    x, y = [1.0, 2.0, 2.0, 2.0], [9.0, 1.0, 2.0, 3.0]
    result = fit(x, y, law="last_value", level=0.95)
    half = t.ppf(0.975, 2) / math.sqrt(3)
    assert result.params == pytest.approx({"E": 2.0})
    assert result.intervals["E"] == pytest.approx((2.0 - half, 2.0 + half))
    assert result.n == 4
    assert result.x_min == 1.0
    alone = fit([1.0, 2.0], [3.0, 4.0], law="last_value")
    assert alone.reason_no_interval == "one point at the largest x, so nothing tells its spread"


def test_jackknife_of_a_mean_is_the_t_interval_over_cluster_means() -> None:
    from scipy.stats import t

    means = np.array([1.0, 2.0, 4.0, 5.0])
    result = fit(np.ones(8), np.repeat(means, 2), law="last_value", cluster=np.repeat(list("abcd"), 2), level=0.9)
    half = t.ppf(0.95, 3) * means.std(ddof=1) / 2
    assert result.intervals["E"] == pytest.approx((3.0 - half, 3.0 + half))


def test_clusters_give_no_parameter_interval_where_the_exponent_is_lost_but_keep_the_predictions() -> None:
    random = np.random.default_rng(0)
    x = np.tile(SIZES, 5)
    result = fit(x, 0.5 + 0.01 * random.standard_normal(30), cluster=np.repeat(np.arange(5), 6))
    assert result.status == "not identified"
    assert "on the edge of its range, in 1 of the 5 fits that leave one cluster out" in result.status_detail
    assert result.intervals["b"] is None
    assert np.isfinite(result.predict(1000.0).low).all()


def test_too_few_clusters_say_so() -> None:
    x, y = noisy(0)
    assert fit(x, y, cluster=np.arange(12) % 2).reason_no_interval == "2 clusters of points, and an interval needs at least 3"


@pytest.mark.parametrize(
    ("x", "y", "options", "sentence"),
    [
        ([1, 2], [1], {}, "x has 2 values and y has 1: give one y for each x."),
        ([], [], {}, "x and y are empty: give at least one point."),
        ([[1, 2]], [[1, 2]], {}, "x has shape (1, 2): give one value per point, in one dimension."),
        (["a"], [1], {}, "x holds something that is not a number: give numbers alone."),
        (
            [1, 2, 3],
            [1, math.nan, 2],
            {},
            "y[1] is nan (1 of 3 values are not finite): leave those points out before fitting.",
        ),
        (
            [0, 1, 2],
            [1, 2, 3],
            {},
            "x[0] is 0: zero is the baseline without pre-training, which has no place on a power law: leave it out and draw it apart.",
        ),
        ([-1, 1, 2], [1, 2, 3], {}, "x[0] is -1: a power law needs x > 0: leave it out."),
        (
            [1, 1, 2],
            [1, 2, 3],
            {},
            "the law 'power' has 3 free parameters (E, A, b) and y is given at only 2 distinct x: measure at more x, pin a parameter "
            "with fixed={...}, or choose a law with fewer parameters.",
        ),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"law": "powr"},
            "there is no law 'powr' (did you mean 'power'?): choose one of power, power_no_floor, last_value.",
        ),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"fixed": {"c": 1.0}},
            "fixed names 'c', which is no parameter of the law 'power' (there are: E, A, b): pin one of E, A, b.",
        ),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"fixed": {"b": -1.0}},
            "fixed gives b = -1, and the law 'power' needs b > 0: pin it to a positive number.",
        ),
        ([1, 2, 3], [1, 2, 3], {"level": 90}, "level is 90: give the coverage of the intervals as a share, such as 0.90."),
        ([1, 2, 3], [1, 2, 3], {"cluster": [1]}, "cluster has 1 labels for 3 points: give one label per point."),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"cluster": ["a", None, "b"]},
            "cluster[1] is missing: give every point a label, such as independent_groups(runs).",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_a_sentence(x: list, y: list, options: dict, sentence: str) -> None:
    with pytest.raises(AnalysisError) as error:
        fit(x, y, **options)
    assert str(error.value) == sentence


def test_predicting_at_zero_and_reading_nonsense_are_refused_in_a_sentence() -> None:
    x, y = noisy(0)
    with pytest.raises(AnalysisError, match="the x to predict at hold 0: a law is defined for finite x above zero, so leave it out"):
        fit(x, y).predict([0.0, 1.0])
    with pytest.raises(AnalysisError, match=r"this text is not a fit of this version: write it again with Fit.to_json\(\)"):
        Fit.from_json("{}")
