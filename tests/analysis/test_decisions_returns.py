import json
import math

import numpy as np
import pytest

from analysis import AnalysisError, Fit, fit, fit_surface
from analysis.decisions import diminishing_returns

SIZES = np.geomspace(1e2, 1e4, 10)
BOUGHT = 8.0 * (1.0 - 2.0**-0.3)  # by a doubling of y = 1 + 8 x^-0.3 at x = 1


def loss_curve(random_seed: int | None = None, *, noise: float = 0.005) -> Fit:
    y = 1.0 + 8.0 * SIZES**-0.3
    if random_seed is not None:
        y = y * (1.0 + noise * np.random.default_rng(random_seed).standard_normal(len(y)))
    return fit(SIZES, y, loss="log_squared")


def test_a_doubling_stops_paying_where_the_closed_form_says() -> None:
    found = diminishing_returns(loss_curve(), noise_sd=0.12)
    assert found.noise.status == "found"
    assert found.noise.x == pytest.approx((BOUGHT / 0.12) ** (1 / 0.3), rel=1e-6)
    assert found.noise.gain == pytest.approx(0.12, rel=1e-6) == found.noise.threshold
    assert found.better == "lower"
    assert not found.noise.extrapolated


def test_a_price_is_met_where_the_slope_equals_it_for_a_rising_score_too() -> None:
    score = fit(SIZES, 0.8 - 2.0 * SIZES**-0.4, loss="squared")
    found = diminishing_returns(score, noise_sd=0.01, price=1e-5)
    assert found.price is not None
    assert found.better == "higher"
    assert found.price.x == pytest.approx((2.0 * 0.4 / 1e-5) ** (1 / 1.4), rel=1e-5)
    grid = np.geomspace(1e2, 1e4, 20_001)
    worth = 0.8 - 2.0 * grid**-0.4 - 1e-5 * grid
    assert grid[np.argmax(worth)] == pytest.approx(found.price.x, rel=1e-3)  # which is where y x worth - x cost is greatest


@pytest.mark.parametrize("unit", [1e-6, 1e9])
def test_the_unit_of_x_changes_nothing_but_itself(unit: float) -> None:
    one, other = loss_curve(3), fit(SIZES * unit, loss_curve(3).y, loss="log_squared")
    first, last = (diminishing_returns(curve, noise_sd=0.12).noise for curve in (one, other))
    assert last.x == pytest.approx(first.x * unit, rel=1e-4)
    assert last.interval == pytest.approx([end * unit for end in first.interval or ()], rel=1e-3)


def test_a_noise_larger_than_any_gain_is_passed_at_the_smallest_x() -> None:
    found = diminishing_returns(loss_curve(1), noise_sd=5.0)
    assert found.noise.status == "already"
    assert found.noise.x == 100.0
    assert found.noise.interval == (100.0, 100.0)
    assert found.sentence().startswith("Already at the smallest x measured, 100, another doubling of x gains less than the noise of one run")


def test_a_logarithm_never_stops_paying() -> None:
    straight = fit(SIZES, 0.1 + 0.05 * np.log(SIZES), law="logarithmic", loss="squared")
    found = diminishing_returns(straight, noise_sd=0.01)
    assert (found.noise.status, found.noise.x, found.noise.gain) == ("never", math.inf, None)
    assert found.sentence().startswith("There is no x from which another doubling of x gains less")
    assert "The last doubling measured, to x = 10,000, gains 0.0347" in found.sentence()
    assert json.loads(found.to_json())["noise"]["x"] is None


def test_the_gain_of_a_law_that_dips_counts_once_it_is_below_for_good() -> None:
    logistic = fit(SIZES, 0.2 + 0.6 / (1.0 + (SIZES / 1000.0) ** -2.0), law="mmf", loss="squared")
    found = diminishing_returns(logistic, noise_sd=0.05)
    doubled = logistic.marginal([100.0, found.noise.x * 0.99, found.noise.x * 1.01]).mean
    assert doubled[0] < 0.05 < doubled[1]  # little at first, much in the middle
    assert doubled[2] < 0.05


