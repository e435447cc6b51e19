"""Does a surface fit its own points? A verdict without repeated measurements.

Three views of the residuals: an F test of the law against the law with quadratic terms in the logs
of its inputs (a score test: the terms are added to the law's tangent plane), the longest runs of
one sign along each input and along their product, and the bias of fits to the smaller budgets on
the larger ones. A law is said not to fit where the F test is clear, what it finds is not small
beside the noise, and the runs or the bias agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.rolling_origin import solve_many
from analysis.fitting.solving import OUTLIER, Solution, robust_sd

Array = NDArray[np.float64]

CLEAR = 1e-3  # p-value of the F test, and of the runs, below which there is a sign of misfit
LARGE = 0.5  # misfit found by the F test relative to the noise, below which the law is good enough
BIASED = 2.0  # bias at later budgets, in noise sds, above which it counts
FEWEST_SPARE = 8  # residual degrees of freedom below which nothing is said
SHARES = (0.5, 0.65, 0.8)
PARTS = 3


@dataclass(frozen=True, kw_only=True)
class SurfaceCheck:
    """What the residuals say about the law."""

    fits: bool
    """False where the law clearly does not fit."""
    p: float | None
    """Of the F test against the law with quadratic terms; None where there are too few points."""
    runs_p: float | None
    """Smallest p-value of the runs tests, times how many there were."""
    bias: float | None
    """Mean residual of later budgets in fits to earlier ones, measured minus fitted, on the scale
    of the residuals; None without origins.
    """
    region: str
    """Where the law misses most; empty where it fits."""
    far_points: int = 0
    """Points of small budgets that lie far from the law and were left out of this verdict."""


def check_surface(solution: Solution) -> SurfaceCheck:
    """The verdict on a solved surface."""
    problem = solution.problem
    used = problem.weights > 0
    X, residual = problem.x[used], -solution.residual[used]  # measured minus fitted
    n, free = len(residual), len(problem.free)
    nothing = SurfaceCheck(fits=True, p=None, runs_p=None, bias=None, region="")
    if n - free < FEWEST_SPARE or not np.all(np.isfinite(residual)):
        return nothing
    sd = robust_sd(solution)
    if not sd > 1e-9:
        return nothing
    held = np.clip(residual, -OUTLIER * sd, OUTLIER * sd)
    p, misfit = _against_quadratic(solution, used, held)
    axes = axes_of(X, problem.law.inputs)
    runs_p = min(1.0, len(axes) * min(_runs_p(held, along) for along in axes.values()))
    bias = _rolling_bias(solution, used, axes)
    units = np.broadcast_to(np.asarray(problem.units), used.shape)[used]
    agree = runs_p < CLEAR or (bias is not None and abs(bias) > BIASED * sd)
    wrong = p is not None and p < CLEAR and misfit > LARGE and agree
    return SurfaceCheck(fits=not wrong, p=p, runs_p=runs_p, bias=bias, region=_region(held * units, axes) if wrong else "")


def axes_of(X: Array, inputs: tuple[str, ...]) -> dict[str, Array]:
    """ln of each input that is above zero everywhere, and of their product, by name; each of shape
    (n,).
    """
    found = {name: np.log(column) for name, column in zip(inputs, X.T, strict=True) if np.all(column > 0) and np.ptp(column) > 0}
    return found | ({" ".join(found): np.sum(list(found.values()), axis=0)} if len(found) > 1 else {})


def _against_quadratic(solution: Solution, used: NDArray[np.bool_], residual: Array) -> tuple[float | None, float]:
    """p of the F test, and the misfit that it finds in units of the remaining noise."""
    from scipy.special import fdtrc

    problem = solution.problem
    with np.errstate(all="ignore"):
        tangent = problem.gradient(solution.u[None])[0][:, problem.free_mask]
        if problem.loss.logarithmic:
            tangent = tangent / problem.function(solution.u[None])[0][:, None]
    units = np.broadcast_to(np.asarray(problem.units), used.shape)[used]
    axes = [value for name, value in axes_of(problem.x[used], problem.law.inputs).items() if " " not in name]
    centred = [(one - one.mean()) / one.std() for one in axes]
    more = [centred[i] * centred[j] for i in range(len(centred)) for j in range(i, len(centred))]
    root = np.sqrt(problem.weights[used]) / units  # as the residuals are: in units of their standard errors
    tangent = tangent[used] * root[:, None]
    if not more or not np.all(np.isfinite(tangent)):
        return None, 0.0
    target = residual * np.sqrt(problem.weights[used])
    size = np.linalg.norm(tangent, axis=0)
    plain = tangent / np.where(size > 0, size, 1.0)
    full = np.column_stack([plain, np.stack(more, axis=1) * root[:, None]])
    left = [target - design @ np.linalg.lstsq(design, target, rcond=None)[0] for design in (plain, full)]
    rank = [int(np.linalg.matrix_rank(design)) for design in (plain, full)]
    spare, added = len(target) - rank[1], rank[1] - rank[0]
    if spare < 3 or added < 1:
        return None, 0.0
    before, after = (float(one @ one) for one in left)
    noise = after / spare
    explained = max(before - after, 0.0)
    return float(fdtrc(added, spare, explained / added / max(noise, 1e-300))), float(np.sqrt(explained / len(target) / max(noise, 1e-300)))


def _runs_p(residual: Array, along: Array) -> float:
    """One-sided p of Wald and Wolfowitz' runs test: too few runs of one sign in that order."""
    from scipy.special import ndtr

    signs = residual[np.argsort(along, kind="stable")] > 0
    up, down = int(signs.sum()), int((~signs).sum())
    n = up + down
    if up < 3 or down < 3:
        return 1.0
    runs = 1 + int(np.sum(signs[1:] != signs[:-1]))
    mean = 1.0 + 2.0 * up * down / n
    variance = (mean - 1.0) * (mean - 2.0) / (n - 1.0)
    return float(ndtr((runs + 0.5 - mean) / np.sqrt(variance))) if variance > 0 else 1.0


