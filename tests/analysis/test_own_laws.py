"""Laws of the caller's own: they are recovered exactly, and agree with the same law built in."""

from __future__ import annotations

import json
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import AnalysisError, Fit, Law, LawChoice, Parameter, SurfaceFit, choose_law, diminishing_returns, fit, fit_surface, suggest_runs
from analysis.decisions import best_split

X = np.geomspace(100.0, 1e5, 20)
SURFACE = np.array([(n, d) for n in np.geomspace(1e7, 1e10, 5) for d in np.geomspace(1e9, 1e12, 5)])


def floored(x: Any, floor: Any, size: Any, slope: Any) -> Any:
    return floor + size * x**-slope


def decay(x: Any, floor: Any, size: Any, rate: Any) -> Any:
    return floor + size * np.exp(-rate * x)


def one_at_a_time(x: Any, floor: float, size: float, place: float) -> list[float]:
    return [floor + size * math.exp(-value / place) for value in x]


def shifted(x: Any, floor: Any, size: Any, place: Any, slope: Any) -> Any:
    return floor + size * (x + place) ** -slope


def sigmoid(x: Any, low: Any, high: Any, middle: Any, steepness: Any) -> Any:
    return low + (high - low) / (1.0 + np.exp(-steepness * (np.log(x) - middle)))


def kinked(x: Any, base: Any, slope: Any, place: Any = 500.0) -> Any:
    return base + slope * np.abs(np.log(x / place))  # no complex step: |z| of a complex number is another function


def half_way(x: Any, top: Any, place: Any, base: int = 1, note: str = "an option") -> Any:
    return base + top * x / (place + x)


def surface(X: Any, floor: Any, size: Any, alpha: Any, other: Any, beta: Any) -> Any:
    return floor + size * X[:, 0] ** -alpha + other * X[:, 1] ** -beta


def noisy(seed: int = 0) -> np.ndarray:
    return np.asarray(floored(X, 1.69, 406.4, 0.34)) * (1.0 + 0.01 * np.random.default_rng(seed).standard_normal(len(X)))


OWN: list[tuple[Callable[..., Any], tuple[float, ...]]] = [
    (floored, (1.69, 406.4, 0.34)),
    (floored, (0.9, -3.0, 0.4)),
    (decay, (1.0, 2.0, 1e-4)),
    (one_at_a_time, (1.0, 2.0, 3000.0)),
    (shifted, (1.0, 50.0, 500.0, 0.6)),
    (sigmoid, (0.1, 0.9, 7.0, 1.3)),
    (kinked, (1.0, 0.3, 800.0)),
    (half_way, (0.9, 700.0, 2.0)),
]


@pytest.mark.parametrize(("law", "values"), OWN, ids=[f"{law.__name__}-{index}" for index, (law, _) in enumerate(OWN)])
def test_noise_free_points_give_the_parameters_back_with_no_start(law: Callable[..., Any], values: tuple[float, ...]) -> None:
    result = fit(X, np.asarray(law(X, *values)), law=law)
    assert result.status == "converged"
    assert list(result.params.values()) == pytest.approx(values, rel=1e-6)
    assert list(result.params) == list(law.__code__.co_varnames[1 : 1 + len(values)])
    assert result.law == law.__name__


def test_a_surface_of_ones_own_is_recovered_and_split_over_a_budget() -> None:
    truth = (1.69, 406.4, 0.34, 410.7, 0.28)
    result = fit_surface(SURFACE, surface(SURFACE, *truth), law=surface, bootstrap=0)
    assert list(result.params.values()) == pytest.approx(truth, rel=1e-6)
    known = fit_surface(SURFACE, surface(SURFACE, *truth), bootstrap=0)
    assert result.inputs == ("x1", "x2")
    assert result.predict(SURFACE[:3] * 2).mean == pytest.approx(known.predict(SURFACE[:3] * 2).mean, rel=1e-9)
    assert result.marginal(SURFACE[:3], by="x2").mean == pytest.approx(known.marginal(SURFACE[:3], by="D").mean, rel=1e-6)
    split = best_split(result, 1e21, {"product": 6.0})
    assert list(split.inputs.values()) == pytest.approx(list(best_split(known, 1e21, {"product": 6.0}).inputs.values()), rel=1e-5)
    assert SurfaceFit.from_json(result.to_json(), surface).predict(SURFACE[:3]).mean == pytest.approx(result.predict(SURFACE[:3]).mean)


BUILT = Law(
    name="floored",
    parameters=(Parameter(name="floor", role="linear"), Parameter(name="size", role="linear"), Parameter(name="slope", role="positive")),
    function=floored,
)
SAME = {"floor": "E", "size": "A", "slope": "b"}


