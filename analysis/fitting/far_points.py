"""A few points of small budgets that lie far from a surface which fits all others.

Hoffmann et al.'s points hold five such runs, which bend every fit and which most analyses leave
out. They are a matter of those runs, not of the law, so they are named and the law is judged
without them. Points of large budgets are never set aside so: a forecast rests on them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.solving import Solution, robust_sd, solve
from analysis.fitting.surface_check import SurfaceCheck, axes_of, check_surface

FAR = 10.0  # robust standard deviations beyond which a point lies far from the law
MOST = 0.05  # share of the points that may lie far
PASSES = 3


@dataclass(frozen=True, kw_only=True)
class FarPoints:
    """What is said about them."""

    check: SurfaceCheck
    """Of the law without them: it fits."""
    sentence: str
    """How many there are, where, how far off, and what the law is without them."""


def far_points(solution: Solution) -> FarPoints | None:
    """The points far from a law that does not fit because of them alone; None where there are none,
    more than a twentieth, any in the upper half of the budgets, or the law does not fit without.
    """
    problem = solution.problem
    used = problem.weights > 0
    if not len(axes := axes_of(problem.x[used], problem.law.inputs)):
        return None
    budget = np.full(len(problem.y), -np.inf)
    budget[used] = list(axes.values())[-1]
    found, far = solution, np.zeros(len(used), dtype=bool)
    for _ in range(PASSES):
        now = used & (np.abs(found.residual) > FAR * robust_sd(found))
        if np.array_equal(now, far):
            break
        far = now
        if not far.any() or far.sum() > MOST * used.sum():
            return None
        found = solve(dataclasses.replace(problem, weights=np.where(far, 0.0, problem.weights)), starts=found.u[None])
    if not far.any() or budget[far].max() >= np.median(budget[used]):
        return None
    check = check_surface(found)
    if not check.fits:
        return None
    return FarPoints(check=dataclasses.replace(check, far_points=int(far.sum())), sentence=_sentence(solution, found, far))


def _sentence(solution: Solution, without: Solution, far: NDArray[np.bool_]) -> str:
    problem = solution.problem
    off = (without.residual * problem.units)[far]  # fitted minus measured, of logs where the loss is logarithmic
    most = f"{100.0 * np.abs(np.expm1(-off)).max():.0f}%" if problem.loss.logarithmic else f"{np.abs(off).max():.3g}"
    ends = zip(problem.law.inputs, problem.x[far].min(axis=0), problem.x[far].max(axis=0), strict=True)
    where = " and ".join(f"{name} {low:.3g} to {high:.3g}" if low < high else f"{name} {low:.3g}" for name, low, high in ends)
    exponents = [name for name in problem.free if problem.law.parameter(name).role == "positive" and name.islower()]
    told = " and ".join(f"{name} is {without.params[name]:.3g} instead of {solution.params[name]:.3g}" for name in exponents)
    one = far.sum() == 1
    points = f"{int(far.sum())} of {int((problem.weights > 0).sum())} points of small budgets {'lies' if one else 'lie'}"
    moved = f"; without {'it' if one else 'them'} {told}" if told else ""
    return f"{points} up to {most} from a law that fits the others, at {where}{moved}"
