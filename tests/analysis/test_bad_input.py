"""Whatever is given, the answer is a sentence that says what to do, or a fit whose status says what
cannot be known.
"""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis import LAWS, LOSSES, SURFACES, AnalysisError, Fit, SurfaceFit, fit, fit_surface
from analysis.fitting.result import Status

WILD = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1e300, 1e-300, -1e300, 5e-324, math.nan, math.inf, -math.inf]),
)
SIZE = st.one_of(st.floats(1e-3, 1e6), st.integers(1, 10).map(float))
LARGE = st.one_of(SIZE, st.floats(1e-29, 1e29), st.sampled_from([1e-30, 1e30, 1e-100, 1e100]))


@st.composite
def points(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """Points of any kind: wild, large, tame with repeats, all x equal, constant, rising, linear."""
    n = draw(st.integers(1, 14))
    one = draw(st.sampled_from([SIZE, SIZE, LARGE, WILD]))
    x = draw(st.one_of(st.lists(one, min_size=n, max_size=n), one.map(lambda value: [value] * n)))
    kind = draw(st.sampled_from(["any", "any", "constant", "sorted", "falling", "linear", "power", "mixed"]))
    if kind == "any":
        return x, draw(st.lists(one, min_size=n, max_size=n))
    if kind == "constant":
        return x, [draw(one)] * n
    if kind == "mixed":
        return x, draw(st.lists(st.floats(-10.0, 10.0), min_size=n, max_size=n))
    y = draw(st.lists(SIZE, min_size=n, max_size=n))
    if kind in ("sorted", "falling"):
        order = sorted(x, reverse=kind == "falling")
        return order, sorted(y)
    slope = draw(st.floats(-2.0, 2.0))
    with np.errstate(all="ignore"):
        line = np.array(x) * slope + 1.0 if kind == "linear" else np.abs(np.array(x)) ** slope
    return x, line.tolist()


@st.composite
def options(draw: st.DrawFn, n: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Settings that a caller may give, reasonable and not."""
    given: dict[str, Any] = {"loss": draw(st.sampled_from(list(LOSSES)))}
    if draw(st.booleans()):
        given["level"] = draw(st.sampled_from([0.5, 0.9, 0.999, 0.0, 1.0, 90.0, math.nan]))
    extra = draw(st.sampled_from(["", "", "cluster", "weights", "sigma", "fixed", "bounds", "y_range", "bootstrap", "start", "delta"]))
    number = st.one_of(st.floats(-2.0, 5.0), st.sampled_from([0.0, 1e-300, 1e300, math.nan, math.inf, 1e-9, 1e9, 1e30]))
    name = draw(st.sampled_from(names))
    if extra == "cluster":
        given["cluster"] = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    elif extra in ("weights", "sigma"):
        given[extra] = draw(st.lists(st.one_of(st.floats(0.0, 5.0), st.sampled_from([0.0, 0.0, 1e-300, 1e300, 1e-12])), min_size=n, max_size=n))
    elif extra in ("fixed", "start"):
        given[extra] = {name: draw(number)}
    elif extra == "bounds":
        given[extra] = {name: (draw(st.one_of(st.none(), number)), draw(st.one_of(st.none(), number)))}
    elif extra == "y_range":
        given[extra] = draw(st.sampled_from([(0.0, 1.0), (None, 1.0), (1.0, 0.0), (0.0, None), (-1e300, 1e300)]))
    elif extra == "bootstrap":
        given[extra] = draw(st.sampled_from([50, 60]))
    elif extra == "delta":
        given[extra] = draw(number)
    return given


def check_sentence(said: str) -> None:
    """Where, what and what to do: long enough for it, one line, ended."""
    assert len(said) > 20 and "\n" not in said and said.endswith((".", ")")), said  # noqa: PT018


def check(result: Fit | SurfaceFit) -> None:
    assert result.status in get_args(Status)
    assert (result.status == "converged") == (result.status_detail == "")
    assert result.summary().count("\n") >= len(result.params)
    again = type(result).from_json(result.to_json())
    assert again == result
    assert set(result.intervals) == set(result.params) == set(result.law_object.names)
    if result.status == "converged":
        assert all(math.isfinite(value) for value in result.params.values())
        assert math.isfinite(result.objective)
    for name, ends in result.intervals.items():
        if ends is not None:
            assert ends[0] <= ends[1], (name, ends)
    tables = result.plot_data()
    assert len(tables["points"]) == result.n


@given(data=st.data(), law=st.sampled_from(list(LAWS)))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_points_and_settings_give_a_sentence_or_a_fit_that_works(data: st.DataObject, law: str) -> None:
    x, y = data.draw(points())
    given_options = data.draw(options(len(x), LAWS[law].names))
    try:
        result = fit(x, y, law=law, **given_options)
    except AnalysisError as error:
        check_sentence(str(error))
        return
    check(result)
    where = np.array([min(x), max(x), 10 * max(x)])
    for kind in ("mean", "new run"):
        band = result.predict(where, kind=kind)
        known = np.isfinite(band.low) & np.isfinite(band.high)
        assert np.all(band.low[known] <= band.high[known])
    result.marginal(where)
    result.marginal(where, per=1.0)
    for target in (min(y), max(y), 0.5 * (min(y) + max(y))):
        needed = result.inverse(target)
        assert math.isnan(needed.x) or needed.x > 0
        check_sentence(needed.sentence + ".")


@given(data=st.data(), law=st.sampled_from(list(SURFACES)), bootstrap=st.sampled_from([0, 50]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_surface_points_and_settings_give_a_sentence_or_a_fit_that_works(data: st.DataObject, law: str, bootstrap: int) -> None:
    n = data.draw(st.integers(1, 16))
    one = data.draw(st.sampled_from([SIZE, SIZE, LARGE, WILD]))
    width = len(SURFACES[law].inputs)
    rows = data.draw(st.lists(st.lists(st.one_of(one, st.just(0.0)) if width == 2 else one, min_size=width, max_size=width), min_size=n, max_size=n))
    if law == "data_constrained" and data.draw(st.booleans()):
        rows = [[row[0], max(row[1], row[2]), min(row[1], row[2])] for row in rows]
    y = data.draw(st.one_of(st.lists(one, min_size=n, max_size=n), one.map(lambda value: [value] * n)))
    given_options = {"bootstrap": bootstrap} | data.draw(options(n, SURFACES[law].names))
    try:
        result = fit_surface(rows, y, law=law, **given_options)
    except AnalysisError as error:
        check_sentence(str(error))
        return
    check(result)
    for kind in ("mean", "new run"):
        result.predict(rows, kind=kind)
    result.marginal(rows, SURFACES[law].inputs[0])


CURVE = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])


@pytest.mark.parametrize(
    ("x", "y", "options", "sentence"),
    [
        ([1, 2], [1], {}, "x has 2 values and y has 1: give one y for each x."),
        ([], [], {}, "x and y are empty: give at least one point."),
        ([[1, 2]], [[1, 2]], {}, "x has shape (1, 2): give one value per point, in one dimension."),
        (["a"], [1], {}, "x holds something that is not a number: give numbers alone."),
        ([1, 2, 3], ["a", "b", "c"], {}, "y holds something that is not a number: give numbers alone."),
        ([1, 2, 3], [1, math.nan, 2], {}, "y[1] is nan (1 of 3 values are not finite): leave those points out before fitting."),
        ([1, math.inf, 3], [1, 2, 2], {}, "x[1] is inf (1 of 3 values are not finite): leave those points out before fitting."),
        (
            [0, 1, 2],
            [1, 2, 3],
            {},
            "x[0] is 0: zero is the baseline without pre-training, where a power law has no value: leave it out and draw it separately.",
        ),
        ([-1, 1, 2], [1, 2, 3], {}, "x[0] is -1: a power law needs x > 0: leave it out."),
        ([1, 1e300, 2], [1, 2, 3], {}, "x[1] is 1e+300: outside 1/1e+30 to 1e+30 powers overflow; give x in another unit."),
        ([1, 2, 3], [1, 1e-300, 3], {}, "y[1] is 1e-300: outside 1/1e+100 to 1e+100 powers overflow; give y in another unit."),
        (
            [1, 2, 3],
            [1, 0, -2],
            {},
            "y[1] is 0 and the loss 'log_huber' takes logarithms (2 of 3 values are not above zero): choose loss='huber', or leave those points out.",
        ),
        (
            [1, 1, 2],
            [1, 2, 3],
            {},
            "the law 'power' has 3 free parameters (E, A, b) and y is given at only 2 distinct x: measure at more x, pin a parameter "
            "with fixed={...}, or choose a law with fewer parameters.",
        ),
        (
            [1, 2, 3],
            [3, 2, 1],
            {"law": "shifted_power"},
            "the law 'shifted_power' has 4 free parameters (E, A, c, b) and y is given at only 3 distinct x: measure at more x, pin a parameter "
            "with fixed={...}, or choose a law with fewer parameters.",
        ),
        ([1, 2, 3], [1, 2, 3], {"law": "powr"}, f"there is no law 'powr' (did you mean 'power'?): choose one of {', '.join(LAWS)}."),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"loss": "log_hubr"},
            "there is no loss 'log_hubr' (did you mean 'log_huber'?): choose one of log_huber, log_squared, huber, squared.",
        ),
        ([1, 2, 3], [1, 2, 3], {"delta": -1.0}, "delta is -1: give the residual beyond which a point is an outlier, above zero."),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"delta": "auto"},
            "delta is 'auto': give the residual beyond which a point is an outlier, above zero.",
        ),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"metric": ["loss"]},
            "metric is ['loss'] (did you mean 'loss'?): choose one of loss, error, accuracy, percent, any, or give a y_range.",
        ),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"loss": "squared", "delta": 1.0},
            "delta is given and the loss 'squared' has none: leave it out, or choose 'log_huber' or 'huber'.",
        ),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"fixed": {"c": 1.0}},
            "fixed names 'c', which is no parameter of the law 'power' (there are: E, A, b): pin one of E, A, b.",
        ),
        ([1, 2, 3], [1, 2, 3], {"fixed": {"b": -1.0}}, "fixed gives b = -1, and the law 'power' needs b > 0: pin it to a positive number."),
        ([1, 2, 3], [1, 2, 3], {"fixed": {"b": "x"}}, "fixed gives b = 'x', which is no number: give a number."),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"fixed": {"E": 1, "A": 1, "b": 1}},
            "fixed pins every parameter of the law 'power': leave at least one to fit.",
        ),
        ([1, 2, 3], [1, 2, 3], {"bounds": {"b": (2, 1)}}, "bounds of b are (2, 1): give a low end below the high end."),
        ([1, 2, 3], [1, 2, 3], {"bounds": {"b": 2}}, "bounds of b are 2: give a pair (low, high), with None for an open side."),
        (
            [1, 2, 3],
            [1, 2, 3],
            {"bounds": {"b": (-2, 0)}},
            "bounds of b end at 0, and the law 'power' needs b > 0: raise the upper bound.",
        ),
        ([1, 2, 3], [1, 2, 3], {"bounds": {"b": (1, 2)}, "fixed": {"b": 1.5}}, "b is both pinned by fixed and confined by bounds: choose one."),
        ([1, 2, 3], [1, 2, 3], {"start": {"E": 1.0}}, "start leaves out b: give every parameter but E, A, or no start at all."),
        ([1, 2, 3], [1, 2, 3], {"bootstrap": 10}, "bootstrap is 10: give the number of samples, 0 for none, else 50 to 1,000,000, such as 1000."),
        ([1, 2, 3], [1, 2, 3], {"level": 90}, "level is 90: give the confidence level of the intervals as a share, such as 0.95."),
        ([1, 2, 3], [1, 2, 3], {"weights": [0, 0, 0]}, "all weights are zero, which leaves no point: give at least one a positive weight."),
        ([1, 2, 3], [1, 2, 3], {"weights": [1, -1, 1]}, "weights[1] is -1: give a finite number, zero or above."),
        ([1, 2, 3], [1, 2, 3], {"sigma": [1, 0, 1]}, "sigma[1] is 0: give a finite standard error above zero."),
        (
            [1, 2, 3],
            [3, 2, 1],
            {"sigma": [1e-9, 1.0, 1.0]},
            "sigma spans more than a factor of a million, so a few points would decide the fit alone: leave the others out, or give larger errors.",
        ),
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


@pytest.mark.parametrize("delta", [5e-324, 1e-300, 1e-160])
def test_a_delta_near_the_smallest_number_makes_a_fit(delta: float) -> None:
    check(fit([1.0, 1.0], [1.0, 2.0], law="last_value", delta=delta))
    check(fit(CURVE, 1.0 + CURVE**-0.5 + 0.1 * np.sin(CURVE), loss="huber", delta=delta))


def test_what_cannot_be_asked_of_a_fit_is_refused_in_a_sentence() -> None:
    result = fit(CURVE, 1.0 + CURVE**-0.5)
    for wrong, sentence in (
        ([0.0, 1.0], "the x to predict at hold 0: a law is defined for finite x above zero, so leave it out."),
        (["a"], "the x to predict at hold something that is not a number: give numbers."),
        ([[1.0]], "the x to predict at have shape (1, 1): give one number or a one-dimensional array."),
    ):
        with pytest.raises(AnalysisError) as error:
            result.predict(wrong)
        assert str(error.value) == sentence
    with pytest.raises(AnalysisError, match=r"kind is 'runs': choose 'mean' \(of many runs\)"):
        result.predict(1.0, kind="runs")  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="per is -1: give 'doubling' or a positive number in the unit of x, such as 1000"):
        result.marginal(1.0, per=-1.0)
    with pytest.raises(AnalysisError, match="per is None: give 'doubling' or a positive number in the unit of x, such as 1000"):
        result.marginal(1.0, per=None)  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="per is 'tripling': give 'doubling' or a positive number in the unit of x, such as 1000"):
        result.marginal(1.0, per="tripling")
    with pytest.raises(AnalysisError, match="the target is nan: give a finite value of y"):
        result.inverse(math.nan)
    with pytest.raises(AnalysisError, match="this fit has no bootstrap: ask for one with bootstrap=1000"):
        result.standard_errors()
    with pytest.raises(AnalysisError, match=r"this text is not a fit of this version: write it again with to_json\(\)"):
        Fit.from_json("{}")
    with pytest.raises(AnalysisError, match="this text is not a fit: it is not JSON"):
        Fit.from_json("nonsense")
    with pytest.raises(AnalysisError, match="this text is not a fit of this version"):
        SurfaceFit.from_json(result.to_json())
