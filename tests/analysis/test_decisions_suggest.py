import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, Fit, fit, fit_surface
from analysis.decisions import suggest_runs
from analysis.student import t_quantile

BASE = np.geomspace(100.0, 1e4, 12)
CELLS = np.geomspace(30.0, 1e5, 9)
HOURS = CELLS / 1e4 + 0.05


def noisy(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.asarray((1.0 + 8.0 * x**-0.3) * (1.0 + 0.003 * random.standard_normal(len(x))))


def curve(seed: int = 0) -> Fit:
    return fit(BASE, noisy(BASE, np.random.default_rng(seed)), loss="log_squared")


def test_the_predicted_half_width_is_that_of_a_fit_with_the_run_made() -> None:
    exact = (1.0 + 8.0 * BASE**-0.3) * np.exp(0.003 * np.tile([1.0, -1.0, -1.0, 1.0], 3))
    before = fit(BASE, exact, loss="log_squared")
    advice = suggest_runs(before, [1e5], ("predict", 1e5), 1.0)
    # a run that falls where the fit says leaves the optimum, so that only the information and the
    # degrees of freedom change
    on_curve = float(before.predict(1e5).mean[0])
    after = fit(np.append(BASE, 1e5), np.append(exact, on_curve), loss="log_squared")
    error = after._error(((1.0, np.array([1e5])),))[1][0] * (before.residual_sd or 0.0) / (after.residual_sd or 1.0)
    assert advice.chosen["half_width_after"][0] == pytest.approx(t_quantile(0.95, 10) * error, rel=1e-3)
    band = before._error(((1.0, np.array([1e5])),))[1][0] * t_quantile(0.95, 9)
    assert advice.half_width_now == pytest.approx(band, rel=1e-4)


def test_a_straight_line_is_pinned_down_as_its_closed_form_says() -> None:
    x = np.exp(np.linspace(-1.0, 1.0, 9))
    line = fit(x, 2.0 + 3.0 * np.log(x) + 0.1 * np.tile([1.0, -1.0, 0.0], 3), law="logarithmic", loss="squared")
    cells = np.exp(np.array([0.0, 1.0, 2.0]))
    advice = suggest_runs(line, cells, "B", 1.0).table.sort_values("x")
    t = np.log(x)
    spread = np.sum((t - t.mean()) ** 2)
    added = np.log(cells) ** 2 * len(x) / (len(x) + 1)  # of the sum of squares about the new mean
    expected = np.sqrt(spread / (spread + added)) * t_quantile(0.95, 8) / t_quantile(0.95, 7)
    assert advice["half_width_after"].to_numpy() / advice["half_width_now"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert advice.sort_values("rank")["x"].iloc[0] == pytest.approx(np.exp(2.0))


@pytest.mark.parametrize(
    ("quantity", "truth"), [("E", 1.0), (("predict", 1e6), 1.0 + 8.0 * 1e6**-0.3), (("inverse", 1.5), math.log(16.0 ** (1 / 0.3)))]
)
def test_suggested_runs_do_what_was_predicted_and_more_than_random_ones(quantity: object, truth: float) -> None:
    random = np.random.default_rng(0)
    simulations, budget = 40, 6.0
    errors: dict[str, list[float]] = {"suggested": [], "random": []}
    predicted = []

    def asked(result: Fit) -> float:
        if isinstance(quantity, str):
            return result.params[quantity]
        kind, argument = quantity  # type: ignore[misc]
        return float(result.predict(argument).mean[0]) if kind == "predict" else math.log(result.inverse(argument).x)

    first = curve(1)
    chosen = suggest_runs(first, CELLS, quantity, HOURS, runs=100, gpu_hours=budget).chosen["x"].to_numpy()  # type: ignore[arg-type]
    for _ in range(simulations):
        y = noisy(BASE, random)
        drawn, left = [], budget
        while (open_to := np.flatnonzero(left >= HOURS)).size:
            pick = int(random.choice(open_to))
            drawn.append(CELLS[pick])
            left -= HOURS[pick]
        for name, x in (("suggested", chosen), ("random", np.array(drawn))):
            # a bootstrap of one cluster each would be slow: no interval is needed here
            again = fit(np.append(BASE, x), np.append(y, noisy(x, random)), loss="log_squared", cluster=np.zeros(len(BASE) + len(x)))
            errors[name].append(asked(again) - truth)
    true_curve = fit(BASE, (1.0 + 8.0 * BASE**-0.3) * np.exp(0.003 * np.tile([1.0, -1.0, -1.0, 1.0], 3)), loss="log_squared")
    seen = suggest_runs(true_curve, CELLS, quantity, HOURS, runs=100, gpu_hours=budget)  # type: ignore[arg-type]
    scale = 0.003 / (true_curve.residual_sd or 1.0)
    predicted = float(seen.chosen["half_width_after"].iloc[-1]) / t_quantile(0.9, 9 + len(seen.chosen)) * scale
    realised = {name: float(np.sqrt(np.mean(np.square(one)))) for name, one in errors.items()}
    assert realised["suggested"] < realised["random"]
    assert predicted / 1.35 < realised["suggested"] < predicted * 1.35  # three standard errors of 40 simulations
    assert seen.half_width_now / t_quantile(0.95, 9) * scale > realised["suggested"]


def test_cheap_runs_win_where_they_tell_as_much() -> None:
    flat = suggest_runs(curve(), CELLS, "E", 1.0, runs=5)
    priced = suggest_runs(curve(), CELLS, "E", lambda x: x**2, runs=5)
    assert priced.chosen["x"].max() < flat.chosen["x"].max()
    assert (flat.table["reduction_per_gpu_hour"].diff().dropna() <= 0).all()
    assert (np.diff(flat.chosen["half_width_after"]) < 0).all()


def test_gpu_hours_are_not_overspent() -> None:
    advice = suggest_runs(curve(), CELLS, ("predict", 1e5), HOURS, runs=100, gpu_hours=3.0)
    assert advice.chosen["total_gpu_hours"].iloc[-1] <= 3.0
    none = suggest_runs(curve(), CELLS, "E", 10.0, gpu_hours=3.0)
    assert none.chosen.empty
    assert none.sentence() == "No run that the GPU-hours allow makes the parameter E more precise."


@pytest.mark.parametrize("bootstrap", [0, 60])
def test_a_surface_is_asked_by_inputs(bootstrap: int) -> None:
    X = np.array([(n, d) for n in np.geomspace(1e7, 1e9, 4) for d in np.geomspace(1e9, 1e11, 4)])
    y = (1.69 + 406.4 * X[:, 0] ** -0.34 + 410.7 * X[:, 1] ** -0.28) * (1.0 + 0.005 * np.random.default_rng(0).standard_normal(16))
    surface = fit_surface(X, y, loss="log_squared", bootstrap=bootstrap)
    for quantity in ("exponent", "E", ("predict", [1e10, 1e12])):
        advice = suggest_runs(surface, [(1e7, 1e9), (1e9, 1e11), (1e10, 1e9)], quantity, lambda X: X[:, 0] * X[:, 1] / 1e18, runs=3)  # type: ignore[arg-type]
        assert (advice.table["half_width_after"] < advice.table["half_width_now"]).all()
        assert list(advice.table)[:2] == ["N", "D"]
        assert json.loads(advice.to_json())["quantity"] == advice.quantity
    assert advice.table.set_index("N").loc[1e10, "extrapolated"]


def test_clusters_and_lopsided_parameters_are_cautioned_of() -> None:
    random = np.random.default_rng(2)
    x = np.tile(np.geomspace(100.0, 1e4, 5), 4)
    result = fit(x, noisy(x, random), loss="log_squared", cluster=np.repeat(np.arange(4), 5))
    advice = suggest_runs(result, CELLS, "E", 1.0)
    assert "counted as if it were independent: give each a seed of its own" in advice.summary()
    assert "jackknife spread" in advice.method


@pytest.mark.parametrize(
    ("candidates", "quantity", "cost", "settings", "message"),
    [
        ([100.0], "F", 1.0, {}, r"the quantity 'F' is not known .*give a parameter \(E, A, b\)"),
        ([100.0], "exponnent", 1.0, {}, r"did you mean 'exponent'\?"),
        ([100.0], ("predikt", 5.0), 1.0, {}, r"did you mean 'predict'\?"),
        ([100.0], ("predict", -5.0), 1.0, {}, "the x to predict at hold -5"),
        ([100.0], ("inverse", 0.5), 1.0, {}, r"the curve never reaches y = 0\.5"),
        ([-1.0], "E", 1.0, {}, "candidates hold -1"),
        ([100.0, 200.0], "E", [1.0, 0.0], {}, r"cost\[1\] is 0: give the GPU-hours of one run, above zero"),
        ([100.0, 200.0], "E", [1.0, 1.0, 1.0], {}, r"cost has shape \(3,\) for 2 candidates"),
        ([100.0], "E", 1.0, {"runs": 0}, "runs is 0: give how many runs to choose"),
        ([100.0], "E", 1.0, {"gpu_hours": -1.0}, "gpu_hours is -1"),
        ([100.0], "E", 1.0, {"weight": 0.0}, "weight is 0"),
    ],
)
def test_wrong_questions_are_refused_in_a_sentence(
    candidates: object, quantity: object, cost: object, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(AnalysisError, match=message):
        suggest_runs(curve(), candidates, quantity, cost, **settings)  # type: ignore[arg-type]


def test_a_pinned_parameter_and_a_fit_without_spread_have_nothing_to_gain() -> None:
    with pytest.raises(AnalysisError, match="b is pinned, so no run makes it more precise"):
        suggest_runs(fit(BASE, np.array(curve().y), fixed={"b": 0.3}), CELLS, "exponent", 1.0)
    with pytest.raises(AnalysisError, match="3 points for 3 free parameters leave no degrees of freedom"):
        suggest_runs(fit(BASE[:3], 1.0 + 8.0 * BASE[:3] ** -0.3), CELLS, "E", 1.0)


def test_several_targets_count_together_and_none_is_dropped() -> None:
    ends = suggest_runs(curve(), CELLS, [("predict", 20.0), ("predict", 1e6)], 1.0, runs=6)
    assert ends.chosen["x"].min() < 200.0
    assert ends.chosen["x"].max() > 2e4
    assert ends.quantity == "y at x = 20.0 and y at x = 1,000,000"
    both = suggest_runs(curve(), CELLS, ("predict", [20.0, 1e6]), 1.0, runs=6)
    assert both.chosen.equals(ends.chosen)
    one = suggest_runs(curve(), CELLS, ("predict", 1e6), 1.0, runs=6)
    assert not one.chosen.equals(ends.chosen)
    X = np.array([(n, d) for n in np.geomspace(1e7, 1e9, 4) for d in np.geomspace(1e9, 1e11, 4)])
    y = (1.69 + 406.4 * X[:, 0] ** -0.34 + 410.7 * X[:, 1] ** -0.28) * (1.0 + 0.005 * np.random.default_rng(0).standard_normal(16))
    surface = fit_surface(X, y, loss="log_squared", bootstrap=0)
    wide = suggest_runs(surface, X, ("predict", [[1e10, 1e9], [1e7, 1e12]]), 1.0, runs=4)
    assert wide.quantity == "y at N = 1e+10, D = 1e+09 and y at N = 1e+07, D = 1e+12"
    assert {1e7, 1e9} <= set(wide.chosen["N"]) or {1e9, 1e11} <= set(wide.chosen["D"])


def test_a_parameter_without_a_unit_has_no_empty_brackets() -> None:
    def own(x: np.ndarray, floor: float, size: float, slope: float) -> np.ndarray:
        return np.asarray(floor + size * x**-slope)

    said = suggest_runs(fit(BASE, noisy(BASE, np.random.default_rng(0)), law=own), CELLS, "floor", 1.0).sentence()
    assert "()" not in said
    assert "If the law is right, its 95% interval is expected to shrink from +-" in said


def test_each_candidate_is_taken_once_and_dear_runs_by_an_exponent_of_their_cost() -> None:
    again = suggest_runs(curve(), CELLS, "E", HOURS, runs=8)
    once = suggest_runs(curve(), CELLS, "E", HOURS, runs=8, once=True)
    assert again.chosen["x"].duplicated().any()
    assert not once.chosen["x"].duplicated().any()
    cheap = suggest_runs(curve(), CELLS, "E", HOURS, runs=8, gpu_hours=30.0)
    dear = suggest_runs(curve(), CELLS, "E", HOURS, runs=8, gpu_hours=30.0, cost_exponent=0.0)
    assert dear.chosen["cost_gpu_hours"].mean() > cheap.chosen["cost_gpu_hours"].mean()
    assert dear.chosen["total_gpu_hours"].iloc[-1] <= 30.0


def test_gains_are_averaged_over_laws_in_doubt() -> None:
    laws = [fit(BASE, np.array(curve().y), law=law, loss="log_squared", weights="equal") for law in ("power", "logarithmic")]
    alone = [suggest_runs(one, CELLS, ("predict", 1e6), 1.0).table.set_index("x")["half_width_after"] for one in laws]
    mixed = suggest_runs(laws, CELLS, ("predict", 1e6), 1.0, law_weights=[1.0, 0.0]).table.set_index("x")["half_width_after"]
    assert mixed.to_numpy() == pytest.approx(alone[0].loc[mixed.index].to_numpy())
    both = suggest_runs(laws, CELLS, ("predict", 1e6), 1.0)
    assert "averaged over 2 laws" in both.method
    with pytest.raises(AnalysisError, match="law_weights has 1 numbers for 2 fits"):
        suggest_runs(laws, CELLS, "exponent", 1.0, law_weights=[1.0])


def test_runs_one_after_another_shrink_a_straight_line_as_its_closed_form_says() -> None:
    x = np.exp(np.linspace(-1.0, 1.0, 9))
    line = fit(x, 2.0 + 3.0 * np.log(x) + 0.1 * np.tile([1.0, -1.0, 0.0], 3), law="logarithmic", loss="squared")
    chosen = suggest_runs(line, [np.exp(2.0)], "B", 1.0, runs=3).chosen
    spread, added = np.sum(np.log(x) ** 2), np.arange(1, 4)
    after = spread + 4.0 * 9 * added / (9 + added)  # of the sum of squares about the new mean
    quantiles = np.array([t_quantile(0.95, 7 + int(number)) for number in added])
    now = suggest_runs(line, [np.exp(2.0)], "B", 1.0).half_width_now / t_quantile(0.95, 7)
    assert chosen["half_width_after"].to_numpy() == pytest.approx(now * np.sqrt(spread / after) * quantiles, rel=1e-6)


def test_the_table_is_ordered_by_what_the_runs_are_chosen_by() -> None:
    for exponent in (0.0, 0.5, 1.0):
        table = suggest_runs(curve(), CELLS, ("predict", 1e5), HOURS, cost_exponent=exponent).table
        variance = (table["half_width_after"] / t_quantile(0.95, 10)) ** 2 / (table["half_width_now"] / t_quantile(0.95, 9)) ** 2
        worth = (1.0 - variance) / table["cost_gpu_hours"] ** exponent
        assert (np.diff(worth) <= 0).all()


def test_the_first_row_is_the_first_run_chosen_where_widths_would_rank_otherwise() -> None:
    """A cheap run takes more off the half-width per GPU-hour, the other more off the variance."""
    differed = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        advice = suggest_runs(curve(seed), CELLS, ("predict", 1e5), np.exp(random.uniform(-1.5, 1.5, len(CELLS))))
        assert advice.table["x"][0] == advice.chosen["x"][0]
        differed += int(advice.table["reduction_per_gpu_hour"].idxmax() != 0)
    assert differed > 0


def test_what_laws_in_doubt_say_counts_by_their_weights() -> None:
    laws = [fit(BASE, np.array(curve().y), law=law, loss="log_squared", weights="equal") for law in ("power", "logarithmic")]
    for weights in ([0.9, 0.1], [0.1, 0.9]):
        advice = suggest_runs(laws, CELLS, ("predict", 1e6), 1.0, law_weights=weights)
        alike = advice.table.set_index("x")["half_width_after"]
        assert advice.chosen["half_width_after"][0] == pytest.approx(alike[advice.chosen["x"][0]])


def test_a_run_gains_a_degree_of_freedom_unless_the_points_come_in_clusters() -> None:
    """A run of next to no weight tells nothing, so that only Student's t changes."""
    x = np.tile(np.geomspace(100.0, 1e4, 5), 4)
    y = noisy(x, np.random.default_rng(2))
    alone, clustered = (fit(x, y, loss="log_squared", cluster=one) for one in (None, np.repeat(np.arange(4), 5)))
    for one, freedom, gained in ((alone, 17, 1), (clustered, 3, 0)):
        advice = suggest_runs(one, [1e4], ("predict", 1e5), 1.0, weight=1e-9)
        expected = t_quantile(0.95, freedom + gained) / t_quantile(0.95, freedom)
        assert advice.table["half_width_after"][0] / advice.half_width_now == pytest.approx(expected, rel=1e-6)


def test_a_lopsided_interval_is_cautioned_of() -> None:
    line = curve()
    for down, up, expected in ((0.4, 0.1, True), (0.1, 0.4, True), (0.2, 0.1, False), (0.1, np.inf, True)):
        one = dataclasses.replace(line, intervals={**line.intervals, "E": (line.params["E"] - down, line.params["E"] + up)})
        cautions = suggest_runs(one, CELLS, "E", 1.0).cautions
        assert any("the interval of E is lopsided" in caution for caution in cautions) == expected


def test_a_parameter_on_its_bound_is_refused_in_a_sentence() -> None:
    """A curve that bends downwards has no floor: E ends at 0, and no run moves it."""
    y = 8.0 * BASE**-0.3 * np.exp(-0.02 * (np.log(BASE) - 7.0) ** 2)
    bent = fit(BASE, noisy(BASE, np.random.default_rng(0)) * y / (1.0 + 8.0 * BASE**-0.3), loss="log_squared", metric="loss")
    assert bent.params["E"] == 0.0
    with pytest.raises(AnalysisError, match="the parameter E does not move with the fit's parameters, or lies on a bound"):
        suggest_runs(bent, CELLS, "E", 1.0)


def test_a_suggestion_is_in_the_names_of_the_table() -> None:
    x = np.geomspace(100.0, 1e4, 10)
    table = pd.DataFrame({"n_labels": x, "err": 0.1 + 3.0 * x**-0.5 + 0.001 * np.sin(np.arange(10.0))})
    found = fit(table, x="n_labels", y="err")
    said = suggest_runs(found, [2e4], ("predict", 1e5), 1.0).sentence()
    assert said.startswith("To make err at n_labels = 100,000 more precise, run next: 1 at n_labels = 20,000 (1.00 GPU-hours).")
    assert "(of err)" in said
    with pytest.raises(AnalysisError, match="candidates hold -5: a law is defined for finite x above zero, so leave it out"):
        suggest_runs(found, [-5.0], ("predict", 1e5), 1.0)
