"""A loss that rises at its end is said to rise, and one that does not is not."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import choose_law, choose_surface, fit, fit_surface
from analysis.fitting.turning import _pooled_noise, noise_of_neighbours, turn_of, turn_of_surface

X = np.geomspace(1e3, 1e5, 16)


def noisy(y: np.ndarray, seed: int = 0, noise: float = 0.005) -> np.ndarray:
    return np.asarray(y * np.exp(noise * np.random.default_rng(seed).standard_normal(len(y))))


def overfitting(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 + 30.0 * x**-0.5 + 0.15 * np.maximum(0.0, np.log(x / 3e4)))


@pytest.mark.parametrize("metric", ["loss", "any"])
def test_a_curve_that_rises_at_its_end_is_said_to_and_its_forecast_to_be_too_low(metric: str) -> None:
    y = noisy(overfitting(X))
    found = fit(X, y, metric=metric)
    assert found.status == "does not fit"
    assert "y rises at the end: from x = 39,800 on, by 6.52% up to x = 100,000 (p < 0.001)" in found.status_detail
    assert (
        "the law 'power' does not rise there, nor can others of this library, so forecasts beyond are too low if y goes on so" in found.status_detail
    )
    assert fit(X, y, weights=np.where(X < 3e4, 1.0, 0.0)).status == "converged"  # only points that count are judged


def test_the_choice_says_so_too_and_its_summary_shows_it() -> None:
    choice = choose_law(X, noisy(overfitting(X)))
    assert choice.fit.status == "does not fit"
    assert "y rises at the end" in choice.summary()
    assert float(np.max(choice.predict(4e5).mean)) < overfitting(np.array([4e5]))[0]


def test_an_accuracy_that_falls_at_its_end_is_forecast_too_high() -> None:
    found = choose_law(X, noisy(0.9 - 0.3 * (overfitting(X) - 1.0), noise=0.002), y_range=(0.0, 1.0)).fit
    assert "y falls at the end" in found.status_detail
    assert "forecasts beyond are too high" in found.status_detail


def test_a_law_that_rises_with_the_points_is_not_accused() -> None:
    def bowl(x: np.ndarray, low: float, size: float, middle: float) -> np.ndarray:
        return np.asarray(low + size * (np.log(x) - middle) ** 2)

    y = noisy(1.0 + 0.05 * (np.log(X) - 10.0) ** 2, noise=0.001)
    assert "rises at the end" in fit(X, y).status_detail
    assert fit(X, y, law=bowl, start={"low": 1.0, "size": 0.1, "middle": 9.0}).status == "converged"


@pytest.mark.parametrize("points", [8, 20, 64])
def test_flat_and_falling_curves_are_seldom_called(points: int) -> None:
    u = np.linspace(-4.0, 0.0, points)
    called = {"flat": 0, "falling": 0, "lasting": 0}
    for seed in range(200):
        e = 0.01 * np.random.default_rng(seed).standard_normal(points)
        lasting = e.copy()
        for place in range(1, points):
            lasting[place] = 0.5 * lasting[place - 1] + 0.75**0.5 * e[place]
        for name, t in (("flat", e), ("falling", e + np.log(0.3 + np.exp(-0.8 * (u + 4.0)))), ("lasting", lasting)):
            called[name] += turn_of(u, t) is not None
    assert called["falling"] == 0
    assert called["flat"] <= 8  # 4%: nominal is 1%, and a run of rises counts as well
    assert called["lasting"] <= 20


def test_the_noise_of_neighbours_is_that_of_the_points() -> None:
    u = np.linspace(-4.0, 0.0, 200)
    t = np.log(0.3 + np.exp(-0.8 * (u + 4.0))) + 0.01 * np.random.default_rng(0).standard_normal(200)
    assert noise_of_neighbours(u, t)[0] == pytest.approx(0.01, rel=0.5)


@pytest.fixture(scope="module")
def small_and_large() -> tuple[np.ndarray, np.ndarray]:
    """Losses of 50, 500 and 20,000 images over four lengths, three seeds each: 50 images overfit."""
    images, passes = (np.repeat(each.ravel(), 3) for each in np.meshgrid([50.0, 500.0, 20000.0], [6e3, 12e3, 24e3, 48e3]))
    loss = 0.35 + 3.0 * passes**-0.3 + 0.8 * images**-0.4
    loss = np.where(images < 100.0, loss * (1.0 + 0.1 * np.maximum(0.0, np.log(passes / 12e3))), loss)
    return np.column_stack([images, passes]), noisy(loss)


def test_a_surface_says_where_y_rises_with_one_input(small_and_large: tuple[np.ndarray, np.ndarray]) -> None:
    where, loss = small_and_large
    for found in (fit_surface(where, loss, bootstrap=0), choose_surface(where, loss).fit):
        assert found.status == "does not fit"
        assert "y rises at the end where N = 50.0: from D = 12,000 on" in found.status_detail
        assert "so forecasts beyond are too low if y goes on so" in found.status_detail
    calm = where[:, 0] > 100.0
    assert "rises" not in choose_surface(where[calm], loss[calm]).fit.status_detail


REPEATED = 0.01 * np.array([1.0, -1.0, 1.0, -1.0])  # of ln y: four runs at each place, exactly so far from their mean
PER_MEAN = 0.01 * (4 / 3) ** 0.5 / 2  # standard deviation of the mean of four


def rising_at_last(x: np.ndarray, rise: float) -> np.ndarray:
    """ln y of means that fall, but for the last."""
    t = np.log(0.2 + 30.0 * x**-0.5)
    t[-1] = t[-2] + rise
    return np.asarray(t)


def test_the_noise_of_a_mean_of_repeats_is_that_of_one_over_the_root_of_their_number() -> None:
    """A rise of five standard errors of a difference of means is clear; it is 2.5 of single runs."""
    x = np.geomspace(1e3, 1e5, 8)
    for rise, expected in ((5.0, True), (1.5, False)):
        t = rising_at_last(x, rise * 2**0.5 * PER_MEAN)
        y = np.exp(t[:, None] + REPEATED).ravel()
        assert ("y rises at the end" in fit(np.repeat(x, 4), y).status_detail) == expected


def test_each_further_series_of_a_surface_is_one_more_that_could_rise_by_chance() -> None:
    """A rise with p = .005 in one curve is clear, and in one of six series it is not."""
    passes = np.geomspace(1e3, 1e5, 6)
    for rise, in_curve, in_surface in ((3.3, True, False), (5.5, True, True)):
        t = np.tile(np.log(0.2 + 30.0 * passes**-0.5), (6, 1)) + 0.4 * np.arange(6.0, 0.0, -1.0)[:, None]
        t[0] = rising_at_last(passes, rise * 2**0.5 * PER_MEAN) + t[0, 0] - np.log(0.2 + 30.0 * passes[0] ** -0.5)
        found = turn_of(np.log(passes), t[0], PER_MEAN, 108)
        assert (found is not None) == in_curve
        y = np.exp(t[:, :, None] + REPEATED)
        where = np.column_stack([np.repeat(np.geomspace(10.0, 1e4, 6), 24), np.tile(np.repeat(passes, 4), 6)])
        said = turn_of_surface(where, y.ravel(), np.ones(144, dtype=bool), ("N", "D"), lambda X: 1.0 / X[:, 1], "falling")
        assert ("y rises at the end where N = 10.0" in said) == in_surface


@pytest.mark.parametrize(("last", "called"), [(5, True), (4, False)])
def test_five_steps_up_in_a_row_count_by_themselves(last: int, called: bool) -> None:
    t = np.concatenate([np.linspace(9.0, 0.0, 10), 0.01 * np.arange(1, last + 1)])
    assert (turn_of(np.arange(float(len(t))), t, 1.0, 1000) is not None) == called


@pytest.mark.parametrize(("ends", "called"), [([1.9, 2.0, 4.4], True), ([1.9, 1.8, 4.4], False)])
def test_a_probable_rise_counts_where_it_took_three_steps(ends: list[float], called: bool) -> None:
    t = np.array([12.0, 9.0, 6.0, 3.0, 0.0, *ends])
    steeper = turn_of(np.arange(8.0), 2.0 * t, 1.0, 1000)
    assert steeper is not None  # twice as high it is clear
    found = turn_of(np.arange(8.0), t, 1.0, 1000)
    assert (found is not None) == called
    assert found is None or 0.01 < found.p < 0.05


def test_y_that_rises_with_an_input_all_along_is_no_turn() -> None:
    x = np.geomspace(1e3, 1e5, 6)
    where = np.column_stack([np.repeat([10.0, 100.0, 1000.0], 24), np.tile(np.repeat(x, 4), 3)])
    y = np.exp(0.2 * np.log(where[:, 1]) - 0.1 * np.log(where[:, 0]) + np.tile(REPEATED, 18))
    assert turn_of_surface(where, y, np.ones(72, dtype=bool), ("N", "D"), lambda X: 1.0 / X[:, 1], "falling") == ""


def test_the_noise_of_series_without_repeats_is_that_of_the_points() -> None:
    x, random = np.geomspace(1e3, 1e5, 12), np.random.default_rng(0)
    t = (np.log(0.2 + 30.0 * x**-0.5) + 0.01 * random.standard_normal((40, 12))).ravel()
    sd, freedom = _pooled_noise(list(np.arange(480).reshape(40, 12)), np.tile(x, 40), t)
    assert freedom == 40 * 9
    assert sd == pytest.approx(0.01, rel=0.12)
