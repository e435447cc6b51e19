"""Inner products of covariance matrices of random effects, from counts by level and without n x n
matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ComponentLevels:
    """One component: the covariance matrix P Z Z^T P of indicators Z.

    P projects out the fixed effects.
    """

    label: Labels
    """Level of each pair, -1 where it has none, shape (n,)."""
    sums: NDArray[np.float64]
    """Q^T Z for an orthonormal basis Q of the fixed effects, shape (rank, levels)."""

    @staticmethod
    def of(label: Labels, q: NDArray[np.float64]) -> ComponentLevels:
        """The component of a label; q is an orthonormal basis of the fixed effects, shape (n,
        rank).
        """
        sums = np.zeros((int(label.max()) + 1, q.shape[1]))
        np.add.at(sums, label[label >= 0], q[label >= 0])
        return ComponentLevels(label=label, sums=sums.T)

    @property
    def trace(self) -> float:
        """Trace of Z^T P Z: the inner product with P."""
        return float((self.label >= 0).sum() - np.sum(self.sums**2))

    def inner(self, other: ComponentLevels) -> float:
        """Inner product of two covariance matrices: the sum of squares of Z^T P W.

        Z^T W has few cells that are not zero.
        """
        both = (self.label >= 0) & (other.label >= 0)
        width = other.sums.shape[1]
        cells, counts = np.unique(self.label[both] * width + other.label[both], return_counts=True)
        crossed = np.einsum("ki,ki->i", self.sums[:, cells // width], other.sums[:, cells % width])
        shared = float(np.sum((self.sums @ self.sums.T) * (other.sums @ other.sums.T)))
        return float(np.sum(counts.astype(float) ** 2) - 2.0 * np.sum(counts * crossed)) + shared
