import math

import numpy as np
import pytest

from analysis import AnalysisError, Fit, choose_law, fit, fit_surface

X = np.geomspace(100.0, 1e5, 12)
Y = 0.1 + 3.0 * X**-0.4


def noisy(y: np.ndarray, noise: float, random_seed: int = 0) -> np.ndarray:
    return y * np.exp(noise * np.random.default_rng(random_seed).standard_normal(len(y)))


@pytest.mark.parametrize(("law", "name", "value"), [("power", "b", 12.0), ("mmf", "b", 30.0), ("shifted_power", "c", 1e-12)])
def test_a_pin_beyond_the_range_of_the_search_is_kept(law: str, name: str, value: float) -> None:
    assert fit(X, Y, law=law, fixed={name: value}).params[name] == pytest.approx(value, rel=1e-12)


def test_points_of_no_weight_were_not_measured() -> None:
    weights = np.r_[np.ones(8), np.zeros(4)]
    y = noisy(Y, 0.02)
    whole, part = fit(X, y, weights=weights), fit(X[:8], y[:8])
    assert whole.predict([X[7], X[11]]).to_frame().round(9).equals(part.predict([X[7], X[11]]).to_frame().round(9))
    assert whole.predict(X[11]).extrapolated.all()


def test_honest_noise_that_sigma_explains_makes_no_outliers_and_is_covered() -> None:
    held = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        sigma = 0.003 * np.exp(random.uniform(0.0, math.log(30.0), 24))
        x = np.geomspace(100.0, 1e5, 24)
        truth = 0.1 + 3.0 * x**-0.4
        result = fit(x, truth * np.exp(sigma * random.standard_normal(24)), sigma=sigma * truth)
        ends = result.intervals["b"]
        assert ends is not None
        held.append(ends[0] <= 0.4 <= ends[1])
    assert np.mean(held) > 0.82  # 90% nominal, two standard errors of 60 simulations below


def test_a_surface_with_noise_far_above_delta_has_its_bootstrap() -> None:
    random = np.random.default_rng(0)
    where = np.array([(n, d) for n in np.geomspace(1e7, 1e9, 6) for d in np.geomspace(1e8, 1e11, 6)])
    y = (1.7 + 400.0 * where[:, 0] ** -0.34 + 410.0 * where[:, 1] ** -0.28) * np.exp(0.02 * random.standard_normal(36))
    result = fit_surface(where, y)
    assert result.reason_no_interval == ""
    assert result.interval_method.startswith("bootstrap of 36 points")


def test_predictions_stay_in_the_range_of_the_metric() -> None:
    y = 0.9 - 2.0 * X**-0.4 + 0.005 * np.random.default_rng(0).standard_normal(12)
    for result in (fit(X, y, y_range=(0.0, 1.0)), choose_law(X, y, y_range=(0.0, 1.0)), fit(X, y, law="logarithmic", y_range=(0.0, 1.0))):
        ahead = result.predict([1.0, 1e6, 1e9, 1e12], "new run")
        assert (ahead.low >= 0.0).all()
        assert (ahead.high <= 1.0).all()
        assert (ahead.low <= ahead.mean).all()
        assert (ahead.mean <= ahead.high).all()


def test_a_mean_below_zero_still_has_an_interval() -> None:
    result = fit(X, 0.9 - 3.0 * X**-0.3 + 0.002 * np.random.default_rng(0).standard_normal(12))
    below = result.predict([10.0, 20.0])
    assert (below.mean < 0).all()
    assert (below.low < below.mean).all()
    assert (below.mean < below.high).all()


def test_a_flat_law_reaches_nothing_that_lies_on_the_better_side() -> None:
    rising = 0.7 + 0.01 * np.random.default_rng(0).standard_normal(12) + np.linspace(0.0, 0.02, 12)
    flat = fit(X, rising, law="last_value")
    assert math.isinf(flat.inverse(0.9).x)
    assert flat.inverse(0.5).sentence.startswith("y = 0.5 is reached at x = 0.100 or less")


def test_numbers_near_the_edge_of_double_precision_still_make_json() -> None:
    result = fit(np.array([1.0, 2.0, 3.0, 5.0, 8.0, 10.0]) * 1e29, [5.0, 1.1, 1.0, 1.0, 1.0, 1.0], law="shifted_power")
    assert Fit.from_json(result.to_json()).status == result.status


def test_ten_thousand_clusters_are_dealt_into_a_hundred_groups() -> None:
    x = np.tile(X, 400)
    y = noisy(0.1 + 3.0 * x**-0.4, 0.05)
    result = fit(x, y, cluster=np.arange(len(x)))
    assert "jackknife over 100 groups of 4800 clusters" in result.interval_method
    ends, plain = result.intervals["b"], fit(x, y).intervals["b"]
    assert ends is not None
    assert plain is not None
    assert ends[1] - ends[0] == pytest.approx(plain[1] - plain[0], rel=0.3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"level": "0.9"}, "level is '0.9': give the confidence level of the intervals as a share, such as 0.95."),
        ({"bootstrap": 100, "seed": -1}, "seed is -1: give a whole number, zero or above."),
        ({"fixed": ["E"]}, "fixed is ['E']: give names with values, such as {\"E\": 0.1}."),
        ({"bounds": {"b": (20, 30)}}, "bounds of b are (20, 30), and the law 'power' is searched from 0.001 to 10: let them overlap."),
        ({"y_range": (0.5, 1.0)}, "outside the y_range 0.5 to 1"),
        ({"y_range": 1}, "y_range is 1: give a pair (low, high), with None for an open side."),
        ({"cluster": ["a", "b", "c", "d"] * 2 + ["a", "b", "c", math.nan]}, "cluster[11] is missing"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_a_sentence(options: dict, sentence: str) -> None:
    with pytest.raises(AnalysisError) as error:
        fit(X, Y, **options)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (np.ma.masked_greater(Y, 0.3), "y is masked in places"),
        (Y + 1j, "y holds something that is not a number: give numbers alone."),
        (Y.astype("timedelta64[s]"), "y holds something that is not a number: give numbers alone."),
    ],
)
def test_what_numpy_would_bend_into_numbers_is_refused(y: np.ndarray, sentence: str) -> None:
    with pytest.raises(AnalysisError) as error:
        fit(X, y)
    assert sentence in str(error.value)


def test_pure_noise_says_that_nothing_is_identified() -> None:
    said = [fit(X, noisy(np.full(12, 0.5), 0.02, seed)).status for seed in range(20)]
    assert said.count("converged") <= 4


def test_points_left_out_do_not_count_as_measured_in_an_inverse_prediction() -> None:
    """Fitted to the first eight points of twelve, the four beyond are a forecast."""
    y = 0.2 + 3.0 * X**-0.4
    weights = np.where(np.arange(len(X)) < 8, 1.0, 0.0)
    for found in (fit(X, y, weights=weights), choose_law(X, y, weights=weights)):
        needed = found.inverse(float(found.predict(X[-2]).mean[0]))
        assert needed.x == pytest.approx(X[-2], rel=1e-6)
        assert needed.extrapolated
        assert found.predict(needed.x).extrapolated[0]
        assert needed.sentence.endswith(", outside what was measured")