def test_the_fits_own_noise_counts_by_default_and_widens_the_interval() -> None:
    curve = loss_curve(2)
    own = diminishing_returns(curve)
    assert own.noise_sd == pytest.approx((curve.residual_sd or 0.0) * float(curve.predict(own.noise.x).mean[0]))
    assert "residual standard deviation of the fit" in own.sentence()
    given = diminishing_returns(curve, noise_sd=own.noise_sd)
    widths = [np.diff(np.log(one.noise.interval or ()))[0] for one in (given, own)]
    assert widths[1] > widths[0]
    assert "beyond what was measured" in own.sentence()


def test_intervals_cover_the_truth() -> None:
    truths = {"noise": (BOUGHT / 0.12) ** (1 / 0.3), "price": (8.0 * 0.3 / 1e-4) ** (1 / 1.3)}
    random = np.random.default_rng(0)
    held = dict.fromkeys(truths, 0)
    x, seed = np.tile(np.geomspace(1e2, 1e4, 5), 5), np.repeat(np.arange(5), 5)
    for _ in range(150):
        y = (1.0 + 8.0 * x**-0.3) * (1.0 + 0.005 * random.standard_normal(25)) + 0.01 * random.standard_normal(5)[seed]
        found = diminishing_returns(fit(x, y, loss="log_squared", cluster=seed), noise_sd=0.12, price=1e-4)
        for name, truth in truths.items():
            low, high = getattr(found, name).interval
            held[name] += low <= truth <= high
    assert all(0.85 <= count / 150 <= 0.96 for count in held.values()), held


def test_as_many_points_as_parameters_decide_nothing() -> None:
    bare = fit(SIZES[:3], 1.0 + 8.0 * SIZES[:3] ** -0.3)
    for settings in ({}, {"noise_sd": 0.12}):
        with pytest.raises(AnalysisError, match=r"not identified: 3 points for 3 free parameters leave no degrees of freedom"):
            diminishing_returns(bare, **settings)


def test_a_figure_gets_gain_band_and_threshold() -> None:
    table = diminishing_returns(loss_curve(4)).plot_data(points=20)
    assert list(table) == ["x", "gain", "low", "high", "threshold", "extrapolated"]
    assert (table["low"] < table["gain"]).all()
    assert (table["gain"] > 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_sd": 0.0}, "noise_sd is 0: give the standard deviation of one run in the unit of y, above zero."),
        ({"noise_sd": math.nan}, "noise_sd is nan"),
        ({"noise_sd": "x"}, "noise_sd is 'x', which is no number"),
        ({"noise_sd": 0.1, "price": -1.0}, "price is -1: give the y that one more unit of x must gain, above zero."),
        ({"noise_sd": 0.1, "better": "more"}, "better is 'more': choose 'higher'"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(settings: dict[str, float], message: str) -> None:
    with pytest.raises(AnalysisError, match=message.replace("(", r"\(")):
        diminishing_returns(loss_curve(), **settings)  # type: ignore[arg-type]


def test_what_is_no_curve_or_tells_nothing_is_refused() -> None:
    X = np.array([(n, d) for n in (1e6, 1e7, 1e8) for d in (1e8, 1e9, 1e10)])
    surface = fit_surface(X, 1.69 + 406.4 * X[:, 0] ** -0.34 + 410.7 * X[:, 1] ** -0.28, bootstrap=0)
    with pytest.raises(AnalysisError, match="fit is a surface: fix all inputs but one and fit a curve"):
        diminishing_returns(surface)  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="law 'last_value', which is flat"):
        diminishing_returns(fit(SIZES, 1.0 + 8.0 * SIZES**-0.3, law="last_value"), noise_sd=0.1)
    too_much = fit(SIZES, 1.0 + 8.0 * SIZES**-0.3, law="broken_power", metric="any")
    with pytest.raises(AnalysisError, match=r"fit is not identified: the points do not tell .* apart"):
        diminishing_returns(too_much, noise_sd=0.1)


def test_a_fit_at_its_bound_is_answered_with_a_caution() -> None:
    straight = fit(SIZES, 0.1 + 0.05 * np.log(SIZES), loss="squared")
    found = diminishing_returns(straight, noise_sd=0.01)
    assert straight.status == "at bound"
    assert found.cautions == (f"fit is 'at bound': {straight.status_detail}",)
    assert "caution: fit is 'at bound'" in found.summary()