@pytest.mark.parametrize("law", [floored, BUILT], ids=["function", "Law"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cluster": np.arange(20) % 4},
        {"bootstrap": 60},
        {"bounds": {"slope": (0.2, 0.3)}},
        {"fixed": {"floor": 1.6}},
        {"start": {"slope": 0.5}},
        {"loss": "squared", "weights": np.linspace(1, 2, 20)},
    ],
    ids=str,
)
def test_the_same_law_built_in_gives_the_same_answers(law: Any, settings: dict[str, Any]) -> None:
    renamed = {key: {SAME[name]: value for name, value in given.items()} if isinstance(given, dict) else given for key, given in settings.items()}
    renamed.setdefault("weights", "equal")  # those of a law of one's own, where nothing is said
    own, known = fit(X, noisy(), law=law, **settings), fit(X, noisy(), metric="any", **renamed)
    assert own.status == known.status
    assert own.objective == pytest.approx(known.objective, rel=1e-9)
    assert [*own.params.values()] == pytest.approx([*known.params.values()], rel=1e-5)
    assert own.interval_method == known.interval_method
    for name, twin in SAME.items():
        ends, expected = own.intervals[name], known.intervals[twin]
        if name == "floor" and "cluster" in settings:
            continue  # an asymptote is jackknifed as it is, and this law has not said which parameter that is
        assert (ends is None) == (expected is None)
        assert ends is None or ends == pytest.approx(expected, rel=1e-3), name
    for kind in ("mean", "new run"):
        one, other = own.predict([50.0, 1e3, 1e6], kind), known.predict([50.0, 1e3, 1e6], kind)
        assert one.mean == pytest.approx(other.mean, rel=1e-5)
        assert one.high == pytest.approx(other.high, rel=1e-3)
    assert own.marginal(1e4).mean == pytest.approx(known.marginal(1e4).mean, rel=1e-4)
    assert own.inverse(8.0).x == pytest.approx(known.inverse(8.0).x, rel=1e-4)
    assert list(own.plot_data()["curve"].columns) == list(known.plot_data()["curve"].columns)
    assert "floored(x, floor, size, slope)" in own.summary()
    again = Fit.from_json(own.to_json(), law)
    assert again == own
    assert again.predict([1e6]).to_frame().equals(own.predict([1e6]).to_frame())
    assert pickle.loads(pickle.dumps(own)).predict([1e6]).low == own.predict([1e6]).low


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_parameters_of_any_size_have_honest_errors(unit: float) -> None:
    y = np.asarray(decay(X, 1.0, 2.0, 1e-4)) * (1.0 + 0.01 * np.random.default_rng(1).standard_normal(len(X)))
    own, known = fit(X * unit, y, law=decay), fit(X * unit, y, law="exponential", metric="any", weights="equal")
    assert own.params["rate"] == pytest.approx(1.0 / known.params["c"], rel=1e-5)
    ends, twin = own.intervals["rate"], known.intervals["c"]
    assert ends is not None
    assert twin is not None
    assert ends == pytest.approx((1.0 / twin[1], 1.0 / twin[0]), rel=1e-3)


def test_a_bound_that_is_met_is_named() -> None:
    result = fit(X, noisy(), law=floored, bounds={"slope": (0.5, None)})
    assert result.status == "at bound"
    assert result.status_detail == "slope ended on its lower bound 0.5"


def test_an_own_law_is_chosen_among_known_ones_and_forecasts() -> None:
    def bowl(x: Any, base: Any, size: Any, place: Any = 1000.0) -> Any:
        return base + size * np.log(x / place) ** 2

    y = np.asarray(bowl(X, 2.0, 0.1, 3000.0)) * (1.0 + 0.002 * np.random.default_rng(2).standard_normal(len(X)))
    choice = choose_law(X, y, candidates=["power", "mmf", bowl])
    assert choice.law == "bowl"
    assert choice.fit.params["place"] == pytest.approx(3000.0, rel=0.02)
    assert choice.predict(2e5).mean[0] == pytest.approx(bowl(2e5, 2.0, 0.1, 3000.0), rel=0.05)
    again = LawChoice.from_json(choice.to_json(), [bowl])
    assert again == choice
    assert again.predict([2e5]).low == choice.predict([2e5]).low
    with pytest.raises(AnalysisError, match=r"has your own law 'bowl' among its candidates.*laws=\[bowl\]"):
        LawChoice.from_json(choice.to_json())


def test_a_rising_score_is_fitted_by_its_own_law_and_not_by_its_gap() -> None:
    y = np.asarray(half_way(X, 0.9, 700.0, 0)) * (1.0 + 0.003 * np.random.default_rng(3).standard_normal(len(X)))
    choice = choose_law(X, y, candidates=["mmf", half_way], y_range=(0, 1))
    assert choice.mirror is None
    assert choice.predict(1e6).high[0] <= 1.0


