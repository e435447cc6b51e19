"""Spends a budget of GPU-hours in rounds: a pilot, a run near the targets, then runs that tell most,
refitted in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.decisions.suggest import checked_hours, suggest_runs
from analysis.decisions.validation import positive, real
from analysis.errors import AnalysisError
from analysis.fitting.fit import OwnLaw
from analysis.fitting.inputs import checked_level, numbers
from analysis.fitting.prediction import Prediction
from analysis.fitting.surface import checked_inputs
from analysis.forecasting.choose_surface import FEWEST, checked_laws, choose_surface
from analysis.forecasting.surface_choice import SurfaceChoice

Array = NDArray[np.float64]

LARGEST = 0.25  # of the pilot's GPU-hours that one of its runs may cost
FEWEST_PILOT = 10  # runs below which a surface of six parameters can hardly be told


@dataclass(frozen=True, kw_only=True)
class RoundsOfRuns:
    """The runs that were made, and what they say. Make one with `run_in_rounds`."""

    runs: pd.DataFrame
    """One row per run in order: candidate (its row), the inputs, cost_gpu_hours, y, round (0 is the
    pilot and the run near the targets), total_gpu_hours.
    """
    choice: SurfaceChoice
    """The surface chosen by all runs."""
    targets: Array
    """Where y is wanted, shape (targets, inputs)."""

    def predict(self) -> Prediction:
        """The forecast at the targets, for one new run each."""
        return self.choice.predict(self.targets, "new run")


def run_in_rounds(
    candidates: ArrayLike,
    measure: Callable[[NDArray[np.int64]], ArrayLike],
    targets: ArrayLike,
    cost: float | ArrayLike | Callable[[Array], ArrayLike],
    *,
    gpu_hours: float,
    rounds: int = 2,
    pilot: float = 0.3,
    anchor: float = 0.35,
    cost_exponent: float = 0.5,
    laws: Sequence[str | OwnLaw] | None = None,
    level: float = 0.95,
) -> RoundsOfRuns:
    """Spends `gpu_hours` on runs of the candidates, shape (m, inputs), so that y at the `targets`,
    shape (k, inputs), is forecast best. Each candidate is run at most once.

    `measure` makes runs: it takes rows of the candidates and returns their y. The pilot spends the
    share `pilot` on runs that lie far from each other in the logs of their inputs, none of them
    above a quarter of it. One more run lies as near to the middle of the targets, in the logs of
    the inputs, as the share `anchor` allows (0 for none): where no law is right, it says most of
    what the pilot's small runs cannot. Then in each of `rounds`, `choose_surface` is fitted to all
    runs so far, among `laws`, and `suggest_runs` takes those that lower the variance at the targets
    most per GPU-hour^`cost_exponent`, averaged over the laws by their weights. Where the laws have
    no intervals yet, a round goes on as the pilot does. `cost` is as for `suggest_runs`.

    Raises AnalysisError, before the first run, for a budget that does not pay for six runs, targets
    or laws that do not go with the candidates, and costs that are not positive; and where `measure`
    returns a y that is not finite.
    """
    where = numbers("candidates", candidates)
    if where.ndim != 2 or where.shape[1] < 2 or not np.all(np.isfinite(where)) or not np.all(where > 0):
        raise AnalysisError("candidates have to be rows of two inputs or more, each above zero and finite.")
    wanted = np.atleast_2d(numbers("targets", targets))
    if wanted.ndim != 2 or wanted.shape[1] != where.shape[1] or not len(wanted) or not np.all(np.isfinite(wanted)) or not np.all(wanted > 0):
        raise AnalysisError(f"targets have to be rows of {where.shape[1]} inputs, as candidates are, each above zero and finite.")
    # what would be refused after the pilot is refused before it: its GPU-hours would be lost
    checked_level(level)
    real("cost_exponent", cost_exponent, "give the power of the GPU-hours that a gain is divided by, such as 1 or 0.5")
    first = next(iter(checked_laws(laws, where, np.ones(len(where)), np.ones(len(where)))[0].values()))
    for what, places in (("candidates", where), ("targets", wanted)):
        try:
            checked_inputs(first, places)
        except AnalysisError as error:
            raise AnalysisError(f"{what}: {error}") from None
    hours = checked_hours(cost, where)
    budget = positive("gpu_hours", gpu_hours, "give the GPU-hours to spend, above zero")
    share = real("pilot", pilot, "give the pilot's share of the GPU-hours, above 0 and at most 1")
    if not 0 < share <= 1:
        raise AnalysisError(f"pilot is {share:g}: give the pilot's share of the GPU-hours, above 0 and at most 1.")
    near = real("anchor", anchor, "give the share of the GPU-hours that the run near the targets may cost, 0 for none")
    if not 0 <= near <= 1:
        raise AnalysisError(f"anchor is {near:g}: give the share of the GPU-hours that the run near the targets may cost, from 0 to 1.")
    if isinstance(rounds, bool) or not isinstance(rounds, int | np.integer) or rounds < 1:
        raise AnalysisError(f"rounds is {rounds!r}: give how often to refit, 1 or more.")
    taken = _spread_out(where, hours, share * budget, [], most=LARGEST * share * budget)
    if len(taken) < FEWEST_PILOT:  # the cheapest ones, for a law has to be told at all
        taken = _cheapest(hours, budget, FEWEST_PILOT)
    taken += _nearest(where, wanted, hours, min(near * budget, budget - float(hours[taken].sum())), taken)
    if len(taken) < FEWEST:
        raise AnalysisError(f"{budget:g} GPU-hours pay for {len(taken)} of the candidates, and a surface needs {FEWEST} runs: give more.")
    y = _measured(measure, taken)
    rounds_of = [0] * len(taken)
    for number in range(1, int(rounds) + 1):
        left = (budget - hours[taken].sum()) / (rounds - number + 1)
        open_to = np.setdiff1d(np.arange(len(where)), taken)
        if not len(open_to) or left < hours[open_to].min():
            continue
        choice = choose_surface(where[taken], y, candidates=laws, level=level)
        try:
            advice = suggest_runs(
                choice, where[open_to], ("predict", wanted), hours[open_to], runs=len(open_to), gpu_hours=left, cost_exponent=cost_exponent, once=True
            )
            more = [int(open_to[np.flatnonzero((where[open_to] == row).all(axis=1))[0]]) for row in advice.chosen[list(choice.inputs)].to_numpy()]
            more = list(dict.fromkeys(more))
        except AnalysisError:
            more = _spread_out(where, hours, left, taken, most=left)
        if more:
            y = np.append(y, _measured(measure, more))
            taken += more
            rounds_of += [number] * len(more)
    choice = choose_surface(where[taken], y, candidates=laws, level=level)
    table = pd.DataFrame(where[taken], columns=list(choice.inputs))
    table.insert(0, "candidate", taken)
    table = table.assign(cost_gpu_hours=hours[taken], y=y, round=rounds_of, total_gpu_hours=np.cumsum(hours[taken]))
    return RoundsOfRuns(runs=table, choice=choice, targets=wanted)


def _measured(measure: Callable[[NDArray[np.int64]], ArrayLike], rows: list[int]) -> Array:
    y = numbers("y", measure(np.array(rows)))
    if y.shape != (len(rows),):
        raise AnalysisError(f"measure returned shape {y.shape} for {len(rows)} runs: return one y for each.")
    return y


def _cheapest(hours: Array, budget: float, most: int) -> list[int]:
    order = np.argsort(hours, kind="stable")[:most]
    return [int(one) for one in order[np.cumsum(hours[order]) <= budget]]


def _nearest(where: Array, targets: Array, hours: Array, budget: float, before: list[int]) -> list[int]:
    """The candidate nearest to the middle of the targets in the logs of the inputs that the budget
    pays for; none where it pays for none.
    """
    open_to = np.setdiff1d(np.flatnonzero(hours <= budget), before)
    if not len(open_to):
        return []
    off = np.linalg.norm(np.log(where[open_to]) - np.log(targets).mean(axis=0), axis=1)
    return [int(open_to[np.argmin(off)])]


def _spread_out(where: Array, hours: Array, budget: float, before: list[int], *, most: float) -> list[int]:
    """Candidates one after another, each the farthest from all before in the logs of its inputs
    (each input's range counts as 1), cheaper ones first among equals; until the budget is spent.
    """
    logs = np.log(where)
    logs = (logs - logs.min(axis=0)) / np.maximum(np.ptp(logs, axis=0), 1e-12)
    allowed = np.flatnonzero(hours <= most)
    taken: list[int] = []
    left = budget
    gap = np.full(len(where), np.inf)
    for one in before:
        gap = np.minimum(gap, np.linalg.norm(logs - logs[one], axis=1))
    while True:
        open_to = allowed[(hours[allowed] <= left) & (gap[allowed] > 1e-9)]
        if not len(open_to):
            return taken
        worth = gap[open_to] / hours[open_to] ** 0.25 if taken or before else hours[open_to]
        pick = int(open_to[np.argmax(worth)])
        taken.append(pick)
        left -= float(hours[pick])
        gap = np.minimum(gap, np.linalg.norm(logs - logs[pick], axis=1))
