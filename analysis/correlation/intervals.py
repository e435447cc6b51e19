"""Intervals of correlations: the jackknife over clusters, on a suitable scale.

Student's t on clusters - 2, on the scale on which the estimate is most nearly normal: Fisher's z
for Pearson, r itself for Spearman and Kendall (on z they cover too much: 0.97-0.98 at a nominal
0.95; percentile bootstraps of 9 clusters cover too little). `python -m benchmarks.statistics --only
correlation` measures it: 9 and 15 pre-trainings, 3 or 5 of each size.

What is estimated: the correlation over a grid whose sizes and label counts are these, and whose
pre-trainings are drawn anew, without end.
"""

from __future__ import annotations

import numpy as np

from analysis.correlation.estimates import Array
from analysis.significance.cluster_resampling import t_interval

NOT_QUITE_ONE = 1.0 - 1e-12  # Fisher's z is infinite at 1


def fisher_z(r: Array) -> Array:
    """Fisher's z of correlations, any shape."""
    return np.arctanh(np.clip(r, -NOT_QUITE_ONE, NOT_QUITE_ONE))


def correlation_interval(method: str, replicates: Array, *, level: float) -> tuple[float, float]:
    """Interval from the estimate of all runs and those without each cluster, shape (1 + clusters,).

    NaN where one of them is undefined, or all are equal.
    """
    if method == "pearson":
        low, high, _ = t_interval(fisher_z(replicates), level=level)
        return float(np.tanh(low)), float(np.tanh(high))
    low, high, _ = t_interval(replicates, level=level)
    return float(np.clip(low, -1.0, 1.0)), float(np.clip(high, -1.0, 1.0))