def test_decisions_follow_from_an_own_law() -> None:
    own, known = fit(X, noisy(), law=floored), fit(X, noisy(), weights="equal")
    assert diminishing_returns(own, price=1e-4).price.x == pytest.approx(diminishing_returns(known, price=1e-4).price.x, rel=1e-3)  # type: ignore[union-attr]
    one, other = (suggest_runs(result, [1e3, 1e6], ("predict", 1e7), 1.0) for result in (own, known))
    assert one.table["half_width_after"].to_numpy() == pytest.approx(other.table["half_width_after"].to_numpy(), rel=1e-3)
    with pytest.raises(AnalysisError, match="the law 'floored' has no exponent b: name one of floor, size, slope"):
        suggest_runs(own, [1e3], "exponent", 1.0)


def no_parameters(x: Any) -> Any:
    return x


def starred(x: Any, *values: Any) -> Any:
    return x


def of_three(x: Any, a: Any) -> Any:
    return np.ones(3) * a


def not_finite(x: Any, a: Any) -> Any:
    return x * np.nan


def broken(x: Any, a: Any) -> Any:
    raise RuntimeError("no such table")


def out_of_domain(x: Any, a: Any) -> Any:
    raise ValueError("math domain error")


def words(x: Any, a: Any) -> Any:
    return np.array(["one"] * len(x))


@pytest.mark.parametrize(
    ("law", "sentence"),
    [
        (no_parameters, r"the law 'no_parameters' has no parameters to fit: write it as f\(x, a, b\), x first\."),
        (starred, r"the law 'starred' takes \*values, which gives its parameters no names"),
        (of_three, r"the law 'of_three' returned shape \(3,\) for 20 points: return one y for each x\."),
        (not_finite, r"the law 'not_finite' is not finite at some x wherever it was tried, such as a = 1: give start="),
        (broken, r"the law 'broken' raised RuntimeError at a = 1: no such table"),
        (out_of_domain, r"the law 'out_of_domain' raised ValueError at a = 1: math domain error"),
        (words, r"the law 'words' returned something that is not numbers"),
        (lambda x, a: a * x, r"the law is a lambda, which has no name to report it by: define the function with def\."),
        (3, r"law is 3: give the name of a law, a function f\(x, a, b\), or a Law\."),
        ("powre", r"there is no law 'powre'"),
    ],
)
def test_what_is_no_law_is_refused_in_a_sentence(law: Any, sentence: str) -> None:
    with pytest.raises(AnalysisError, match=sentence) as refused:
        fit(X, noisy(), law=law)
    assert "\n" not in str(refused.value)


def test_settings_that_an_own_law_does_not_have_are_refused() -> None:
    with pytest.raises(AnalysisError, match="fixed names 'E', which is no parameter of the law 'floored'"):
        fit(X, noisy(), law=floored, fixed={"E": 1.0})
    with pytest.raises(AnalysisError, match="start names 'b', which is no parameter"):
        fit(X, noisy(), law=floored, start={"b": 1.0})
    with pytest.raises(AnalysisError, match="two candidates are named 'floored'"):
        choose_law(X, noisy(), candidates=[floored, BUILT])


def test_a_law_that_is_not_whole_is_refused() -> None:
    with pytest.raises(AnalysisError, match="the law 'empty' has no parameters, so there is nothing to fit"):
        Law(name="empty", parameters=(), function=floored)
    with pytest.raises(AnalysisError, match="the law 'half' has no parameter 'E' to be its asymptote"):
        Law(name="half", parameters=(Parameter(name="a", role="real"),), function=floored, asymptote="E")
    scalar = Law(name="scalar", parameters=(Parameter(name="a", role="real"),), function=lambda x, a: np.float64(1.0))
    with pytest.raises(AnalysisError, match=r"the law 'scalar' returned y of shape \(\)"):
        fit(X, noisy(), law=scalar)


def test_a_stored_fit_says_which_function_it_needs() -> None:
    text = fit(X, noisy(), law=floored).to_json()
    assert json.loads(text)["own_law"]["name"] == "floored"
    with pytest.raises(
        AnalysisError, match=r"your own law 'floored', and JSON does not hold its function: give it again, Fit.from_json\(text, law=floored\)"
    ):
        Fit.from_json(text)
    with pytest.raises(AnalysisError, match=r"is of the law floored\(x, floor, size, slope\) and was given decay\(x, floor, size, rate\)"):
        Fit.from_json(text, decay)


def test_fits_written_before_own_laws_are_read() -> None:
    result = fit(X, noisy())
    fields = json.loads(result.to_json())
    error = fields.pop("extrapolation_error")
    old = {**fields, "format": 2, "drift": {"wander": error["per_efold"], "origins": error["origins"], "miss": error["last_residual"]}}
    del old["own_law"]
    assert Fit.from_json(json.dumps(old)) == result


@pytest.mark.parametrize(("heading", "printed"), [("Your own law", ["{'top': 0.8", "saturating"]), ("Decisions", ["is best split as", "run next"])])
def test_the_snippets_of_the_documentation_run(heading: str, printed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "laws.md").read_text(encoding="utf-8")
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    snippets = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, heading, "exec"), {})
    text = capsys.readouterr().out
    assert all(part in text for part in printed)
