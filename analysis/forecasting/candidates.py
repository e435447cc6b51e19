"""The candidates that `choose_law` averages: laws, weightings of later points, and weak priors.

The priors (`Law.priors`, and one of the asymptote here) were set on learning curves of other fields
(see `benchmarks/fitting`), never on the points to predict. Without them a law of four parameters
fitted to eight noisy points takes any shape beyond the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.losses import Loss
from analysis.fitting.problem import Problem
from analysis.laws import Law

Array = NDArray[np.float64]

BINS = 64  # distinct x beyond which neighbours are merged: a curve of 5,000 noisy checkpoints holds no more shape than that
FEWEST_EFFECTIVE = 7.0  # effective points below which weights ~ x^2 are not used

CANDIDATES: Final[tuple[tuple[str, int], ...]] = (
    *((law, k) for law in ("shifted_power", "weibull", "falling_broken_power") for k in (0, 1, 2)),
    ("levelling_power", 0),
    ("levelling_power", 1),
    ("power", 2),
    ("power_no_floor", 2),
)
"""(law, k): fitted on relative errors with weights ~ x^k."""
RISING_CANDIDATES: Final[tuple[tuple[str, int], ...]] = tuple((law, k) for law in ("power", "shifted_power", "weibull", "mmf") for k in (0, 1, 2))
"""For a y that rises towards an unknown ceiling; laws without an asymptote cannot do so."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve with one point per distinct x, or per bin of x."""

    x: Array
    """Shape (n,), rising."""
    y: Array
    """Means, geometric ones where `logarithmic`, shape (n,)."""
    count: Array
    """Points behind each, weighted, shape (n,)."""
    logarithmic: bool
    """Whether errors are relative."""

    @property
    def t(self) -> Array:
        """y on the scale of the errors: ln y, or y."""
        return np.log(self.y) if self.logarithmic else self.y

    @property
    def steps(self) -> Array:
        """ln(x / largest x), shape (n,)."""
        return np.log(self.x / self.x[-1])

    def noise_of(self, end: int) -> float:
        """Standard deviation of one of the first `end` points about its neighbours' line, from the
        later half of them.
        """
        u, t = self.steps[:end], self.t[:end]
        if len(u) < 4:
            return self._within(0.0)
        share = (u[2:] - u[1:-1]) / (u[2:] - u[:-2])
        off = (t[1:-1] - share * t[:-2] - (1.0 - share) * t[2:]) / np.sqrt(1.0 + share**2 + (1.0 - share) ** 2)
        return self._within(float(1.4826 * np.median(np.abs(off[len(off) // 2 :]))))

    @property
    def noise_sd(self) -> float:
        """The same for the whole curve."""
        return self.noise_of(len(self.x))

    def _within(self, sd: float) -> float:
        unit = 1.0 if self.logarithmic else max(float(np.ptp(self.t)), 1e-12 * float(np.max(np.abs(self.t)))) or 1.0
        return float(np.clip(sd, 1e-3 * unit, 0.2 * unit))


def curve_of(x: Array, y: Array, mass: Array, *, logarithmic: bool) -> Curve:
    """Points (x, y) of weights `mass`, shape (n,) each, as a curve of at most BINS points."""
    t = np.log(y) if logarithmic else y
    distinct, place = np.unique(x, return_inverse=True)
    if len(distinct) > BINS:  # bins equal in sqrt(x): finer where a curve bends, without a bin of its own for each early point
        root = np.sqrt(distinct)
        edges = np.linspace(root[0], root[-1], BINS + 1)
        bins = np.clip(np.searchsorted(edges, np.sqrt(x), side="right") - 1, 0, BINS - 1)
        place = np.unique(bins, return_inverse=True)[1]
    count = np.bincount(place, mass).astype(np.float64)
    mean = np.bincount(place, mass * t) / count
    return Curve(
        x=np.exp(np.bincount(place, mass * np.log(x)) / count), y=np.exp(mean) if logarithmic else mean, count=count, logarithmic=logarithmic
    )


def candidate_weights(curve: Curve, k: int, ends: list[int]) -> Array:
    """Weights ~ count x^k of the first ends[i] points, scaled to their effective number of points:
    shape (ends, n).
    """
    out = np.zeros((len(ends), len(curve.x)))
    for row, end in enumerate(ends):
        weights = curve.count[:end] * np.exp(k * (curve.steps[:end] - curve.steps[end - 1]))
        out[row, :end] = weights / weights.sum() * effective(weights)
    return out


def effective(weights: Array) -> float:
    """How many equally weighted points these are worth (Kish 1965)."""
    return float(weights.sum() ** 2 / np.sum(weights**2))


def candidate_problem(law: Law, curve: Curve, asymptote: tuple[float, float]) -> Problem:
    """The law on this curve, with x in units of the largest; `asymptote` is the range in which the
    law may level off.
    """
    last = (float(curve.x[-1]),) if law.centres_x else (1.0,)
    middle = (float(np.exp(np.mean(np.log(curve.x)))),) if law.centres_x else (1.0,)
    bounds = {law.asymptote: asymptote} if law.asymptote is not None else {}
    return Problem(
        law=law,
        x=curve.x,
        y=curve.y,
        weights=np.ones(len(curve.x)),
        loss=Loss(logarithmic=curve.logarithmic, robust=False),
        pinned={},
        bounds=bounds,
        natural=middle,
        scale=last,
    )


def prior_of(law: Law, curve: Curve, ends: list[int], *, falling: bool) -> tuple[Array, Array]:
    """Centre and precision of the normal prior of the coordinates at each origin, in units of the
    squared noise: shape (ends, p) each. A law without priors has precision zero.
    """
    centre, precision = np.zeros((len(ends), len(law.names))), np.zeros((len(ends), len(law.names)))
    for name, (middle, sd) in law.priors.items():
        index = law.names.index(name)
        centre[:, index], precision[:, index] = middle, 1.0 / sd**2
    if law.asymptote is not None:
        index = law.names.index(law.asymptote)
        for row, end in enumerate(ends):
            last = float(np.mean(curve.t[max(0, end - 3) : end]))
            last = float(np.exp(last)) if curve.logarithmic else last
            span = max(float(np.ptp(curve.y[:end])), 1e-6 * abs(last)) or 1.0
            middle, sd = (0.4 * last, 0.4 * last) if falling and curve.logarithmic else (last + (-0.5 if falling else 0.5) * span, span)
            centre[row, index], precision[row, index] = middle, 1.0 / sd**2
    return centre, precision * np.array([curve.noise_of(end) ** 2 for end in ends])[:, None]
