"""`run_in_rounds` on a surface whose truth is known."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from analysis import AnalysisError, choose_surface, run_in_rounds

N, D = (each.ravel() for each in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6)))
CELLS = np.column_stack([N, D])
LOSS = (1.69 + 406.4 * N**-0.34 + 410.7 * D**-0.28) * np.exp(0.004 * np.random.default_rng(0).standard_normal(36))


def hours(X: np.ndarray) -> np.ndarray:
    return np.asarray(X.prod(axis=1) / 1e18)


def test_a_budget_is_spent_in_rounds_on_each_candidate_once_and_forecasts_the_target() -> None:
    found = run_in_rounds(CELLS, lambda rows: LOSS[rows], [[1e10, 1e12]], hours, gpu_hours=30.0)
    assert found.runs["total_gpu_hours"].iloc[-1] <= 30.0 * (1.0 + 1e-9)
    assert not found.runs["candidate"].duplicated().any()
    assert found.runs["round"].is_monotonic_increasing
    assert found.runs["round"].max() > 0
    assert found.runs["y"].to_numpy() == pytest.approx(LOSS[found.runs["candidate"]])
    truth = 1.69 + 406.4 * 1e10**-0.34 + 410.7 * 1e12**-0.28
    assert found.predict().mean[0] == pytest.approx(truth, rel=0.03)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"gpu_hours": 1e-9}, "GPU-hours pay for 0 of the candidates"),
        ({"gpu_hours": 1.0, "pilot": 2.0}, "pilot is 2"),
        ({"gpu_hours": 1.0, "anchor": -0.5}, "anchor is -0.5"),
        ({"gpu_hours": 1.0, "rounds": 0}, "rounds is 0"),
    ],
)
def test_a_budget_that_cannot_be_spent_is_refused(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(AnalysisError, match=sentence):
        run_in_rounds(CELLS, lambda rows: LOSS[rows], [[1e10, 1e12]], hours, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"targets": [[1e10, 1e12, 1.0]]}, "targets have to be rows of 2 inputs, as candidates are, each above zero and finite."),
        ({"targets": [[-1e10, 1e12]]}, "targets have to be rows of 2 inputs, as candidates are, each above zero and finite."),
        ({"laws": ["chinchila"]}, "there is no law 'chinchila' (did you mean 'chinchilla'?)"),
        ({"laws": ["data_constrained"]}, "candidates: X has shape (36, 2): the law 'data_constrained' needs 3 columns, "),
        ({"level": 95}, "level is 95: give the confidence level"),
        ({"cost_exponent": "half"}, "cost_exponent is 'half', which is no number"),
    ],
)
def test_what_cannot_be_forecast_is_refused_before_any_run_is_made(options: dict[str, Any], sentence: str) -> None:
    made: list[np.ndarray] = []

    def measure(rows: np.ndarray) -> np.ndarray:
        made.append(rows)
        return np.asarray(LOSS[rows])

    given: dict[str, Any] = {"targets": [[1e10, 1e12]], "cost": hours, "gpu_hours": 30.0}
    with pytest.raises(AnalysisError, match=re.escape(sentence)):
        run_in_rounds(CELLS, measure, **given | options)
    assert not made


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_one_run_lies_as_near_to_the_targets_as_its_share_pays_for(share: float) -> None:
    target = np.array([1e10, 1e12])
    off = np.linalg.norm(np.log(CELLS / target), axis=1)
    chosen = {}
    for anchor in (0.0, share):
        found = run_in_rounds(CELLS, lambda rows: LOSS[rows], [target], hours, gpu_hours=30.0, anchor=anchor)
        chosen[anchor] = found.runs.loc[found.runs["round"] == 0, "candidate"].tolist()
    *pilot, near = chosen[share]
    assert pilot == chosen[0.0]
    affordable = np.setdiff1d(np.flatnonzero(hours(CELLS) <= share * 30.0), pilot)
    assert off[near] == off[affordable].min()


POOL = np.array([(n, d) for n in np.geomspace(2e6, 4e8, 12) for d in np.geomspace(4e7, 8e9, 12) if 1.0 < d / n < 400.0])
LARGE = np.array([[6e8, 2e10], [1.2e9, 5e10], [2e9, 4e10]])
COST = POOL.prod(axis=1)


def world(inside: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """y of the pool, with noise, and of the large runs, without. Inside the laws, or skills learnt one
    after another, which no law of the library describes.
    """
    random = np.random.default_rng(seed)
    where = np.concatenate([POOL, LARGE])
    size = 1.0 / (1.0 / where[:, 0] + 20.0 / where[:, 1])
    if inside:
        truth = 1.5 + 2.0 * (size / 1e6) ** -0.3
    else:
        place = random.uniform(np.log(1e4), np.log(1e11), 120)
        weight = np.exp(-0.12 * (place - place.min())) * random.uniform(0.5, 1.5, 120)
        truth = 1.5 + 4.0 * (weight / weight.sum() / (1.0 + np.exp(1.2 * (np.log(size)[:, None] - place)))).sum(axis=1)
    return truth[: len(POOL)] * np.exp(0.003 * random.standard_normal(len(POOL))), truth[len(POOL) :]


@pytest.mark.slow
def test_a_larger_budget_forecasts_better_on_average() -> None:
    errors = []
    for seed in range(3):
        y, truth = world(True, seed)
        for share in (0.004, 0.3):
            found = run_in_rounds(POOL, lambda rows, y=y: y[rows], LARGE, COST, gpu_hours=share * COST.sum(), rounds=1, laws=["skaling"])  # type: ignore[misc]
            errors.append(np.abs(np.log(found.predict().mean / truth)).mean())
    assert np.mean(errors[1::2]) < np.mean(errors[0::2])


@pytest.mark.slow
def test_larger_runs_beside_the_small_ones_forecast_better_on_average_outside_the_laws() -> None:
    errors = []
    for seed in range(6):
        y, truth = world(False, seed)
        for most in (np.quantile(COST, 0.7), np.inf):
            chosen = most >= COST
            errors.append(np.abs(np.log(choose_surface(POOL[chosen], y[chosen], candidates=["skaling"]).predict(LARGE).mean / truth)).mean())
    assert np.mean(errors[1::2]) < 0.8 * np.mean(errors[0::2])
