"""`choose_surface` where the truth is known, and what a surface says where its law is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, SurfaceChoice, SurfaceFit, choose_surface, fit_surface, suggest_runs

N, D = (each.ravel() for each in np.meshgrid(np.geomspace(1e6, 1e9, 8), np.geomspace(1e8, 1e11, 8)))
GRID = np.column_stack([N, D])


def chinchilla(X: np.ndarray) -> np.ndarray:
    return np.asarray(1.69 + 406.4 * X[:, 0] ** -0.34 + 410.7 * X[:, 1] ** -0.28)


def coupled(X: np.ndarray) -> np.ndarray:
    """Model and data limit each other, which no sum of two powers does."""
    return np.asarray(1.0 + 4.0 * ((X[:, 0] / 1e6) ** -1.2 + (X[:, 1] / 1e8) ** -1.2) ** 0.25)


def measured(truth: np.ndarray, noise: float = 0.004, seed: int = 0) -> np.ndarray:
    return np.asarray(truth * np.exp(noise * np.random.default_rng(seed).standard_normal(len(truth))))


@pytest.fixture(scope="module")
def choice() -> SurfaceChoice:
    seen = N * D < 1e18
    return choose_surface(GRID[seen], measured(chinchilla(GRID[seen])), level=0.9)


def test_larger_budgets_are_forecast_and_the_interval_holds_them(choice: SurfaceChoice) -> None:
    later = GRID[N * D >= 1e18]
    ahead = choice.predict(later, "new run")
    assert np.sqrt(np.mean(np.log(ahead.mean / chinchilla(later)) ** 2)) < 0.015
    truth = measured(chinchilla(later), seed=1)
    assert np.mean((ahead.low <= truth) & (truth <= ahead.high)) > 0.8
    assert ahead.extrapolated.any()
    wide = choice.predict([[1e12, 1e14]])
    assert (wide.high - wide.low)[0] / wide.mean[0] > np.min((ahead.high - ahead.low) / ahead.mean)
    assert choice.fit.status == "converged"


def test_the_choice_shows_itself_and_survives_json(choice: SurfaceChoice) -> None:
    assert set(choice.table["law"]) == {"chinchilla", "shared_exponent", "skaling"}
    assert choice.table["weight"].sum() == pytest.approx(1.0)
    assert choice.table["chosen"].sum() == 1
    assert len(str(choice).splitlines()) <= 12
    assert choice.law in choice.summary()
    again = SurfaceChoice.from_json(choice.to_json())
    assert again == choice
    assert again.predict([[1e10, 1e12]]).mean == pytest.approx(choice.predict([[1e10, 1e12]]).mean)
    assert choice.plot().to_dict()["width"] == 340
    assert "<svg" in choice._repr_html_()
    table = pd.DataFrame({"params": N, "tokens": D, "loss": measured(chinchilla(GRID))})
    named = choose_surface(table, x=["params", "tokens"], y="loss", window=1e15, candidates=["chinchilla"])
    assert (named.x_name, named.y_name) == ("params, tokens", "loss")
    assert named.left_out == np.sum(N * D < 1e15)
    assert named.window >= 1e15
    assert "left out" in named.summary()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_law_of_next_to_no_weight_is_not_chosen_for_being_simple(seed: int) -> None:
    sizes, images = (np.repeat(each.ravel(), 3) for each in np.meshgrid([50.0, 500.0, 20000.0], [6e3, 12e3, 24e3, 48e3]))
    where = np.column_stack([sizes, images])
    choice = choose_surface(where, 0.35 + 3.0 * images**-0.3 + 0.8 * sizes**-0.4 + 0.004 * np.random.default_rng(seed).standard_normal(len(where)))
    weights = {row["law"]: row["weight"] for row in choice.laws}
    assert [row["law"] for row in choice.laws if row["chosen"]] == [choice.law]
    assert weights[choice.law] >= 0.5 * max(weights.values())
    assert ("which has more weight" in choice.summary()) == (weights[choice.law] < max(weights.values()))


def test_small_budgets_that_mislead_are_left_out() -> None:
    y = measured(chinchilla(GRID), 0.003) * np.where(N * D < 2e15, 1.15, 1.0)
    found = choose_surface(GRID, y)
    assert found.left_out >= 10
    later = np.array([[1e10, 1e11], [1e9, 1e12]])
    plain = fit_surface(GRID, y, loss="log_squared", bootstrap=0)
    errors = [np.abs(np.log(one.predict(later).mean / chinchilla(later))).mean() for one in (found, plain)]
    assert errors[0] < errors[1]


def bent(X: np.ndarray) -> np.ndarray:
    """A coupled law whose slope halves where model and data are large, which no law here does."""
    size = 1.0 / (1.0 / X[:, 0] + 20.0 / X[:, 1]) / 3e7
    return np.asarray(1.0 + 2.0 * size**-0.25 * (1.0 + size**2) ** 0.0625)


DENSE = np.array([(n, d) for n in np.geomspace(1e6, 1e9, 14) for d in np.geomspace(1e8, 1e11, 14)])


def test_where_the_largest_budgets_bend_they_count_more_and_the_choice_says_so() -> None:
    seen = DENSE.prod(axis=1) < 3e18
    y = measured(bent(DENSE[seen]), 0.002)
    found = choose_surface(DENSE[seen], y, candidates=["skaling"])
    assert found.recency > 0
    assert "points count ~ (N D)^1.2 in the law chosen" in found.summary()
    # a run suggested for a forecast counts more there if it is large
    alike = fit_surface(DENSE[seen], y, law="skaling", bootstrap=0)
    advice = [suggest_runs(one, DENSE[seen], ("predict", [[1e10, 1e11]]), 1.0).chosen.iloc[0] for one in (found, alike)]
    assert advice[0]["N"] * advice[0]["D"] >= advice[1]["N"] * advice[1]["D"]


def test_a_law_that_holds_only_at_large_budgets_is_forecast_by_these() -> None:
    budget = DENSE.prod(axis=1)
    truth = coupled(DENSE) * (1.0 + 0.3 * (budget / 1e14) ** -0.4)
    seen, later = budget < 1e19, budget >= 1e19
    y = measured(truth, 0.002)
    found = choose_surface(DENSE[seen], y[seen])
    alike = fit_surface(DENSE[seen], y[seen], law="skaling", bootstrap=0)
    errors = [np.abs(np.log(one.predict(DENSE[later]).mean / truth[later])).mean() for one in (found, alike)]
    assert errors[0] < 0.7 * errors[1]
    assert sum(one.weight for one in found.candidates if one.recency or one.from_budget > 1.01 * budget.min()) > 0.9


@pytest.mark.parametrize("truth", [chinchilla, coupled])
def test_where_the_law_is_right_all_points_count_alike(truth: Callable[[np.ndarray], np.ndarray]) -> None:
    found = choose_surface(GRID, measured(truth(GRID), 0.004, seed=3))
    assert sum(one.weight for one in found.candidates if one.recency) < 0.3


def test_a_law_that_does_not_fit_says_so_where_and_names_one_that_does() -> None:
    wrong = fit_surface(GRID, measured(coupled(GRID), 0.002), bootstrap=0)
    assert wrong.status == "does not fit"
    assert "on average where" in wrong.status_detail
    assert "'skaling' fits these points, so use law='skaling' or choose_surface(X, y)" in wrong.status_detail
    assert not wrong.check.fits
    assert SurfaceFit.from_json(wrong.to_json()) == wrong
    assert choose_surface(GRID, measured(coupled(GRID), 0.002)).law == "skaling"
    advice = suggest_runs(wrong, GRID[:4], "E", 1.0)
    assert any("the law 'chinchilla' does not fit its points" in one for one in advice.cautions)


def test_a_law_that_is_right_is_not_accused() -> None:
    statuses = [fit_surface(GRID, measured(chinchilla(GRID), seed=seed), bootstrap=0).status for seed in range(8)]
    assert "does not fit" not in statuses


def test_runs_are_suggested_in_doubt_about_the_law(choice: SurfaceChoice) -> None:
    advice = suggest_runs(choice, GRID, ("predict", [[1e10, 1e12], [1e11, 1e11]]), lambda X: X[:, 0] * X[:, 1] / 1e18, runs=5, once=True)
    assert len(advice.chosen.drop_duplicates(["N", "D"])) == 5
    assert (np.diff(advice.chosen["half_width_after"]) < 0).all()


def test_hoffmanns_larger_budgets_are_forecast_from_the_smaller(public_data: Path) -> None:
    table = pd.read_csv(public_data / "chinchilla_points.csv").sort_values("loss").iloc[:-5]
    X, y = table[["params", "tokens"]].to_numpy(), table["loss"].to_numpy()
    seen = 6.0 * X.prod(axis=1) < 1e21
    ahead = choose_surface(X[seen], y[seen], level=0.9).predict(X[~seen], "new run")
    assert np.sqrt(np.mean(np.log(ahead.mean / y[~seen]) ** 2)) < 0.0100
    assert np.mean((ahead.low <= y[~seen]) & (y[~seen] <= ahead.high)) > 0.85


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"candidates": "chinchilla"}, "candidates is 'chinchilla': give a list of names of surfaces"),
        ({"candidates": ["chinchila"]}, "did you mean 'chinchilla'?"),
        ({"candidates": ["chinchilla", "data_constrained"]}, "the candidates differ in their number of inputs"),
        ({"window": -1.0}, "window is -1.0: give the budget, N D, from which on points count"),
        ({"window": 1e30}, "only 0 points have a budget of 1e+30 or more"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused_in_a_sentence(options: dict, sentence: str) -> None:
    with pytest.raises(AnalysisError) as error:
        choose_surface(GRID, chinchilla(GRID), **options)
    assert sentence in str(error.value)


def test_hoffmanns_245_points_converge_and_the_far_ones_are_named(public_data: Path) -> None:
    table = pd.read_csv(public_data / "chinchilla_points.csv")
    found = fit_surface(table[["params", "tokens"]].to_numpy(), table["loss"].to_numpy(), bootstrap=0)
    assert found.status == "converged"
    assert found.check.far_points == 6
    assert "6 of 245 points of small budgets lie up to 37% from a law that fits the others" in found.status_detail
    assert "beta is" in found.status_detail
    assert SurfaceFit.from_json(found.to_json()) == found
    loss = np.where(table["params"] * table["tokens"] > 1.5e21, 1.3, 1.0) * table["loss"]  # points of large budgets are never set aside
    moved = fit_surface(table[["params", "tokens"]].to_numpy(), loss.to_numpy(), bootstrap=0, bounds={"E": (0.0, None)})
    assert (moved.status, moved.check.far_points) == ("does not fit", 0)
