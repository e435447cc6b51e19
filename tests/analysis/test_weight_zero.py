"""A point of weight zero changes nothing: no parameter, no forecast, no interval, no plan, no word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import LAWS, choose_law, choose_surface, fit, fit_surface, suggest_runs
from analysis.decisions.law_error import law_corrected

Array = NDArray[np.float64]

FAR = np.array([50.0, 1e3, 1e5, 4e5, 3e6])
FAR_2 = np.array([[1e7, 1e9], [1e9, 1e11], [1e10, 1e12]])
STRAYS = [(3e3, 0.9), (10.0, 30.0), (3e6, 0.01), (1e3, -5.0)]
"""Points that would change a fit: among the others, before, beyond, and without a logarithm."""


def curve() -> tuple[Array, Array]:
    x = np.geomspace(100.0, 1e5, 12)
    return x, (2.0 * x**-0.3 + 0.2) * np.exp(np.random.default_rng(0).normal(0.0, 0.02, len(x)))


def surface() -> tuple[Array, Array]:
    n, d = np.repeat(np.geomspace(1e6, 1e9, 6), 5), np.tile(np.geomspace(1e8, 1e11, 5), 6)
    loss = 1.7 + 400.0 * n**-0.34 + 410.0 * d**-0.28
    return np.column_stack([n, d]), loss * np.exp(np.random.default_rng(1).normal(0.0, 0.005, len(n)))


def forecast(found: Any, where: Array) -> Array:
    """Mean, ends and whether it is extrapolated, of the mean and of one new run."""
    both = [found.predict(where, kind) for kind in ("mean", "new run")]
    return np.array([part for one in both for part in (one.mean, one.low, one.high, one.extrapolated.astype(float))])


def with_stray(x: Array, y: Array, stray: Any, place: int) -> tuple[Array, Array, Array]:
    """The points with one more at this place, and weights of 1, and 0 for it."""
    weights = np.insert(np.ones(len(y)), place, 0.0)
    return np.insert(x, place, stray[0], axis=0), np.insert(y, place, stray[1]), weights


@pytest.mark.parametrize("place", [0, 12])
@pytest.mark.parametrize("stray", STRAYS)
@pytest.mark.parametrize("law", ["power", "shifted_power", "last_value"])
def test_a_fit_is_that_without_the_point(law: str, stray: tuple[float, float], place: int) -> None:
    x, y = curve()
    more_x, more_y, weights = with_stray(x, y, stray, place)
    sigma, cluster = np.linspace(0.01, 0.03, 12), np.repeat(["a", "b", "c", "d"], 3)
    settings: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"sigma": sigma}, {"sigma": np.insert(sigma, place, 1e-9)}),
        ({"bootstrap": 60}, {"bootstrap": 60}),
        ({"loss": "huber", "y_range": (0.0, 2.0)}, {"loss": "huber", "y_range": (0.0, 2.0)}),
    ]
    if law != "last_value":  # whose points are all of one cluster
        settings.append(({"cluster": cluster}, {"cluster": np.insert(cluster, place, "b")}))
    for plain, more in settings:
        without = fit(x, y, law=law, weights=np.ones(12), **plain)
        found = fit(more_x, more_y, law=law, weights=weights, **more)
        assert np.array_equal(forecast(found, FAR), forecast(without, FAR), equal_nan=True), plain
        assert found.summary() == without.summary()
        assert found.intervals == without.intervals
        assert found.n == 12
        assert found.inverse(0.3) == without.inverse(0.3)


def test_the_point_stays_in_the_table_of_points() -> None:
    x, y = curve()
    more_x, more_y, weights = with_stray(x, y, STRAYS[0], 4)
    found = fit(more_x, more_y, weights=weights)
    assert found.points()[0].tolist() == more_x.tolist()
    assert np.flatnonzero(np.array(found.weights) == 0).tolist() == [4]


@pytest.mark.parametrize("stray", STRAYS)
@pytest.mark.parametrize("average_laws", [True, False])
def test_a_choice_of_laws_is_that_without_the_point(stray: tuple[float, float], average_laws: bool) -> None:
    x, y = curve()
    more_x, more_y, weights = with_stray(x, y, stray, 0)
    without = choose_law(x, y, average_laws=average_laws)
    found = choose_law(more_x, more_y, weights=weights, average_laws=average_laws)
    assert np.array_equal(forecast(found, FAR), forecast(without, FAR), equal_nan=True)
    assert found.laws == without.laws
    assert found.summary() == without.summary()


@pytest.mark.parametrize("stray", [([2e7, 2e9], 9.0), ([1e5, 1e7], 30.0), ([1e11, 1e13], -1.0)])
def test_surfaces_are_those_without_the_point(stray: tuple[list[float], float]) -> None:
    X, y = surface()
    more_X, more_y, weights = with_stray(X, y, stray, 0)
    for plain, found in (
        (fit_surface(X, y, weights=np.ones(30), bootstrap=60), fit_surface(more_X, more_y, weights=weights, bootstrap=60)),
        (choose_surface(X, y), choose_surface(more_X, more_y, weights=weights)),
        (choose_surface(X, y, average_laws=False), choose_surface(more_X, more_y, weights=weights, average_laws=False)),
    ):
        assert np.array_equal(forecast(found, FAR_2), forecast(plain, FAR_2), equal_nan=True)
        assert found.summary() == plain.summary()


def test_runs_that_are_suggested_and_a_law_that_is_corrected_are_those_without_the_point() -> None:
    x, y = curve()
    more_x, more_y, weights = with_stray(x, y, STRAYS[2], 0)
    cells = [1e4, 1e6]
    fits = (fit(x, y, weights="equal"), fit(more_x, more_y, weights=weights))
    plans = [suggest_runs(one, cells, ("predict", 1e7), [1.0, 9.0], runs=3).table for one in fits]
    assert plans[0].equals(plans[1])
    cluster = np.tile(["a", "b", "c", "d"], 3)
    thrice = np.repeat(x[:3], 4)
    plain = law_corrected(fit(thrice, y, cluster=cluster, weights="equal", law=LAWS["power_no_floor"]))
    found = law_corrected(
        fit(np.insert(thrice, 0, 7.0), np.insert(y, 0, 1.0), cluster=np.insert(cluster, 0, "d"), weights=weights, law=LAWS["power_no_floor"])
    )
    assert plain is not None
    assert found is not None
    assert np.array_equal(found.values(x), plain.values(x))
    assert np.array_equal(found.replicates(x), plain.replicates(x))