def _rolling_bias(solution: Solution, used: NDArray[np.bool_], axes: dict[str, Array]) -> float | None:
    """Mean residual of the points of larger budgets in fits to the smaller ones."""
    problem = solution.problem
    budget = np.full(len(problem.y), np.inf)
    budget[used] = list(axes.values())[-1]
    ends = origins_of(budget[used], len(problem.free) + 3)
    if not ends:
        return None
    seen = np.array([(budget < end) & used for end in ends])
    weights = np.where(seen, problem.weights, 0.0)
    with np.errstate(all="ignore"):
        off = problem.loss.residual(solve_many(problem, weights).fitted, problem.y) / problem.units
    off = np.where(used & ~seen & np.isfinite(off), -off, np.nan)
    return float(np.mean([np.nanmedian(row) for row in off])) if np.isfinite(off).any(axis=1).all() else None


def origins_of(budget: Array, fewest: int) -> list[float]:
    """ln budgets below which the points are fitted and from which on they are predicted."""
    ordered = np.sort(budget)
    found = []
    for share in SHARES:
        place = min(len(ordered) - 1, max(fewest, round(share * len(ordered))))
        end = float(ordered[place]) - 1e-6
        if np.sum(ordered < end) >= fewest and end not in found:
            found.append(end)
    return found


def _region(residual: Array, axes: dict[str, Array]) -> str:
    """The part of an axis on which the mean residual is largest, as a sentence's end."""
    best, told = 0.0, ""
    for name, along in axes.items():
        edges = np.quantile(along, np.linspace(0.0, 1.0, PARTS + 1))
        for place in range(PARTS):
            inside = (along >= edges[place]) & (along <= edges[place + 1])
            mean = float(residual[inside].mean()) if inside.any() else 0.0
            if abs(mean) > abs(best):
                low, high = np.exp(along[inside].min()), np.exp(along[inside].max())
                best, told = mean, f"{'above' if mean > 0 else 'below'} it by {abs(mean):.2g} on average where {name} is {low:.3g} to {high:.3g}"
    return told
