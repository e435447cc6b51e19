"""Permutation test of no association: the losses of whole pre-trainings change places, the scores
stay.

If the losses have nothing to do with the scores, any placing of them is as likely as the one seen,
whatever seeds, stages or trunks the scores have in common, as long as losses that change places are
alike in all else. They change places inside one seed where each cluster has one seed and that
leaves 100 placings (the scores of one seed share its label subset), inside one level of the columns
that are held fixed, else anywhere. Where a cluster holds several values of x, as a series of
lengths does, exchanging whole clusters would say nothing about what happens inside them; there the
jackknife tests instead. Every placing is counted up to 5,040 (7!), and 4,999 drawn ones beyond
(Phipson and Smyth 2010: the placing seen is among them).
"""

from __future__ import annotations

import numpy as np

from analysis.correlation.clusters import constant_inside
from analysis.correlation.estimates import Array, Labels, add_by_cluster, basis, ranks, ranks_inside, residual

FEWEST = 20  # placings below which p cannot be under 0.05
FEWEST_IN_SEED = 100
MOST_PAIRS = 50_000_000  # pairs of clusters times placings; beyond, Kendall's p counts the first placings, 999 at least
FEWEST_DRAWN = 999
CELLS = 4_000_000  # numbers held at once: 32 MB


def p_of_placings(
    method: str, x: Array, y: Array, cluster: Labels, source: Labels, *, strata: Labels | None = None, design: Array | None = None
) -> float:
    """Two-sided p: the share of placings whose correlation is at least as far from zero as the
    first.

    `source` has shape (placings, clusters).

    x has shape (clusters,), y and cluster (n,), strata and design as in `estimates`. For Spearman
    the clusters are ranked, which is the same where all hold equally many runs. NaN where nothing
    varies.
    """
    rank_pairs = method == "kendall"
    statistics = _kendall(x, y, cluster, source, strata) if rank_pairs else _linear(method, x, y, cluster, source, strata, design)
    if not np.isfinite(statistics[0]):
        return float("nan")
    size = np.abs(statistics[np.isfinite(statistics)])
    return float(np.mean(size >= size[0] * (1.0 - 1e-9) - 1e-12))


def residual_of(x: Array, cluster: Labels, design: Array) -> Array:
    """Residual of each cluster's x on its mean design, shape (clusters,).

    For exchanging clusters where no two have the same design.
    """
    mean = np.stack([design[cluster == one].mean(axis=0) for one in range(len(x))])
    return residual(x - x.mean(), basis(mean, len(x)))


def _linear(method: str, x: Array, y: Array, cluster: Labels, source: Labels, strata: Labels | None, design: Array | None) -> Array:
    """(Partial) correlation for every placing, from sums over clusters alone."""
    value = x - x.mean()
    if method == "spearman":
        value, y = _ranked(x, y, cluster, strata)
    columns = [np.eye(int(strata.max()) + 1)[strata]] if strata is not None else []
    columns += [design] if design is not None else []
    orthonormal = basis(np.column_stack(columns) if columns else None, len(y))
    rest = residual(y - y.mean(), orthonormal)
    size = float(np.sum(rest**2))
    if not size > 0.0:
        return np.full(len(source), np.nan)
    member = np.eye(len(value))[cluster]
    of_y, of_basis, runs = member.T @ rest, member.T @ orthonormal, member.sum(axis=0)
    placed = value[source]
    left = np.sum(runs * placed**2, axis=1) - np.sum((placed @ of_basis) ** 2, axis=1)
    varies = left > 1e-12 * np.sum(runs * value**2)
    return np.where(varies, placed @ of_y / np.sqrt(np.where(varies, left, 1.0) * size), np.nan)


def _ranked(x: Array, y: Array, cluster: Labels, strata: Labels | None) -> tuple[Array, Array]:
    """Ranks of x less their mean, and ranks of y, inside strata.

    x is ranked inside strata only where each cluster lies in one.
    """
    own = None if strata is None else constant_inside(strata.astype(object), cluster)
    value = ranks(x) if own is None else ranks_inside(x, own)
    return value - value.mean(), ranks(y) if strata is None else ranks_inside(y, strata)


def _kendall(x: Array, y: Array, cluster: Labels, source: Labels, strata: Labels | None) -> Array:
    of_y, pairs, untied_y = _pairs_of_clusters(y, cluster, strata)
    if not untied_y > 0.0:
        return np.full(len(source), np.nan)
    n = len(x)
    # Both sums over pairs of clusters are of what lies below the diagonal once the placed losses
    # are sorted: signs are antisymmetric in the pair and pairs symmetric, so that it is enough to
    # know which of two losses is the smaller.
    sums = np.column_stack([-2.0 * of_y.ravel(), 2.0 * pairs.ravel()])
    first, second = np.nonzero(pairs)  # inside strata few clusters meet
    few = 4 * len(first) < n * n
    if few:
        sums = sums[first * n + second]
    rank = np.unique(x, return_inverse=True)[1].astype(np.int32)
    source = source[: max(1 + FEWEST_DRAWN, MOST_PAIRS // max(1, n * (n - 1) // 2))]
    out = np.empty(len(source))
    step = max(1, CELLS // max(1, len(sums)) // 4)
    for at in range(0, len(source), step):
        placed = rank[source[at : at + step]]
        smaller = placed[:, first] < placed[:, second] if few else (placed[:, :, None] < placed[:, None, :]).reshape(len(placed), n * n)
        concordance, untied = (smaller.astype(np.float64) @ sums).T
        out[at : at + step] = np.where(untied > 0, concordance / np.sqrt(np.maximum(untied, 1.0) * untied_y), np.nan)
    return out


def _pairs_of_clusters(y: Array, cluster: Labels, strata: Labels | None) -> tuple[Array, Array, float]:
    """Sums of sign(y_i - y_j) and numbers of pairs, inside strata and by cluster, shape (clusters,
    clusters); and the number of pairs untied in y.
    """
    inside = np.zeros(len(y), dtype=np.int64) if strata is None else strata
    clusters = int(cluster.max()) + 1
    of_y, pairs, untied = np.zeros((clusters,) * 2), np.zeros((clusters,) * 2), 0.0
    order = np.argsort(cluster, kind="stable")
    y, inside, cluster = y[order], inside[order], cluster[order]
    there, start = np.unique(cluster, return_index=True)
    step = max(1, CELLS // len(y))
    for at in range(0, len(y), step):
        rows = slice(at, at + step)
        together = inside[rows, None] == inside[None, :]
        signs = np.sign(y[rows, None] - y[None, :]) * together
        for total, matrix in ((of_y, signs), (pairs, together.astype(np.float64))):
            add_by_cluster(total, matrix, cluster[rows], there, start)
        untied += float(np.abs(signs).sum())
    return of_y, pairs, untied
