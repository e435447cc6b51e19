"""Tests whether the law fits, by the spread of repeated measurements at the same x."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.fitting.solving import Solution


@dataclass(frozen=True, kw_only=True)
class LackOfFit:
    """F test of the law against one free mean per x (Draper and Smith 1998, section 2.1)."""

    statistic: float | None
    """F; None where there is no test."""
    p: float | None
    """p-value: small means that the law does not fit the means at repeated x."""
    degrees_of_freedom: tuple[int, int]
    """Of the means about the law, and of the repeats about their means."""
    reason: str
    """Why there is no test; empty where there is one."""


def lack_of_fit(solution: Solution, *, clustered: bool) -> LackOfFit:
    """The test, on the residuals of the loss (relative ones where it is logarithmic)."""
    problem = solution.problem
    used = problem.weights > 0
    residual, weights = (solution.residual * problem.units)[used], problem.masses[used]
    cells = np.unique(problem.x[used], axis=0, return_inverse=True)[1].ravel()
    count = int(cells.max()) + 1
    freedom = (count - len(problem.free), len(residual) - count)
    if not np.isfinite(solution.objective):
        return _none(freedom, "the law cannot pass through these points")
    if clustered:
        return _none(freedom, "the points come in clusters, so repeats are not independent")
    if freedom[1] <= 0:
        return _none(freedom, "no x was measured twice")
    if freedom[0] <= 0:
        return _none(freedom, "there are no more distinct x than free parameters")
    mass = np.bincount(cells, weights)
    means = np.bincount(cells, weights * residual) / mass
    pure = float(np.sum(weights * (residual - means[cells]) ** 2)) / freedom[1]
    lack = float(np.sum(mass * means**2)) / freedom[0]
    if (pure <= 1e-28 * float(np.mean(np.abs(problem.y))) ** 2 and not problem.loss.logarithmic) or pure <= 1e-30:
        return _none(freedom, "repeats are equal to the last digit, so the noise is not known")
    from scipy.special import fdtrc

    statistic = lack / pure
    return LackOfFit(statistic=statistic, p=float(fdtrc(*freedom, statistic)), degrees_of_freedom=freedom, reason="")


def _none(freedom: tuple[int, int], reason: str) -> LackOfFit:
    return LackOfFit(statistic=None, p=None, degrees_of_freedom=freedom, reason=reason)
