"""Joint tests for few clusters by the wild cluster bootstrap: the signs of whole clusters are drawn
anew where the hypothesis holds.

Cameron, Gelbach and Miller 2008 (Rev. Econ. Stat. 90, 414-427): residuals of the restricted fit,
one weight a cluster. The approximate F test HTZ stays far below its nominal level where a joint
test mixes what differs between clusters with what differs within them (measured 0-1% at a nominal
5%); this one holds it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.overfitting.clustered import ClusteredDesign

Array = NDArray[np.float64]
DRAWS = 1999
FEW = 12  # clusters below which two weights give too few distinct draws
WEBB = np.array([-(1.5**0.5), -1.0, -(0.5**0.5), 0.5**0.5, 1.0, 1.5**0.5])  # Webb 2023 (Can. J. Econ. 56, 839-858)


def wild_joint_p(parent: ClusteredDesign, y: Array, combinations: Array, *, seed: int = 0) -> float:
    """p that all combinations (q, k) of the coefficients of y (n,) are zero; 1,999 draws by `seed`.
    NaN where q clusters or fewer are left.
    """
    q = len(combinations)
    if parent.clusters <= q + 1:
        return float("nan")
    bread, design = parent.bread, parent.design
    beta = bread @ (design.T @ y)
    restricted = beta - bread @ combinations.T @ np.linalg.solve(combinations @ bread @ combinations.T, combinations @ beta)
    left = y - design @ restricted
    own = np.zeros((parent.n, parent.clusters))
    for index, rows in enumerate(parent.rows):
        own[rows, index] = left[rows]
    moved = bread @ (design.T @ own)  # what each cluster adds to the coefficients
    residual = own - design @ moved
    scores = np.stack(
        [combinations @ bread @ block.T @ residual[rows] for block, rows in zip(parent.adjusted, parent.rows, strict=True)]
    )  # (clusters, q, clusters)
    random = np.random.default_rng(seed)
    shape = (parent.clusters, DRAWS)
    weights = random.choice(WEBB, shape) if parent.clusters < FEW else random.choice([-1.0, 1.0], shape)
    weights = np.column_stack([np.ones(parent.clusters), weights])  # all ones give y itself
    estimates = (combinations @ moved @ weights).T
    drawn = scores @ weights  # (clusters, q, draws)
    covariance = np.einsum("gsb,gtb->bst", drawn, drawn)
    floor = 1e-12 * np.trace(covariance, axis1=1, axis2=2)[:, None, None] * np.eye(q)
    wald = np.einsum("bs,bs->b", estimates, np.linalg.solve(covariance + floor + np.finfo(float).tiny * np.eye(q), estimates[..., None])[..., 0])
    return float((1 + np.sum(wald[1:] >= wald[0] * (1.0 - 1e-9))) / (DRAWS + 1))
