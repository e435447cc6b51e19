"""`run_in_rounds` on a surface whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import AnalysisError, run_in_rounds

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
        ({"gpu_hours": 1.0, "rounds": 0}, "rounds is 0"),
    ],
)
def test_a_budget_that_cannot_be_spent_is_refused(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(AnalysisError, match=sentence):
        run_in_rounds(CELLS, lambda rows: LOSS[rows], [[1e10, 1e12]], hours, **options)  # type: ignore[arg-type]
