"""Restricted maximum likelihood of a linear mixed model with crossed variance components, and
Satterthwaite's degrees of freedom.

All work is on the cross-products of the level indicators, so one step costs the cube of the number
of levels, whatever the number of observations: milliseconds for a grid of hundreds of pairs,
seconds for thousands with a thousand levels.

Variances are held at or above zero, so that the weights make sense. With few levels of a component
the standard error that follows is then too large or, if its degrees of freedom are dropped, too
sure; Stroup and Littell 2002 (Proc. Conf. Applied Statistics in Agriculture) measured that only
unbounded estimates keep the error rate. `freed_standard_error` has them: one scoring step without
bounds (MIVQUE, Rao 1971), at the same weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST_STEPS = 200
SMALLEST_RESIDUAL = 1e-10  # as a share of the variance of y


@dataclass(frozen=True, kw_only=True)
class Reml:
    """A fitted model y = X b + sum_k Z_k u_k + e, with u_k ~ N(0, variances[k]) and e ~ N(0,
    variances[-1]).
    """

    variances: Array
    """Shape (components + 1,), the residual last, in the square of y's unit; zero is allowed for
    all but the residual.
    """
    log_likelihood: float
    """The restricted log-likelihood of Patterson and Thompson 1971 with all its constants, as
    statsmodels gives it.
    """
    information: Array
    """Expected information of the variances, shape (components + 1, components + 1)."""
    coefficients: Array
    """b, shape (p,)."""
    covariance: Array
    """Of the coefficients, shape (p, p), at these variances."""
    projected: tuple[Array, ...]
    """Z_k' H^-1 X (X' H^-1 X)^-1 for each component, with H = V / residual variance."""
    score: Array
    """Slope of the log-likelihood in the variances, shape (components + 1,); below zero only where
    a variance is at its bound.
    """

    def standard_error(self, contrast: Array) -> float:
        """Of contrast . b; contrast has shape (p,)."""
        return float(np.sqrt(contrast @ self.covariance @ contrast))

    def freed_standard_error(self, contrast: Array, kept: NDArray[np.bool_] | None = None) -> float:
        """Of contrast . b at the same weights, from the unbiased quadratic estimates of the
        variances marked in `kept`, shape (components + 1,).

        Equals standard_error where no marked variance is at its bound, and the ANOVA answer in
        balanced designs; NaN where it is not above zero.
        """
        free = np.ones(len(self.variances), dtype=bool) if kept is None else kept
        freed = self.variances.copy()
        freed[free] += np.linalg.pinv(self.information[np.ix_(free, free)], hermitian=True) @ self.score[free]
        spread = float(self._gradient(contrast) @ freed)
        return spread**0.5 if spread > 0 else float("nan")

    def degrees_of_freedom(self, contrast: Array, kept: NDArray[np.bool_] | None = None) -> float:
        """Satterthwaite's degrees of freedom 2 v^2 / var(v) of v = var(contrast . b), by the delta
        method on the expected information.

        `kept`, shape (components + 1,), marks the variances that count as estimated; the others
        count as known (Fai and Cornelius 1996).
        """
        free = np.ones(len(self.variances), dtype=bool) if kept is None else kept
        gradient = self._gradient(contrast)[free]
        inverse = np.linalg.pinv(self.information[np.ix_(free, free)], hermitian=True)
        return float(2.0 * self.standard_error(contrast) ** 4 / (gradient @ inverse @ gradient))

    def _gradient(self, contrast: Array) -> Array:
        """Of var(contrast . b) in each variance at fixed weights a: the squared length of Z_k' a,
        and of a; shape (components + 1,).
        """
        weights = np.array([float(np.sum((one @ contrast) ** 2)) for one in self.projected])
        spread = self.standard_error(contrast) ** 2
        return np.append(weights, (spread - float(weights @ self.variances[:-1])) / self.variances[-1])


def fit_reml(y: Array, fixed: Array, levels: Sequence[NDArray[np.int64]]) -> Reml:
    """Fit by Fisher scoring, variances held at or above zero.

    Args:
        y: shape (n,).
        fixed: X, shape (n, p), of full rank p < n.
        levels: for each component the level of each observation from 0, or -1 where the component
            does not act; shape (n,).
    """
    scale = float(np.std(y)) or 1.0
    problem = _Problem(y / scale, fixed, levels)
    best = max((problem.climb(start) for start in problem.starts()), key=lambda one: one.log_likelihood)
    degrees = len(y) - fixed.shape[1]
    return Reml(
        variances=best.variances * scale**2,
        log_likelihood=best.log_likelihood - degrees * float(np.log(scale)),
        information=best.information / scale**4,
        coefficients=best.coefficients * scale,
        covariance=best.covariance * scale**2,
        projected=best.projected,
        score=best.score / scale**2,
    )


class _Problem:
    """Cross-products of the data, and the likelihood from them."""

    def __init__(self, y: Array, fixed: Array, levels: Sequence[NDArray[np.int64]]) -> None:
        self.n, self.p = fixed.shape
        self.sizes = np.array([int(one.max()) + 1 for one in levels], dtype=np.int64)
        parts = [(one[:, None] == np.arange(size)).astype(np.float64) for one, size in zip(levels, self.sizes, strict=True)]
        z = np.concatenate(parts, axis=1) if parts else np.zeros((self.n, 0))
        edges = np.concatenate(([0], np.cumsum(self.sizes)))
        self.spans = [slice(a, b) for a, b in itertools.pairwise(edges)]
        # Z = Q R with orthonormal Q, so that V / residual = I + Q R D R' Q' is inverted on the
        # small R
        values, vectors = np.linalg.eigh(z.T @ z)
        there = values > 1e-10 * max(float(values.max(initial=0.0)), 1.0)
        self.r = np.sqrt(values[there])[:, None] * vectors[:, there].T
        q = vectors[:, there].T / np.sqrt(values[there])[:, None] @ z.T
        self.qx, self.qy = q @ fixed, q @ y
        rest_x, rest_y = fixed - q.T @ self.qx, y - q.T @ self.qy
        self.xx, self.xy, self.yy = rest_x.T @ rest_x, rest_x.T @ rest_y, float(rest_y @ rest_y)
        residual = y - fixed @ np.linalg.lstsq(fixed, y, rcond=None)[0]
        self.variance = max(float(residual @ residual) / (self.n - self.p), 1e-300)
        self.lowest = np.append(np.zeros(len(levels)), SMALLEST_RESIDUAL * self.variance)
        self.constant = (self.n - self.p) * float(np.log(2.0 * np.pi))

    def starts(self) -> list[Array]:
        """All components alike, and the residual alone: the likelihood can have a second peak where
        a component is zero.
        """
        parts = len(self.sizes) + 1
        return [np.full(parts, self.variance / parts), np.append(np.full(parts - 1, 1e-3 * self.variance), self.variance)][: 1 + (parts > 1)]

    def at(self, variances: Array) -> Reml:
        """The model at these variances."""
        residual, spans = variances[-1], self.spans
        ratio = variances[:-1] / residual
        inner = np.eye(len(self.r)) + (self.r * np.repeat(ratio, self.sizes)) @ self.r.T
        factor = np.linalg.cholesky(inner)
        half = np.linalg.solve(factor, np.column_stack([self.r, self.qx, self.qy]))
        levels = self.r.shape[1]
        left, middle, right = half[:, :levels], half[:, levels:-1], half[:, -1]
        zhx = left.T @ middle
        inverse = np.linalg.inv(self.xx + middle.T @ middle)
        xhy = self.xy + middle.T @ right
        coefficients = inverse @ xhy
        projected = zhx @ inverse
        zpz, zpy = left.T @ left - projected @ zhx.T, left.T @ right - projected @ xhy
        ypy = max(self.yy + float(right @ right) - float(xhy @ coefficients), 0.0)
        norms = np.array([[float(np.sum(zpz[one, two] ** 2)) for two in spans] for one in spans]).reshape(len(spans), len(spans))
        traces = np.array([float(np.trace(zpz[one, one])) for one in spans])
        squares = np.array([float(zpy[one] @ zpy[one]) for one in spans])
        # P H P = P gives what the residual needs without any n x n matrix
        trace = self.n - self.p - float(ratio @ traces)
        mixed = traces - norms @ ratio
        score = np.append(squares / residual - traces, (ypy - float(ratio @ squares)) / residual - trace) / (2.0 * residual)
        information = np.empty((len(spans) + 1,) * 2)
        information[:-1, :-1], information[-1, :-1], information[:-1, -1] = norms, mixed, mixed
        information[-1, -1] = trace - float(ratio @ mixed)
        twice = (self.n - self.p) * np.log(residual) + 2.0 * np.sum(np.log(np.diag(factor))) - np.linalg.slogdet(inverse)[1]
        return Reml(
            variances=variances,
            log_likelihood=-0.5 * float(twice + ypy / residual + self.constant),
            information=information / (2.0 * residual**2),
            coefficients=coefficients,
            covariance=residual * inverse,
            projected=tuple(projected[one] for one in spans),
            score=score,
        )

    def climb(self, start: Array) -> Reml:
        """Fisher scoring with halving; a component leaves its bound only where the likelihood rises
        from there.
        """
        state = self.at(start)
        for _ in range(MOST_STEPS):
            free = (state.variances > self.lowest) | (state.score > 0.0)
            step = np.zeros(len(free))
            step[free] = np.linalg.pinv(state.information[np.ix_(free, free)], hermitian=True) @ state.score[free]
            there = self._uphill(state, step)
            if there is None:
                return state
            moved = np.max(np.abs(there.variances - state.variances)) / self.variance
            state = there
            if moved < 1e-10:
                return state
        return state

    def _uphill(self, state: Reml, step: Array) -> Reml | None:
        size = 1.0
        while size > 1e-12:
            there = self.at(np.maximum(state.variances + size * step, self.lowest))
            if there.log_likelihood >= state.log_likelihood:
                return there
            size *= 0.5
        return None
