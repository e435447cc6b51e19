import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, SurfaceFit, fit, fit_surface
from analysis.decisions import best_split, combine_additive, compute_optimal_exponent

E, A, ALPHA, B, BETA = 1.69, 406.4, 0.34, 410.7, 0.28  # Hoffmann et al. 2022
GRID = np.array([(n, d) for n in np.geomspace(1e7, 1e10, 6) for d in np.geomspace(1e9, 1e12, 6)])
TRUTH = E + A * GRID[:, 0] ** -ALPHA + B * GRID[:, 1] ** -BETA


def closed_form(budget: float) -> float:
    """Hoffmann et al. 2022, eq. 4."""
    return float((ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (budget / 6.0) ** (BETA / (ALPHA + BETA)))


def surface(seed: int | None = None, *, bootstrap: int = 0) -> SurfaceFit:
    noise = 0.0 if seed is None else 0.01 * np.random.default_rng(seed).standard_normal(len(TRUTH))
    return fit_surface(GRID, TRUTH * (1.0 + noise), loss="log_squared", bootstrap=bootstrap)


def transfer() -> SurfaceFit:
    X = np.array([(p, f) for p in (0.0, 1e3, 1e4, 1e5, 1e6) for f in np.geomspace(100.0, 1e4, 5)])
    y = 0.8 - 0.25 * (1.0 + X[:, 0] / 2000.0) ** -0.5 - 1.2 * X[:, 1] ** -0.4
    return fit_surface(X, y, law="additive", loss="squared", bootstrap=0)


@pytest.mark.parametrize("budget", [1e18, 1e20, 1e25])
@pytest.mark.parametrize("prices", [{"product": 6.0}, "6 N D", "6e+0*N*D"])
def test_the_split_of_compute_is_the_closed_form(budget: float, prices: dict[str, float] | str) -> None:
    split = best_split(surface(), budget, prices)
    assert split.inputs["N"] == pytest.approx(closed_form(budget), rel=1e-4)
    assert 6.0 * split.inputs["N"] * split.inputs["D"] == pytest.approx(budget, rel=1e-9) == split.spent
    assert split.extrapolated == (("N", "D") if budget == 1e25 else ("D",) if split.inputs["D"] < 1e9 else ())
    assert split.spent_on is None


def test_no_split_on_the_line_is_better() -> None:
    split = best_split(surface(1), 1e20, {"product": 6.0})
    assert (split.table["worse_by"] >= 0).all()
    assert split.table.set_index("factor").loc[1.0, "worse_by"] == 0
    assert split.table[["N", "D"]].prod(axis=1).to_numpy() == pytest.approx(1e20 / 6.0, rel=1e-9)
    assert split.plot_data() is split.table


def test_linear_prices_and_a_fixed_cost_meet_equal_returns_per_price() -> None:
    split = best_split(transfer(), 1100.0, "0.001 P + 0.3 F + 100")
    P, F = split.inputs["P"], split.inputs["F"]
    assert pytest.approx(1000.0, rel=1e-9) == 0.001 * P + 0.3 * F
    by_P, by_F = 0.25 * 0.5 / 2000.0 * (1.0 + P / 2000.0) ** -1.5, 1.2 * 0.4 * F**-1.4
    assert by_P / 0.001 == pytest.approx(by_F / 0.3, rel=1e-3)
    assert split.spent_on == pytest.approx({"P": 0.001 * P, "F": 0.3 * F})
    assert split.better == "higher"


def test_pre_training_that_does_not_pay_is_left_out() -> None:
    split = best_split(transfer(), 1000.0, {"P": 10.0, "F": 0.3})
    assert split.inputs["P"] == 0.0
    assert split.at_bound == {"P": "lower"}
    assert split.inputs["F"] == pytest.approx(1000.0 / 0.3)
    assert split.extrapolated == ()  # P = 0 was measured
    json.loads(split.to_json())


def test_bounds_are_kept_and_the_rest_is_spent_elsewhere() -> None:
    split = best_split(surface(), 1e20, {"product": 6.0}, bounds={"N": (None, 1e8)})
    assert split.inputs == pytest.approx({"N": 1e8, "D": 1e20 / 6e8}, rel=1e-9)
    assert split.at_bound == {"N": "upper"}
    both = best_split(surface(), 1e25, {"product": 6.0}, bounds={"N": (1e8, 1e9), "D": (1e9, 1e12)})
    assert both.spent == pytest.approx(6e21)
    assert "of it unspent" in both.sentence()
    free = best_split(surface(), 1e9, {"N": 1.0}, bounds={"D": (0, 1e12)})  # D costs nothing, so all of it is used
    assert free.inputs == pytest.approx({"N": 1e9, "D": 1e12}, rel=1e-9)
    fixed = best_split(surface(2), 1e20, {"product": 6.0}, bounds={"N": (1e9, 1e9)})
    assert fixed.intervals["N"] is None
    assert "N = 1e+09 (no interval: its bounds fix it)" in fixed.sentence()


@pytest.mark.parametrize("bootstrap", [0, 100])
def test_intervals_cover_the_best_split_and_the_exponent(bootstrap: int) -> None:
    random = np.random.default_rng(0)
    held = np.zeros(2)
    count = 100
    for seed in random.integers(1_000_000, size=count):
        found = surface(int(seed), bootstrap=bootstrap)
        split = best_split(found, 1e20, {"product": 6.0}).intervals["N"]
        grown = compute_optimal_exponent(found).interval
        assert split is not None
        assert grown is not None
        held += [split[0] <= closed_form(1e20) <= split[1], grown[0] <= BETA / (ALPHA + BETA) <= grown[1]]
    assert np.all((held / count >= 0.90) & (held / count <= 0.99)), held / count


def test_curves_whose_gains_add_up_are_split_as_their_surface() -> None:
    base = {"N": 1e8, "D": 1e10}
    N, D = np.geomspace(1e7, 1e10, 8), np.geomspace(1e9, 1e12, 8)
    fits = {
        "N": fit(N, E + B * base["D"] ** -BETA + A * N**-ALPHA),
        "D": fit(D, E + A * base["N"] ** -ALPHA + B * D**-BETA),
    }
    model = combine_additive(fits, base)
    split = best_split(model, 1e20, "6 N D")
    assert split.inputs["N"] == pytest.approx(closed_form(1e20), rel=1e-3)
    assert split.y == pytest.approx(best_split(surface(), 1e20, "6 N D").y, rel=1e-6)
    assert split.assumption.startswith("gains add up: the gain from N or D over the baseline does not depend on the others")
    assert model.cautions == ()
    shifted = dict(fits, D=fit(D, np.array(fits["D"].y) * (1.0 + 0.001 * np.random.default_rng(0).standard_normal(8)) + 0.2))
    assert "does not agree with the mean" in combine_additive(shifted, base).cautions[0]


def test_four_inputs_are_split_as_lagrange_says() -> None:
    x = np.geomspace(10.0, 1e5, 12)
    powers = {"images": (3.0, 0.3), "epochs": (2.0, 0.4), "params": (1.0, 0.5), "labels": (4.0, 0.35)}
    base = dict.fromkeys(powers, 1000.0)
    rest = sum(size * 1000.0**-b for size, b in powers.values())
    fits = {name: fit(x, 1.0 + rest - size * 1000.0**-b + size * x**-b, loss="squared") for name, (size, b) in powers.items()}
    prices = {"images": 0.01, "epochs": 0.1, "params": 0.05, "labels": 0.3}
    split = best_split(combine_additive(fits, base), 2000.0, prices)
    returns = [size * b * split.inputs[name] ** -(b + 1) / prices[name] for name, (size, b) in powers.items()]
    assert returns == pytest.approx([returns[0]] * 4, rel=1e-2)
    assert (split.table["worse_by"] > -1e-9).all()


def test_the_exponent_of_chinchillas_points_is_the_published_one(public_data: Path) -> None:
    points = pd.read_csv(public_data / "chinchilla_points.csv").sort_values("loss").iloc[:-5]
    found = compute_optimal_exponent(fit_surface(points[["params", "tokens"]], points["loss"]))
    assert found.exponent == pytest.approx(0.513, abs=0.001)  # Besiroglu et al. 2024
    assert found.standard_error == pytest.approx(0.020, abs=0.003)
    assert "Equal growth of model and data, 0.5, is within it" in found.sentence()


def test_an_exponent_that_the_law_fixes_has_a_reason_and_other_laws_have_none() -> None:
    one = fit_surface(GRID, E + A * GRID[:, 0] ** -0.3 + B * GRID[:, 1] ** -0.3, law="shared_exponent", bootstrap=0)
    found = compute_optimal_exponent(one)
    assert (found.exponent, found.interval, found.standard_error) == (0.5, None, None)
    assert "fixes it at 0.5" in found.sentence()
    with pytest.raises(AnalysisError, match="law 'additive' has no compute-optimal exponent"):
        compute_optimal_exponent(transfer())


@pytest.mark.parametrize(
    ("budget", "prices", "bounds", "message"),
    [
        (1e20, {"product": 0.0}, None, "the price of N D is 0: give a price above zero"),
        (1e20, {"N": -1.0, "D": 1.0}, None, "the price of N is -1"),
        (1e20, "6 N T", None, r"the cost names 'T', which is no input of the model .*: use N, D\."),
        (1e20, "6 N % D", None, "the cost '6 N % D' holds '%', which is neither a number nor an input"),
        (1e20, {"N": 1.0}, None, r"does not hold D, so that there would be no end to it: give it a price, or bounds="),
        (1e20, {"fixed": 1.0}, None, "the cost prices no input"),
        (0.0, {"product": 6.0}, None, "the budget is 0: give what there is to spend"),
        (1e10, {"product": 6.0}, {"N": (1e8, None), "D": (1e9, None)}, "does not pay for the fixed cost and the lower bounds, 6e\\+17"),
        (1.0, {"N": 1.0, "D": 1.0, "fixed": 2.0}, None, "does not pay for the fixed cost"),
        (1e20, {"product": 6.0}, {"M": (1, 2)}, r"bounds name 'M', which is no input of the model"),
        (1e20, {"product": 6.0}, {"N": (2, 1)}, r"bounds of N are \(2, 1\)"),
    ],
)
def test_wrong_prices_budgets_and_bounds_are_refused(budget: float, prices: object, bounds: object, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        best_split(surface(), budget, prices, bounds=bounds)  # type: ignore[arg-type]


def test_a_surface_measured_along_one_line_is_refused() -> None:
    X = np.array([(n, 1e10) for n in np.geomspace(1e7, 1e10, 8)])
    line = fit_surface(X, 2.0 + A * X[:, 0] ** -ALPHA, bootstrap=0)
    with pytest.raises(AnalysisError, match=r"the surface is not identified|D was 1e\+10 at every point of the surface"):
        best_split(line, 1e20, "6 N D")


def test_a_curve_alone_and_a_baseline_of_other_names_are_refused() -> None:
    x = np.geomspace(10.0, 1e4, 8)
    one = fit(x, 1.0 + x**-0.5)
    with pytest.raises(AnalysisError, match="put several together with combine_additive"):
        best_split(one, 1.0, {"x": 1.0})  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match=r"the baseline names 'lables', for which there is no fit \(did you mean 'labels'\?\)"):
        combine_additive({"labels": one, "epochs": one}, {"lables": 10.0, "epochs": 10.0})
    with pytest.raises(AnalysisError, match="the baseline leaves out epochs"):
        combine_additive({"labels": one, "epochs": one}, {"labels": 10.0})
