"""Every law: its gradient, its change of unit, and whether noise-free points give its parameters
back.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import LAWS, SURFACES, fit, fit_surface
from analysis.laws import Law, find_law

X = np.geomspace(100.0, 1e5, 25)

CURVES: list[tuple[str, dict[str, float]]] = [
    ("power", {"E": 1.69, "A": 406.4, "b": 0.34}),
    ("power", {"E": 0.8, "A": -2.0, "b": 0.5}),
    ("power", {"E": 0.0, "A": 1.0, "b": 2.5}),
    ("power_no_floor", {"A": 12.0, "b": 0.3}),
    ("power_no_floor", {"A": 1e3, "b": 1.4}),
    ("shifted_power", {"E": 1.0, "A": 50.0, "c": 500.0, "b": 0.6}),
    ("shifted_power", {"E": 0.9, "A": -20.0, "c": 800.0, "b": 0.8}),
    ("levelling_power", {"A": 30.0, "c": 3000.0, "b": 0.4}),
    ("levelling_power", {"A": 1e3, "c": 1e4, "b": 1.2}),
    ("m4", {"E": 1.0, "A": 4.0, "c": 1000.0, "b": 0.8, "a": 0.5}),
    ("m4", {"E": 0.9, "A": -0.7, "c": 500.0, "b": 0.6, "a": 1.5}),
    ("broken_power", {"E": 0.4139, "A": 2.2773, "b": 0.05508, "c1": 5.6629, "d1": 612.58, "f1": 0.05919}),
    ("broken_power", {"E": 0.1, "A": 3.0, "b": 0.1, "c1": 0.5, "d1": 1000.0, "f1": 0.3}),
    ("broken_power", {"E": 0.9, "A": -1.1, "b": 0.1, "c1": 0.6, "d1": 800.0, "f1": 0.5}),
    ("broken_power_2", {"E": 0.1, "A": 3.0, "b": 0.05, "c1": 0.6, "d1": 400.0, "f1": 0.2, "c2": -0.4, "d2": 6000.0, "f2": 0.2}),
    ("falling_broken_power", {"E": 0.1, "A": 3.0, "b": 0.1, "g": 0.5, "d": 1000.0, "f": 0.3}),
    (
        "broken_power_3",
        {"E": 0.1, "A": 3.0, "b": 0.05, "c1": 0.6, "d1": 300.0, "f1": 0.1, "c2": -0.4, "d2": 2000.0, "f2": 0.1, "c3": 0.5, "d3": 2e4, "f3": 0.1},
    ),
    ("exponential", {"E": 1.0, "A": 2.0, "c": 3000.0}),
    ("exponential", {"E": 0.7, "A": -0.5, "c": 800.0}),
    ("logarithmic", {"A": 5.0, "B": -0.3}),
    ("logarithmic", {"A": 0.1, "B": 0.05}),
    ("mmf", {"E": 0.2, "A": 0.7, "c": 1000.0, "b": 0.8}),
    ("mmf", {"E": 0.9, "A": -0.8, "c": 700.0, "b": 1.5}),
    ("weibull", {"E": 0.2, "A": 0.7, "c": 1000.0, "b": 0.8}),
    ("weibull", {"E": 0.9, "A": -0.8, "c": 700.0, "b": 0.5}),
    ("generalised_logistic", {"E": 0.2, "A": 0.7, "c": 1000.0, "b": 1.8, "s": 0.4}),
    ("generalised_logistic", {"E": 0.9, "A": -0.8, "c": 700.0, "b": 1.5, "s": 0.3}),
    ("last_value", {"E": 2.0}),
]
"""Falling and rising ones, at `X`."""

MODEL_AND_DATA = np.array(list(itertools.product(np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e12, 6))))
SMALL = np.array(list(itertools.product(np.geomspace(1e2, 1e5, 6), np.geomspace(1e2, 1e5, 6))))
REPEATED = np.array(
    [(size, unique * epochs, unique) for size in np.geomspace(1e7, 1e10, 4) for unique in np.geomspace(1e9, 1e11, 4) for epochs in (1, 4, 16, 64)]
)
TRANSFER = np.array(list(itertools.product((0.0, 1e3, 3e3, 1e4, 3e4, 1e5), (30.0, 100.0, 300.0, 1e3, 3e3))))

SURFACES_AT: list[tuple[str, np.ndarray, dict[str, float]]] = [
    ("chinchilla", MODEL_AND_DATA, {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}),
    ("shared_exponent", MODEL_AND_DATA, {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.3}),
    ("skaling", SMALL, {"E": 1.5, "A": 30.0, "alpha": 0.5, "r": 2.0, "beta": 0.4, "k": 0.6}),
    ("data_constrained", REPEATED, {"E": 1.87, "A": 521.0, "alpha": 0.35, "B": 1488.0, "beta": 0.35, "R": 15.0}),
    ("additive", TRANSFER, {"E": 0.2, "A": 0.3, "c": 5e3, "alpha": 0.4, "B": 3.0, "beta": 0.5}),
    ("additive", TRANSFER, {"E": 0.9, "A": -0.2, "c": 5e3, "alpha": 0.4, "B": -3.0, "beta": 0.5}),
    ("multiplicative", TRANSFER, {"E": 0.1, "A": 3.0, "c": 5e3, "alpha": 0.3, "beta": 0.4}),
    ("multiplicative", TRANSFER, {"E": 0.9, "A": -3.0, "c": 5e3, "alpha": 0.3, "beta": 0.4}),
    ("effective_data", TRANSFER, {"E": 0.1, "A": 3.0, "b": 0.4, "k": 5.0, "alpha": 0.4, "beta": 0.3}),
    ("effective_data", TRANSFER, {"E": 0.9, "A": -3.0, "b": 0.4, "k": 5.0, "alpha": 0.4, "beta": 0.3}),
]
"""Falling and rising ones, each with points that tell its parameters."""

IDS = [f"{name}-{index}" for index, (name, _) in enumerate(CURVES)]
SURFACE_IDS = [f"{name}-{index}" for index, (name, *_) in enumerate(SURFACES_AT)]
EVERY = [(LAWS[name], X, params) for name, params in CURVES] + [(SURFACES[name], where, params) for name, where, params in SURFACES_AT]


def test_every_law_is_tested() -> None:
    assert {name for name, _ in CURVES} == set(LAWS)
    assert {name for name, *_ in SURFACES_AT} == set(SURFACES)


@pytest.mark.parametrize(("law", "where", "params"), EVERY, ids=IDS + SURFACE_IDS)
def test_gradients_equal_finite_differences(law: Law, where: np.ndarray, params: dict[str, float]) -> None:
    gradient = law.derivatives(where, **{name: np.array([[value]]) for name, value in params.items()})[0]
    assert gradient.shape == (len(where), len(law.names))
    for index, (name, value) in enumerate(params.items()):
        step = 1e-5 * (abs(value) + 1e-3)
        slope = (law(where, **params | {name: value + step}) - law(where, **params | {name: value - step})) / (2 * step)
        assert gradient[:, index] == pytest.approx(slope, rel=1e-5, abs=1e-7 * np.abs(slope).max()), name


@pytest.mark.parametrize(("law", "where", "params"), EVERY, ids=IDS + SURFACE_IDS)
@given(logs=st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3))
@settings(max_examples=10, deadline=None)
def test_another_unit_of_x_gives_the_same_curve(law: Law, where: np.ndarray, params: dict[str, float], logs: list[float]) -> None:
    factors = [10.0**log for log in logs[: len(law.inputs)]]
    for group in law.shared_scale:
        for index in group:
            factors[index] = factors[group[0]]
    moved = law.rescale({name: np.array(value) for name, value in params.items()}, tuple(factors))
    there = where / (factors[0] if where.ndim == 1 else np.array(factors))
    assert set(moved) == set(params)
    assert law(there, **moved) == pytest.approx(law(where, **params), rel=1e-9)
    back = law.rescale(moved, tuple(1.0 / factor for factor in factors))
    assert {name: float(value) for name, value in back.items()} == pytest.approx(params, rel=1e-9)


@pytest.mark.parametrize(("name", "params"), CURVES, ids=IDS)
@pytest.mark.parametrize("loss", ["log_huber", "squared"])
def test_noise_free_points_give_the_parameters_back(name: str, params: dict[str, float], loss: str) -> None:
    result = fit(X, LAWS[name](X, **params), law=name, loss=loss)
    assert result.params == pytest.approx(params, rel=1e-6, abs=1e-9)
    assert result.status == "converged"


@pytest.mark.parametrize(("name", "where", "params"), SURFACES_AT, ids=SURFACE_IDS)
@pytest.mark.parametrize("loss", ["log_huber", "squared"])
def test_noise_free_points_give_the_parameters_of_a_surface_back(name: str, where: np.ndarray, params: dict[str, float], loss: str) -> None:
    result = fit_surface(where, SURFACES[name](where, **params), law=name, loss=loss, bootstrap=0)
    assert result.params == pytest.approx(params, rel=1e-6, abs=1e-9)
    assert result.status == "converged"


FLOOR = st.floats(0.05, 1.5)
RISE_OR_FALL = st.one_of(st.floats(0.3, 3.0), st.floats(-0.8, -0.2))  # in units of the floor, so that y stays positive
PLACE = st.floats(500.0, 2e4)  # inside the measured x, so that both levels can be seen


@given(floor=FLOOR, share=RISE_OR_FALL, place=PLACE, b=st.floats(0.4, 1.8), shape=st.floats(0.3, 2.0), unit=st.sampled_from([1e-4, 1.0, 1e6]))
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("name", ["power", "shifted_power", "m4", "exponential", "mmf", "weibull", "generalised_logistic"])
def test_any_parameters_are_found_again_in_any_unit_of_x(
    name: str, floor: float, share: float, place: float, b: float, shape: float, unit: float
) -> None:
    law = LAWS[name]
    size = floor * share
    drawn = {"E": floor, "A": size, "c": place, "b": b, "a": shape, "s": shape}
    if name == "power":
        drawn["A"] = size * 100.0**b
    if name == "shifted_power":
        drawn["A"] = size * (100.0 + place) ** b
    params = {one: drawn[one] for one in law.names}
    expected = law.rescale({one: np.array(value) for one, value in params.items()}, (unit,))
    result = fit(X / unit, law(X, **params), law=name)
    assert result.params == pytest.approx({one: float(value) for one, value in expected.items()}, rel=1e-6)


@given(
    floor=FLOOR,
    first=st.floats(0.05, 0.4),
    change=st.floats(0.3, 1.0),
    place=st.floats(800.0, 8e3),
    width=st.floats(0.1, 0.6),
    unit=st.floats(1e-3, 1e3),
)
@settings(max_examples=25, deadline=None)
def test_a_bend_is_found_again_wherever_it_is(floor: float, first: float, change: float, place: float, width: float, unit: float) -> None:
    params = {"E": floor, "A": 3.0 * 100.0**first, "b": first, "c1": change, "d1": place, "f1": width}
    law = LAWS["broken_power"]
    expected = law.rescale({one: np.array(value) for one, value in params.items()}, (unit,))
    result = fit(X / unit, law(X, **params), law="broken_power")
    assert result.params == pytest.approx({one: float(value) for one, value in expected.items()}, rel=1e-6)


@pytest.mark.parametrize(
    ("alias", "name"), [("m2", "power"), ("POW4", "shifted_power"), ("bnsl", "broken_power"), ("broken-power-2", "broken_power_2")]
)
def test_names_of_the_literature_are_known(alias: str, name: str) -> None:
    assert find_law(alias) is LAWS[name]


@pytest.mark.parametrize("a", [0.05, 0.5, 3.0])
def test_m4_solves_the_equation_it_is_defined_by(a: float) -> None:
    params = {"E": 0.3, "A": 2.0, "c": 500.0, "b": 0.7, "a": a}
    y = LAWS["m4"](np.geomspace(1e-3, 1e9, 200), **params)
    share = (y - 0.3) / 2.0
    inside = (share > 1e-9) & (share < 1.0 - 1e-9)
    left = np.log(share[inside]) - a * np.log1p(-share[inside])
    assert left == pytest.approx(-0.7 * np.log(np.geomspace(1e-3, 1e9, 200)[inside] / 500.0), abs=1e-5)


def test_bends_come_in_the_order_of_x_whichever_way_they_are_found() -> None:
    law, params = next((LAWS[name], params) for name, params in CURVES if name == "broken_power_2")
    start = {"b": 0.05} | {f"{letter}{k}": params[f"{letter}{3 - k}"] for letter in "cdf" for k in (1, 2)}
    result = fit(X, law(X, **params), law="broken_power_2", start=start)
    assert result.params == pytest.approx(params, rel=1e-6)
