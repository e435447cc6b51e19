"""Pearson's, Spearman's and Kendall's correlation, of all runs and without each cluster in turn.

Ranks are mid-ranks; Kendall's is tau-b. A partial correlation is that of the residuals of two
linear regressions on the design; Spearman's is that of the ranks, on a design of ranks (as
`pingouin.partial_corr(method="spearman")`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
METHODS = ("pearson", "spearman", "kendall")
CHUNK = 2_000_000  # pairs held at once: 16 MB
CONSTANT = 1e-14  # variance, relative to the mean square, below which a column is constant
DEPENDENT = 1e-9  # singular value, relative to the largest, below which a column of the design follows from the others


def pearson(x: Array, y: Array, weights: Array) -> Array:
    """Weighted Pearson correlation for each row of weights, shape (m,), for x and y (n,), weights
    (m, n). NaN where x or y is constant.
    """
    return _correlation(x - x.mean(), y - y.mean(), weights)


def spearman(x: Array, y: Array, weights: Array) -> Array:
    """Weighted Spearman correlation, shape (m,): Pearson of the mid-ranks that a resample with
    these weights has.
    """
    return _correlation(_midranks(x, weights), _midranks(y, weights), weights)


def ranks(values: Array) -> Array:
    """Mid-ranks from 1, shape (n,)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2.0)[place], dtype=np.float64)


def basis(design: Array | None, n: int) -> Array:
    """Orthonormal basis of the columns of the design and a constant, shape (n, k); the design has
    shape (n, c), None for the constant alone.
    """
    columns = np.ones((n, 1))
    if design is None or design.shape[1] == 0:
        return columns / np.sqrt(n)
    centred = design - design.mean(axis=0)
    size = np.sqrt(np.sum(centred**2, axis=0))
    varies = size > np.sqrt(CONSTANT) * np.maximum(np.sqrt(np.sum(design**2, axis=0)), 1e-300)
    if not varies.any():
        return columns / np.sqrt(n)
    left, singular, _ = np.linalg.svd(centred[:, varies] / size[varies], full_matrices=False)
    return np.column_stack([columns / np.sqrt(n), left[:, singular > DEPENDENT * singular[0]]])


def residual(values: Array, orthonormal: Array) -> Array:
    """Residuals of values, shape (n,), on the columns of `orthonormal`, shape (n, k).

    Zeros where only rounding errors are left.
    """
    rest = values - orthonormal @ (orthonormal.T @ values)
    spread = values - values.mean()
    return rest if np.sum(rest**2) > 1e-18 * np.sum(spread**2) else np.zeros_like(rest)


def correlation_given(method: str, x: Array, y: Array, design: Array) -> float:
    """Partial correlation ('pearson' or 'spearman') of x and y, shape (n,), given a design of shape
    (n, c). NaN where nothing is left of x or y.
    """
    if method == "spearman":
        x, y = ranks(x), ranks(y)
    orthonormal = basis(design, len(x))
    first, second = residual(x - x.mean(), orthonormal), residual(y - y.mean(), orthonormal)
    size = float(np.sum(first**2) * np.sum(second**2))
    if len(x) - orthonormal.shape[1] < 2 or not size > 0.0:
        return float("nan")
    return float(np.clip(np.sum(first * second) / np.sqrt(size), -1.0, 1.0))


def estimates(method: str, x: Array, y: Array, cluster: Labels, *, strata: Labels | None = None, design: Array | None = None) -> Array:
    """The correlation of all runs, then without each cluster in turn, shape (1 + clusters,); all
    arrays have shape (n,).

    With `strata` it is the pooled correlation within strata: their means are removed from x and y
    (from the ranks inside each for Spearman), and only pairs inside one count for Kendall. With
    `design`, (n, c), it is partial; Kendall's is then NaN.
    """
    clusters = int(cluster.max()) + 1
    if method == "kendall":
        if design is not None:
            return np.full(1 + clusters, np.nan)
        return _kendall(x, y, cluster, np.zeros(len(x), dtype=np.int64) if strata is None else strata)
    if design is None and strata is None:
        weights = np.vstack([np.ones(len(x)), 1.0 - np.eye(clusters)[:, cluster]])
        return {"pearson": pearson, "spearman": spearman}[method](x, y, weights)
    kept = [np.arange(len(x)), *(np.flatnonzero(cluster != gone) for gone in range(clusters))]
    return np.array([_one(method, x[rows], y[rows], None if strata is None else strata[rows], _part(design, rows)) for rows in kept])


