"""What a law misses at the x that were measured, from runs in clusters.

An interval of a law assumes that the law is correctly specified. Where several seeds were run at
each x, their means show by how much it is not. So beside the law stands the law corrected by these
means: what is missed at each measured x is added, by a natural cubic spline in ln x between them,
and stays as it is beyond the last. It is unbiased at the measured x whatever the law, and noisier
than the law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.curve import Fit
from analysis.significance.cluster_resampling import MOST

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class JackknifedCurve:
    """A curve, and its refits without one cluster each."""

    values: Callable[[Array], Array]
    """y at x, shape (m,)."""
    replicates: Callable[[Array], Array]
    """y at x of each refit, shape (clusters, m)."""


def clusters_of(fit: Fit) -> list[str] | None:
    """The names of the clusters in the order of the refits; None where they are not known."""
    if fit.replicate_kind != "jackknife" or fit.cluster is None:
        return None
    names = list(dict.fromkeys(one for one, weight in zip(fit.cluster, fit.weights, strict=True) if weight > 0))
    return names if len(names) <= MOST else None


def order_of(fit: Fit, names: list[str]) -> NDArray[np.int64] | None:
    """Places of the refits without each of `names`, shape (clusters,); None where the fit has other
    clusters.
    """
    own = clusters_of(fit)
    if own is None or sorted(own) != sorted(names):
        return None
    return np.array([own.index(name) for name in names], dtype=np.int64)


def law_itself(fit: Fit, order: NDArray[np.int64] | None = None) -> JackknifedCurve:
    """The law as it was fitted; its refits in the given order."""
    params = {} if fit.replicates is None else {name: np.array(values) for name, values in fit.replicates.items()}
    ordered = params if order is None else {name: values[order] for name, values in params.items()}
    return JackknifedCurve(values=fit._values, replicates=lambda x: fit._values(x, ordered))


def law_corrected(fit: Fit, order: NDArray[np.int64] | None = None) -> JackknifedCurve | None:
    """The law corrected by the means at the measured x; None where there are no clusters, or where an
    x was measured in one cluster alone.
    """
    names = clusters_of(fit)
    if names is None or fit.cluster is None:
        return None
    mass = np.array(fit.weights)
    counts, mass = mass > 0, mass[mass > 0]
    x, y = np.array(fit.x)[counts], np.array(fit.y)[counts]
    cluster = np.array([names.index(one) for one in np.array(fit.cluster, dtype=object)[counts]])
    node, place = np.unique(x, return_inverse=True)
    law = law_itself(fit)
    left = y - np.vstack([law.values(x), law.replicates(x)])  # all clusters, then without each
    weights = mass * np.vstack([np.ones(len(x)), cluster[None, :] != np.arange(len(names))[:, None]])
    member = np.eye(len(node))[place]
    total = weights @ member
    if not (total > 0.0).all() or not np.isfinite(left).all():
        return None
    missed = (left * weights) @ member / total  # (1 + clusters, nodes)

    from scipy.interpolate import CubicSpline  # here, so that importing analysis stays quick

    between = CubicSpline(np.log(node), missed, axis=1, bc_type="natural") if len(node) > 1 else None

    def added(x: Array, rows: slice) -> Array:
        if between is None:
            return np.broadcast_to(missed[rows], (len(missed[rows]), len(x)))
        return np.asarray(between(np.clip(np.log(x), np.log(node[0]), np.log(node[-1]))))[rows]

    def values(x: Array) -> Array:
        return np.asarray(law.values(x) + added(x, slice(0, 1))[0])

    def replicates(x: Array) -> Array:
        every = law.replicates(x) + added(x, slice(1, None))
        return np.asarray(every if order is None else every[order])

    return JackknifedCurve(values=values, replicates=replicates)
