"""The cost of inputs: a sum of terms, each a price times a product of powers of inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.decisions.validation import real
from analysis.errors import AnalysisError, nearest_name

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """fixed + sum of coefficient x product of input^power; it rises with every input that it holds.
    `best_split` makes one from prices or a formula.
    """

    inputs: tuple[str, ...]
    """Names of the inputs, in the order of the columns."""
    coefficients: tuple[float, ...]
    """One per term, in money (or FLOPs, GPU-hours: the unit of the budget) per unit of its product."""
    powers: tuple[tuple[float, ...], ...]
    """One row per term, one power, zero or above, per input."""
    fixed: float = 0.0
    """Spent whatever the inputs, in the unit of the budget."""

    def __call__(self, X: Array) -> Array:
        """Cost of X, shape (..., inputs): shape (...)."""
        return np.asarray(sum((self._term(X, place) for place in range(len(self.powers))), start=np.full(X.shape[:-1], self.fixed)))

    def rise(self, X: Array, moving: NDArray[np.bool_]) -> Array:
        """By how much the cost rises when the inputs that are `moving`, of X's shape, grow by a
        common factor: d cost / d ln factor, shape (...).
        """
        powers = np.array(self.powers)
        return np.asarray(sum((self._term(X, place) * (moving @ powers[place]) for place in range(len(powers))), start=np.zeros(X.shape[:-1])))

    def _term(self, X: Array, place: int) -> Array:
        term = np.full(X.shape[:-1], self.coefficients[place])
        for column, power in enumerate(self.powers[place]):
            if power:
                term = term * (X[..., column] if power == 1.0 else X[..., column] ** power)
        return term

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Inputs that cost nothing."""
        return tuple(name for column, name in enumerate(self.inputs) if not any(powers[column] for powers in self.powers))

    @property
    def formula(self) -> str:
        """'0.001 P + 0.3 F + 100'."""
        parts = []
        for coefficient, powers in zip(self.coefficients, self.powers, strict=True):
            names = [name if power == 1.0 else f"{name}^{power:g}" for name, power in zip(self.inputs, powers, strict=True) if power]
            parts.append(" ".join([f"{coefficient:g}", *names]))
        return " + ".join(parts + ([f"{self.fixed:g}"] if self.fixed else []))


def checked_cost(prices: Mapping[str, Any] | str | Cost, inputs: tuple[str, ...]) -> Cost:
    """The cost from prices per unit {"P": 0.001, "F": 0.3, "fixed": 100}, from {"product": 6.0} (6
    x the product of all inputs), or from a formula such as "6 N D" or "0.001 P + 0.3 F + 100",
    where a power is written N^2. Raises AnalysisError.
    """
    if isinstance(prices, Cost):
        if prices.inputs != inputs:
            raise AnalysisError(f"the cost is of {', '.join(prices.inputs)} and the model has {', '.join(inputs)}: give a cost of its inputs.")
        return prices
    terms: list[tuple[float, dict[str, float]]] = []
    if isinstance(prices, str):
        terms = [_term(part, prices) for part in re.split(r"(?<![0-9.][eE])\+", prices)]
    elif isinstance(prices, Mapping):
        for name, value in prices.items():
            factors = dict.fromkeys(inputs, 1.0) if name == "product" and name not in inputs else {} if name == "fixed" else {str(name): 1.0}
            terms.append((real(f"the price of {name}", value, "give a number above zero"), factors))
    else:
        raise AnalysisError(
            f"prices is {prices!r}: give prices per unit such as {{'{inputs[0]}': 0.001}}, or a formula such as '6 {' '.join(inputs)}'."
        )
    fixed = 0.0
    coefficients, powers = [], []
    for coefficient, factors in terms:
        for name in factors:
            if name not in inputs:
                raise AnalysisError(
                    f"the cost names '{name}', which is no input of the model ({nearest_name(name, inputs)}): use {', '.join(inputs)}."
                )
        if not factors:
            fixed += coefficient
            continue
        if not (np.isfinite(coefficient) and coefficient > 0):
            raise AnalysisError(f"the price of {' '.join(factors)} is {coefficient:g}: give a price above zero, or fix the input with bounds.")
        coefficients.append(float(coefficient))
        powers.append(tuple(float(factors.get(name, 0.0)) for name in inputs))
    if not (np.isfinite(fixed) and fixed >= 0):
        raise AnalysisError(f"the fixed cost is {fixed:g}: give zero or more.")
    if not powers:
        raise AnalysisError(f"the cost prices no input: give a price for at least one of {', '.join(inputs)}.")
    return Cost(inputs=inputs, coefficients=tuple(coefficients), powers=tuple(powers), fixed=fixed)


def _term(text: str, whole: str) -> tuple[float, dict[str, float]]:
    """Coefficient and powers of one term such as '6 N D^2'. Raises AnalysisError."""
    coefficient, factors = 1.0, dict[str, float]()
    words = text.replace("*", " ").split()
    if not words:
        raise AnalysisError(f"the cost '{whole}' has an empty term: write it like '6 N D' or '0.001 P + 0.3 F + 100'.")
    for word in words:
        try:
            coefficient *= float(word.replace("_", "").replace(",", ""))
            continue
        except ValueError:
            pass
        match = re.fullmatch(r"([A-Za-z_]\w*)(?:\^(\d+(?:\.\d+)?))?", word)
        if match is None:
            raise AnalysisError(
                f"the cost '{whole}' holds '{word}', which is neither a number nor an input: write it like '6 N D' or '0.001 P + 0.3 F'."
            )
        factors[match[1]] = factors.get(match[1], 0.0) + float(match[2] or 1.0)
    return coefficient, factors
