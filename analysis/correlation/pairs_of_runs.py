"""Choosing between two runs by a proxy: how often it picks the better one, and the cost of errors.

Only pairs from different pre-trainings count, as a loss cannot choose between runs of one. A tie in
the proxy, or in the score, is half right. Over such pairs the accuracy is (1 - tau) / 2, tau being
Kendall's tau-a of loss and score (ties counting zero).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.correlation.estimates import CHUNK, Array, Labels


@dataclass(frozen=True, kw_only=True)
class PairChoices:
    """All runs first, then without each cluster: shape (1 + clusters,)."""

    accuracy: Array
    """Share of pairs that the proxy orders rightly; NaN without a pair."""
    regret: Array
    """Mean over pairs of the better score less that of the chosen run, in the score's unit."""
    pairs: int
    """Pairs of all runs."""


def pair_choices(goodness: Array, score: Array, *, cluster: Labels, pretraining: Labels, group: Labels) -> PairChoices:
    """Choices by the higher `goodness` among pairs of runs in one group and of two pre-trainings.

    All arrays have shape (n,).
    """
    clusters = int(cluster.max()) + 1
    member = np.eye(clusters)[cluster]
    sums = np.zeros((3, clusters, clusters))  # pairs, right less wrong, regret
    step = max(1, CHUNK // len(score))
    for at in range(0, len(score), step):
        rows = slice(at, at + step)
        counted = (group[rows, None] == group[None, :]) & (pretraining[rows, None] != pretraining[None, :])
        ahead = score[rows, None] - score[None, :]
        chosen = np.sign(goodness[rows, None] - goodness[None, :])
        for place, matrix in enumerate((np.ones_like(ahead), chosen * np.sign(ahead), np.abs(ahead) / 2.0 - chosen * ahead / 2.0)):
            sums[place] += member[rows].T @ (matrix * counted) @ member
    total = sums.sum(axis=(1, 2))
    without = total[:, None] - sums.sum(axis=1) - sums.sum(axis=2) + np.diagonal(sums, axis1=1, axis2=2)
    pairs, right, regret = np.column_stack([total, without])
    some = pairs > 0.5
    divisor = np.where(some, pairs, 1.0)
    return PairChoices(
        accuracy=np.where(some, 0.5 + right / divisor / 2.0, np.nan),
        regret=np.where(some, regret / divisor, np.nan),
        pairs=round(total[0] / 2.0),
    )


def chosen_score(goodness: Array, score: Array) -> float:
    """Score of the run with the highest goodness; the mean of them where several share it."""
    return float(np.mean(score[goodness == goodness.max()]))
