"""The best split of a budget over the inputs of a fitted surface, or of several curves whose gains
add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.decisions.cost import Cost, checked_cost
from analysis.decisions.decision import Decision, Interval, with_digits
from analysis.decisions.draws import ends
from analysis.decisions.response import Response, response_of
from analysis.decisions.spending import BudgetLine, best_inputs
from analysis.decisions.validation import Better, direction, positive, real
from analysis.errors import AnalysisError, nearest_name
from analysis.fitting.surface import SurfaceFit
from analysis.formatting import digits

Array = NDArray[np.float64]

FACTORS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1 / 1.4, 1.0, 1.4, 2.0, 4.0, 8.0, 16.0)
MANY = 0.05  # share of draws at the edge of the search that is worth a caution
MOST_INPUTS = 4


@dataclass(frozen=True, kw_only=True)
class BestSplit(Decision):
    """How to spend a budget. Make one with `best_split`."""

    KIND: ClassVar[str] = "best_split"

    inputs: dict[str, float]
    """The best inputs, each in its unit."""
    intervals: dict[str, Interval | None]
    """Of the best inputs: the optimum repeated over the draws of the parameters. None for an input
    that the bounds fix, or without a spread.
    """
    y: float
    """y at the best inputs, in its unit."""
    y_interval: Interval | None
    """Of the mean y at these inputs, assuming that the law is correctly specified."""
    reason_no_interval: str
    """Why intervals are missing; empty where there are all."""
    better: Better
    """Which y is better."""
    budget: float
    """The budget, in the unit of the prices."""
    spent: float
    """Cost of the best inputs; less than the budget only where the bounds leave no use for more."""
    cost: str
    """The cost, as a formula."""
    spent_on: dict[str, float] | None
    """What each input costs, in the unit of the budget; None where inputs are multiplied, so that
    no cost is one input's own.
    """
    at_bound: dict[str, str]
    """'lower' or 'upper' by input, where the optimum lies on a bound, zero included."""
    extrapolated: tuple[str, ...]
    """Inputs whose optimum lies outside what was measured."""
    table: pd.DataFrame
    """The same budget split otherwise, one row per input moved and `factor` times its optimum, the
    others scaled alike to pay for it: the inputs, y, worse_by (in the unit of y, zero at the best)
    with low and high, and extrapolated. Splits that the bounds forbid are left out.
    """
    method: str
    """How the intervals were computed."""
    assumption: str
    """What the split assumes of y."""

    def sentence(self) -> str:
        """The split as a sentence."""
        parts = []
        for name, value in self.inputs.items():
            edge = f", on its {self.at_bound[name]} bound" if name in self.at_bound else ""
            reason = self.reason_no_interval or "its bounds fix it"
            parts.append(f"{name} = {with_digits(value, self.intervals[name], level=self.level, reason=reason, never='unbounded')}{edge}")
        y = with_digits(self.y, self.y_interval, level=self.level, reason=self.reason_no_interval)
        beyond = (
            f" {' and '.join(self.extrapolated)} lie{'s' if len(self.extrapolated) == 1 else ''} beyond what was measured."
            if self.extrapolated
            else ""
        )
        left = "" if self.spent >= self.budget * (1 - 1e-6) else f" The bounds leave {digits(self.budget - self.spent)} of it unspent."
        return f"A budget of {digits(self.budget)} ({self.cost}) is best split as {'; '.join(parts)}, for y = {y}.{self._flat()}{beyond}{left}"

    def plot_data(self) -> pd.DataFrame:
        """The values for a plot: y along the budget line (`table`)."""
        return self.table

    def _flat(self) -> str:
        halves = self.table[self.table["factor"].isin((0.5, 2.0))]
        if halves.empty:
            return ""
        worst = halves.iloc[int(halves["worse_by"].argmax())]
        word = "Half" if worst["factor"] == 0.5 else "Twice"
        return f" {word} that {worst['moved']} at the same cost would be {digits(float(worst['worse_by']))} worse."


def best_split(
    model: SurfaceFit | Response,
    budget: float,
    prices: Mapping[str, float] | str | Cost,
    *,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    better: Better | None = None,
    seed: int = 0,
) -> BestSplit:
    """Finds the inputs that give the best y for a budget, from a fitted surface or
    `combine_additive`.

    `prices` in the unit of the budget: per unit of each input with an optional fixed cost, {"P":
    0.001, "F": 0.3, "fixed": 100}; {"product": 6.0} for 6 N D FLOPs; or a formula, "6 N D + 0.3 F".
    `bounds` confine inputs, {"P": (0, 1e6)}, None leaving a side open, and (v, v) fixing one.
    `better` says whether y is 'higher' (a score) or 'lower' (a loss) the better; by default the way
    y goes from the smallest to the largest inputs measured.

    Intervals: the optimum is sought anew for every bootstrap sample of the surface, or for draws of
    Student t with its covariance where it has no bootstrap (`seed`). They assume that the
    law, and the additivity of curves, is correctly specified.

    Raises AnalysisError for a model that is not determined, prices that are not positive or name no
    input, inputs without price and bounds, and a budget that does not pay for the lower bounds.
    """
    response = response_of(model, seed=seed)
    names = response.inputs
    if len(names) > MOST_INPUTS:
        raise AnalysisError(f"the model has {len(names)} inputs and a split is sought over {MOST_INPUTS} at most: leave some out, or fix them.")
    cost = checked_cost(prices, names)
    amount = positive("the budget", budget, "give what there is to spend, above zero, in the unit of the prices")
    line = _line(response, cost, amount, bounds or {})
    low, high = (np.array([response.measured[name][end] for name in names]) for end in (0, 1))
    chosen = direction(better, *(float(value) for value in response.values(np.stack([low, high]))))
    sign = 1.0 if chosen == "higher" else -1.0
    found, ran_off = best_inputs(line, lambda X: response.values(X), 1, sign)
    best = found[0]
    y = float(response.values(best))
    if not np.isfinite(y):
        raise AnalysisError("no split of this budget has a y: widen the bounds, or raise the budget to where the model was measured.")
    fixed = line.low == line.high
    cautions = list(response.cautions)
    if ran_off[0]:
        cautions.append("the best split runs off to where next to nothing is spent on one input: give bounds")
    intervals: dict[str, Interval | None] = dict.fromkeys(names)
    y_interval = None
    if response.draws:
        each, off = best_inputs(line, response.drawn, response.draws, sign, near=best)
        intervals = {name: None if fixed[column] else ends(each[:, column], response.tail) for column, name in enumerate(names)}
        y_interval = ends(response.drawn(best[None, None])[:, 0], response.tail)
        if off.mean() > MANY and not ran_off[0]:
            cautions.append(f"in {off.mean():.0%} of the draws the best split runs off to where next to nothing is spent on one input: give bounds")
    beyond = tuple(name for name, out in zip(names, response.outside(best), strict=True) if out)
    if beyond and response.draws:
        verb = "lies" if len(beyond) == 1 else "lie"
        cautions.append(f"intervals assume that the law is correctly specified, and {' and '.join(beyond)} {verb} beyond what was measured")
    edges = {name: _edge(best[column], line.low[column], line.high[column]) for column, name in enumerate(names) if not fixed[column]}
    return BestSplit(
        level=response.level,
        cautions=tuple(cautions),
        inputs={name: float(value) for name, value in zip(names, best, strict=True)},
        intervals=intervals,
        y=y,
        y_interval=y_interval,
        reason_no_interval=response.reason_no_interval,
        better=chosen,
        budget=amount,
        spent=float(cost(best)),
        cost=cost.formula,
        spent_on=_spent_on(cost, best),
        at_bound={name: edge for name, edge in edges.items() if edge},
        extrapolated=beyond,
        table=_otherwise(response, line, best, sign, fixed),
        method=response.method,
        assumption=response.assumption,
    )


def _line(response: Response, cost: Cost, budget: float, bounds: Mapping[str, tuple[float | None, float | None]]) -> BudgetLine:
    """The budget line within the bounds. Raises AnalysisError."""
    names = response.inputs
    low, high = np.zeros(len(names)), np.full(len(names), np.inf)
    for name, pair in bounds.items():
        if name not in names:
            raise AnalysisError(f"bounds name '{name}', which is no input of the model ({nearest_name(name, names)}): use {', '.join(names)}.")
        try:
            first, last = pair
        except (TypeError, ValueError):
            raise AnalysisError(f"bounds of {name} are {pair!r}: give a pair (low, high), with None for an open side.") from None
        column = names.index(name)
        low[column] = 0.0 if first is None else real(f"the lower bound of {name}", first, "give a finite number, or None")
        high[column] = np.inf if last is None else real(f"the upper bound of {name}", last, "give a finite number, or None")
        if low[column] < 0 or not low[column] <= high[column] or (high[column] == 0 and name not in response.zero_inputs):
            raise AnalysisError(f"bounds of {name} are {pair!r}: give a low end, zero or above, that is not above the high end.")
    for name in cost.unpriced:
        column = names.index(name)
        if not np.isfinite(high[column]):
            raise AnalysisError(
                f"the cost does not hold {name}, so that there would be no end to it: give it a price, or bounds={{'{name}': (low, high)}}."
            )
    least = float(cost(low))
    if least > budget:
        raise AnalysisError(
            f"the budget of {budget:g} does not pay for the fixed cost and the lower bounds, {least:g}: raise it, or lower the bounds."
        )
    if least == budget and not np.any(low > 0):
        raise AnalysisError(f"the budget of {budget:g} is used up by the fixed cost: raise it.")
    reference = np.array([np.sqrt(np.prod(response.measured[name])) for name in names])
    zero = np.array([name in response.zero_inputs for name in names]) & (low == 0)
    return BudgetLine(cost=cost, budget=budget, reference=reference, low=low, high=high, zero=zero)


def _otherwise(response: Response, line: BudgetLine, best: Array, sign: float, fixed: NDArray[np.bool_]) -> pd.DataFrame:
    """Other splits of the budget: each input in turn times FACTORS, the others scaled alike."""
    names = response.inputs
    moved = [column for column in range(len(names)) if not fixed[column] and best[column] > 0]
    if len(moved) == 2 and len(names) == 2:
        moved = moved[:1]  # with two inputs, moving one moves the other
    rows, places = [], []
    with np.errstate(divide="ignore"):
        along = np.log(best / line.reference)
    for column in moved:
        for factor in FACTORS:
            value = best[column] * factor
            if not line.low[column] <= value <= line.high[column]:
                continue
            held = line.held(column, value)
            inputs = best if factor == 1.0 else held.spend(along)
            if float(line.cost(held.low)) > line.budget or (factor < 1.0 and float(line.cost(inputs)) < line.budget * (1 - 1e-6)):
                continue
            rows.append({"moved": names[column], "factor": float(factor)})
            places.append(inputs)
    X = np.array(places).reshape(-1, len(names))
    table = pd.DataFrame(rows, columns=["moved", "factor"]).assign(**{name: X[:, column] for column, name in enumerate(names)})
    y = response.values(X)
    worse = sign * (float(response.values(best)) - y) + 0.0  # no -0.0 at the best
    intervals: list[Interval | None] = [None] * len(X)
    if response.draws and len(X):
        drawn = response.drawn(X[None])
        intervals = [ends(one, response.tail) for one in (sign * (response.drawn(best[None, None]) - drawn)).T]
    return table.assign(
        y=y,
        worse_by=worse,
        low=[np.nan if one is None else one[0] for one in intervals],
        high=[np.nan if one is None else one[1] for one in intervals],
        extrapolated=np.asarray(response.outside(X).any(axis=1)),
    )


def _spent_on(cost: Cost, best: Array) -> dict[str, float] | None:
    """Cost of each input alone; None where a term multiplies several."""
    if any(sum(power > 0 for power in powers) > 1 for powers in cost.powers):
        return None
    alone = dict.fromkeys(cost.inputs, 0.0)
    for coefficient, powers in zip(cost.coefficients, cost.powers, strict=True):
        column = int(np.argmax(powers))
        alone[cost.inputs[column]] += float(coefficient * best[column] ** powers[column])
    return alone


def _edge(value: float, low: float, high: float) -> str:
    if value <= low * (1 + 1e-9):
        return "lower"
    return "upper" if value >= high * (1 - 1e-9) else ""
