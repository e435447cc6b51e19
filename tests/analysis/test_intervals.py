"""What a fit says about its certainty: intervals, bootstrap, clusters, lack of fit, predictions,
and the status.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import least_squares

from analysis import LAWS, Fit, fit

SIZES = np.array([100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0])


def noisy(random_seed: int, *, n: int = 12, noise: float = 0.005) -> tuple[np.ndarray, np.ndarray]:
    x = np.geomspace(1e2, 1e4, n)
    return x, (1.0 + 8.0 * x**-0.3) * (1.0 + noise * np.random.default_rng(random_seed).standard_normal(n))


def sigmoid(random_seed: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.geomspace(100.0, 1e5, 20)
    return x, (0.2 + 0.7 / (1.0 + (x / 2000.0) ** 1.2)) * (1.0 + 0.01 * np.random.default_rng(random_seed).standard_normal(20))


@pytest.mark.parametrize("law", ["power", "shifted_power", "levelling_power", "exponential", "mmf", "weibull", "generalised_logistic"])
@pytest.mark.parametrize("loss", ["squared", "log_squared"])
def test_the_ends_of_a_profile_interval_lie_on_the_likelihood_threshold(law: str, loss: str) -> None:
    from scipy.stats import t

    x, y = noisy(1) if law == "power" else sigmoid(0)
    result = fit(x, y, law=law, loss=loss, level=0.9, weights="equal")
    freedom = len(x) - len(result.params)
    threshold = result.objective * (1 + t.ppf(0.95, freedom) ** 2 / freedom)
    ends = [(name, end) for name, interval in result.intervals.items() if interval is not None for end in interval]
    finite = [(name, end) for name, end in ends if math.isfinite(end) and end != 0.0]
    assert len(finite) >= len(ends) - 2
    for name, end in finite:
        assert fit(x, y, law=law, loss=loss, fixed={name: end}).objective == pytest.approx(threshold, rel=2e-3), (name, end)


def test_the_ends_under_hubers_loss_use_hubers_variance() -> None:
    from scipy.stats import t

    x, y = noisy(1, n=20)
    y[5] *= 1.1
    result = fit(x, y, delta=0.01)
    residual = np.log(result.predict(x).mean / y)
    variance = np.sum(np.clip(residual, -0.01, 0.01) ** 2) / 17 / np.mean(np.abs(residual) <= 0.01)  # Huber 1981, section 7.6
    for name in ("E", "A", "b"):
        ends = result.intervals[name]
        assert ends is not None
        for end in ends:
            rise = fit(x, y, delta=0.01, fixed={name: end}).objective - result.objective
            assert rise == pytest.approx(0.5 * variance * t.ppf(0.975, 17) ** 2, rel=1e-2)


@pytest.mark.parametrize("weighted", [False, True])
def test_prediction_interval_equals_linear_regression_where_the_exponent_is_pinned(weighted: bool) -> None:
    import statsmodels.api as sm

    x, y = noisy(3)
    weights = np.linspace(1.0, 3.0, 12) if weighted else np.ones(12)
    reference = sm.WLS(y, sm.add_constant(x**-0.3), weights=weights).fit()
    result = fit(x, y, loss="squared", weights=weights, fixed={"b": 0.3}, level=0.9)
    assert [result.params["E"], result.params["A"]] == pytest.approx(list(reference.params), rel=1e-9)
    assert [list(result.intervals[name] or ()) for name in ("E", "A")] == [pytest.approx(list(ends), rel=1e-4) for ends in reference.conf_int(0.1)]
    inside = x[1:-1]
    expected = reference.get_prediction(np.column_stack([np.ones(10), inside**-0.3])).conf_int(alpha=0.1)
    prediction = result.predict(inside)
    assert np.column_stack([prediction.low, prediction.high]) == pytest.approx(expected, rel=1e-9)


def test_lack_of_fit_is_the_f_test_against_one_mean_per_x() -> None:
    import statsmodels.api as sm
    from scipy.stats import f
    from statsmodels.stats.anova import anova_lm

    x = np.repeat(np.geomspace(1e2, 1e4, 6), 3)
    random = np.random.default_rng(0)
    for bend, wrong in ((0.0, False), (0.02, True)):
        y = 1.0 + 8.0 * x**-0.3 + bend * np.sin(2.0 * np.log(x)) + 0.004 * random.standard_normal(18)
        test = fit(x, y, loss="squared", fixed={"b": 0.3}).lack_of_fit
        line = sm.OLS(y, sm.add_constant(x**-0.3)).fit()
        means = sm.OLS(y, (x[:, None] == np.unique(x)).astype(float)).fit()
        reference = anova_lm(line, means)
        assert test.statistic == pytest.approx(reference["F"][1], rel=1e-6)
        assert test.p == pytest.approx(reference["Pr(>F)"][1], rel=1e-6)
        assert test.degrees_of_freedom == (4, 12)
        curve = fit(x, y, loss="squared")
        pure = sum(np.sum((y[x == place] - y[x == place].mean()) ** 2) for place in np.unique(x))
        statistic = (2.0 * curve.objective - pure) / 3 / (pure / 12)
        assert curve.lack_of_fit.statistic == pytest.approx(statistic, rel=1e-6)
        assert curve.lack_of_fit.p == pytest.approx(f.sf(statistic, 3, 12), rel=1e-6)
        assert ("the law does not fit the means at repeated x" in curve.summary()) == wrong
    assert fit(*noisy(0)).lack_of_fit.reason == "no x was measured twice"
    clustered = fit(x, y, cluster=np.tile([0, 1, 2], 6)).lack_of_fit
    assert clustered.reason == "the points come in clusters, so repeats are not independent"


@pytest.mark.parametrize("clustered", [False, True])
def test_bootstrap_standard_errors_equal_a_plain_loop_of_refits(clustered: bool) -> None:
    x, y = noisy(0, n=24, noise=0.01)
    labels = np.arange(24) % 8
    result = fit(x, y, loss="log_squared", cluster=labels if clustered else None, bootstrap=800)
    random = np.random.default_rng(1)
    found = []
    for _ in range(250):
        rows = np.concatenate([np.flatnonzero(labels == one) for one in random.integers(0, 8, 8)]) if clustered else random.integers(0, 24, 24)
        refit = least_squares(lambda p, rows=rows: np.log((p[0] + p[1] * x[rows] ** -p[2]) / y[rows]), [1.0, 8.0, 0.3], x_scale="jac")
        found.append(refit.x[2])
    spread = np.std(found, ddof=1)
    assert result.standard_errors()["b"] == pytest.approx(spread, rel=0.2)
    assert fit(x, y, bootstrap=60, seed=3) == fit(x, y, bootstrap=60, seed=3)
    assert fit(x, y, bootstrap=60, seed=3) != fit(x, y, bootstrap=60, seed=4)


def test_jackknife_of_a_mean_is_the_t_interval_over_cluster_means() -> None:
    from scipy.stats import t

    means = np.array([1.0, 2.0, 4.0, 5.0])
    result = fit(np.ones(8), np.repeat(means, 2), law="last_value", loss="squared", cluster=np.repeat(list("abcd"), 2), level=0.9)
    half = t.ppf(0.95, 3) * means.std(ddof=1) / 2
    assert result.intervals["E"] == pytest.approx((3.0 - half, 3.0 + half))


@pytest.mark.parametrize("bootstrap", [0, 100])
def test_no_interval_over_clusters_reaches_beyond_a_bound(bootstrap: int) -> None:
    """Neither the floor at zero that a loss has by default, nor the ends that the caller gave."""
    x, cluster = np.repeat(np.geomspace(1e2, 1e4, 8), 4), np.tile(np.arange(4), 8)
    random = np.random.default_rng(1)
    y = (0.005 + 2.0 * x**-0.5) * np.exp(0.05 * random.standard_normal(32) + 0.05 * random.standard_normal(4)[cluster])
    free = fit(x, y, cluster=cluster, bootstrap=bootstrap, metric="any")
    assert (free.intervals["E"] or (0.0, 0.0))[0] < 0.0
    ends = free.intervals["b"]
    assert ends is not None
    most = free.params["b"] + 0.8 * (ends[1] - free.params["b"])
    held = fit(x, y, cluster=cluster, bootstrap=bootstrap, bounds={"b": (None, most)}).intervals
    assert held["b"] is not None
    assert ends[0] < held["b"][1] <= most
    assert (held["E"] or (-1.0, 0.0))[0] >= 0.0


def test_jackknife_over_unequal_clusters_equals_a_loop_of_fits() -> None:
    from scipy.stats import t

    x, y = noisy(0, n=15)
    labels = np.array([0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 0, 1, 2, 3, 3])
    result = fit(x, y, loss="log_squared", cluster=labels, level=0.9)
    logs = np.log([fit(x[labels != one], y[labels != one], loss="log_squared").params["b"] for one in range(4)])
    half = t.ppf(0.95, 3) * math.sqrt(0.75 * np.sum((logs - math.log(result.params["b"])) ** 2))
    ends = result.intervals["b"]
    assert ends == pytest.approx((result.params["b"] * math.exp(-half), result.params["b"] * math.exp(half)), rel=1e-4)


def test_clusters_give_no_parameter_interval_where_the_exponent_is_lost_but_keep_the_predictions() -> None:
    random = np.random.default_rng(0)
    x = np.tile(SIZES, 5)
    result = fit(x, 0.5 + 0.01 * random.standard_normal(30), loss="squared", cluster=np.repeat(np.arange(5), 6))
    assert result.status == "not identified"
    assert "on the edge of its range in 1 of the 5 fits that leave one cluster out" in result.status_detail
    assert result.intervals["b"] is None
    assert np.isfinite(result.predict(1000.0).low).all()


def test_too_few_clusters_say_so() -> None:
    x, y = noisy(0)
    assert fit(x, y, cluster=np.arange(12) % 2).reason_no_interval == "2 clusters of points, and an interval needs at least 3"


def test_flat_points_are_not_identified_and_say_so() -> None:
    result = fit(SIZES, np.full(6, 0.3))
    assert result.status == "not identified"
    assert result.status_detail == "y is the same at every x, so it does not determine b"
    random = np.random.default_rng(0)
    noise = fit(SIZES, 0.3 + 0.01 * random.standard_normal(6))
    assert noise.status == "not identified"
    assert noise.intervals["b"] == (0.0, math.inf)
    assert "unbounded" in noise.summary()


def test_a_line_in_log_x_is_at_bound() -> None:
    result = fit(SIZES, np.log(SIZES))
    assert result.status == "at bound"
    assert result.status_detail.startswith("b ended on its lower bound 0.001: the points look like a straight line in log x")


def test_a_bound_is_given_in_the_unit_of_its_parameter() -> None:
    x = np.geomspace(1e5, 1e7, 8)
    result = fit(x, 90.0 - 180.0 * x**-0.1, law="weibull")
    assert result.status_detail == f"c ended on its lower bound {result.params['c']:.4g}"


def test_rising_points_without_a_floor_are_at_bound() -> None:
    result = fit(SIZES, SIZES**0.2, law="power_no_floor")
    assert result.status == "at bound"
    assert result.status_detail.endswith("y does not move towards its floor as x grows, as this law must")


def test_three_points_are_fitted_exactly_but_have_no_interval() -> None:
    result = fit(SIZES[:3], 1.0 + 8.0 * SIZES[:3] ** -0.3)
    assert result.params == pytest.approx({"E": 1.0, "A": 8.0, "b": 0.3}, rel=1e-6)
    assert result.intervals == {"E": None, "A": None, "b": None}
    assert result.reason_no_interval == "3 points for 3 free parameters leave no degrees of freedom to estimate the noise"
    assert np.isnan(result.predict(200.0).low).all()
    assert result.reason_no_interval in result.summary()


def test_three_sizes_with_replicates_have_intervals() -> None:
    x = np.repeat(SIZES[:3], 4)
    y = 1.0 + 8.0 * x**-0.3 + 0.01 * np.random.default_rng(0).standard_normal(12)
    assert fit(x, y).intervals["b"] is not None


def test_extrapolation_is_flagged() -> None:
    result = fit(*noisy(0))
    assert result.predict([50.0, 1e3, 1e5]).extrapolated.tolist() == [True, False, True]
    assert result.doubling_gain([1e3, 6e3]).extrapolated.tolist() == [False, True]
    assert result.plot_data(points=10)["curve"]["extrapolated"].tolist()[-1]


@pytest.mark.parametrize("per", ["doubling", 500.0])
def test_what_more_x_buys_is_the_difference_of_two_predictions_with_a_narrower_interval(per: str | float) -> None:
    result = fit(*noisy(0))
    after = 2000.0 if per == "doubling" else 1500.0
    gain, ends = result.marginal(1000.0, per=per), result.predict([1000.0, after])
    assert gain.mean[0] == pytest.approx(ends.mean[1] - ends.mean[0])
    assert gain.mean[0] < 0
    assert gain.low[0] < gain.mean[0] < gain.high[0]
    assert gain.high[0] - gain.low[0] < np.sum(ends.high - ends.low)


def test_the_interval_for_a_new_run_adds_its_noise() -> None:
    result = fit(*noisy(0))
    mean, run = result.predict(1000.0), result.predict(1000.0, kind="new run")
    assert run.mean == pytest.approx(mean.mean)
    added = np.log(run.high / run.mean) ** 2 - np.log(mean.high / mean.mean) ** 2
    from scipy.stats import t

    assert added[0] == pytest.approx(((result.residual_sd or 0.0) * t.ppf(0.975, 9)) ** 2, rel=1e-6)


@pytest.mark.parametrize("law", ["power", "mmf", "m4", "shifted_power"])
def test_the_inverse_leads_back_to_the_target(law: str) -> None:
    result = fit(*sigmoid(1), law=law)
    target = float(result.predict(3e4).mean[0])
    needed = result.inverse(target)
    assert needed.x == pytest.approx(3e4, rel=1e-6)
    assert needed.low <= needed.x <= needed.high
    assert not needed.extrapolated
    assert needed.sentence.startswith(f"y = {target:g} is reached at x = 30,000 (95% interval ")
    never = result.inverse(result.params["E"] - 0.1)
    assert math.isinf(never.x)
    assert "is never reached: the law levels off before it" in never.sentence


def test_every_law_has_a_summary_with_its_formula() -> None:
    x, y = sigmoid(2)
    for name, law in LAWS.items():
        result: Fit = fit(x, y, law=name)
        assert result.summary().startswith(law.formula)
        assert f"status: {result.status}" in result.summary()