def _one(method: str, x: Array, y: Array, strata: Labels | None, design: Array | None) -> float:
    if len(x) < 2:
        return float("nan")
    if strata is not None:
        inside = np.unique(strata, return_inverse=True)[1]
        if method == "spearman":
            x, y = ranks_inside(x, inside), ranks_inside(y, inside)
        dummies = np.eye(int(inside.max()) + 1)[inside]
        return correlation_given("pearson", x, y, dummies if design is None else np.column_stack([dummies, design]))
    assert design is not None
    return correlation_given(method, x, y, design)


def ranks_inside(values: Array, strata: Labels) -> Array:
    """Mid-ranks inside each stratum, divided by its size + 1 so that large strata do not count for
    more, shape (n,).
    """
    out = np.empty(len(values))
    for one in np.unique(strata):
        inside = strata == one
        out[inside] = ranks(values[inside]) / (np.sum(inside) + 1.0)
    return out


def _part(design: Array | None, rows: NDArray[np.int64]) -> Array | None:
    return None if design is None else design[rows]


def add_by_cluster(total: Array, matrix: Array, cluster: Labels, there: Labels, start: Labels) -> None:
    """Adds to `total`, (clusters, clusters), what the pairs in `matrix`, (rows, n), sum to by cluster.

    Runs of one cluster stand together, from `start` on for each cluster in `there`, so that sums
    over clusters are sums of neighbours; a matrix product would cost clusters times more. `cluster`
    holds the labels of the rows.
    """
    summed = np.zeros((matrix.shape[0], len(total)))
    summed[:, there] = np.add.reduceat(matrix, start, axis=1)
    np.add.at(total, cluster, summed)


def _kendall(x: Array, y: Array, cluster: Labels, strata: Labels) -> Array:
    """Tau-b of all pairs inside one stratum, and of those without each cluster."""
    clusters = int(cluster.max()) + 1
    sums = np.zeros((3, clusters, clusters))  # concordance, pairs untied in x, pairs untied in y
    order = np.argsort(cluster, kind="stable")
    x, y, strata, cluster = x[order], y[order], strata[order], cluster[order]
    there, start = np.unique(cluster, return_index=True)
    step = max(1, CHUNK // len(x))
    for at in range(0, len(x), step):
        rows = slice(at, at + step)
        together = strata[rows, None] == strata[None, :]
        of_x = np.sign(x[rows, None] - x[None, :]) * together
        of_y = np.sign(y[rows, None] - y[None, :]) * together
        for place, matrix in enumerate((of_x * of_y, np.abs(of_x), np.abs(of_y))):
            add_by_cluster(sums[place], matrix, cluster[rows], there, start)
    total = sums.sum(axis=(1, 2))
    without = total[:, None] - sums.sum(axis=1) - sums.sum(axis=2) + np.diagonal(sums, axis1=1, axis2=2)
    concordance, untied_x, untied_y = np.column_stack([total, without])
    size = untied_x * untied_y
    return np.where(size > 0.5, concordance / np.sqrt(np.where(size > 0.5, size, 1.0)), np.nan)


def _correlation(x: Array, y: Array, weights: Array) -> Array:
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)  # zero without the only cluster
    x_centred, y_centred = (values - np.sum(weights * values, axis=1, keepdims=True) / total for values in (x, y))
    x_square, y_square = (np.sum(weights * values**2, axis=1) for values in (x_centred, y_centred))
    x_size, y_size = (np.sum(weights * values**2, axis=1) for values in (x, y))
    varies = (x_square > CONSTANT * x_size) & (y_square > CONSTANT * y_size)
    product = np.where(varies, x_square * y_square, 1.0)
    covariance = np.sum(weights * x_centred * y_centred, axis=1)
    return np.where(varies, np.clip(covariance / np.sqrt(product), -1.0, 1.0), np.nan)


def _midranks(values: Array, weights: Array) -> Array:
    """Mid-rank of each value among the weighted values, shape (m, n)."""
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    start = np.flatnonzero(np.diff(place[order], prepend=-1))
    counts = np.add.reduceat(weights[:, order], start, axis=1)
    return (np.cumsum(counts, axis=1) - counts / 2.0)[:, place]
