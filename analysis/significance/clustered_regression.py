"""Linear regression where rows come in few clusters: standard errors and joint tests.

Single coefficients: CR2 with Satterthwaite's degrees of freedom. Several at once: the wild cluster
bootstrap, and beside it the approximate F test HTZ. What is no linear regression, such as a
correlation, is left to `cluster_resampling`.

Bell and McCaffrey 2002 (Survey Methodology 28, 169-181) correct each cluster's residuals so that
the variance is unbiased when errors are independent; its t statistics are read at Satterthwaite's
degrees of freedom. The joint test is AHT of Tipton and Pustejovsky 2015 (J. Educ. Behav. Stat. 40,
604-634), called HTZ in Pustejovsky and Tipton 2018 (J. Bus. Econ. Stat. 36, 672-683): Hotelling's T
squared with matched degrees of freedom. It stays far below its nominal level where a joint test
mixes what differs between clusters with what differs within them (measured 0-1% at a nominal 5%).
The wild cluster bootstrap holds it: Cameron, Gelbach and Miller 2008 (Rev. Econ. Stat. 90,
414-427), residuals of the restricted fit, one weight a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.student import t_p_value, t_quantile

Array = NDArray[np.float64]
SINGULAR = 1e-9  # eigenvalues of I - H below this belong to what one cluster alone determines
FEWEST_DEGREES = 4.0  # below, Tipton 2015 (Psych. Methods 20, 375-393) found p-values to err

DRAWS = 1999
FEW = 12  # clusters below which two weights give too few distinct draws
WEBB = np.array([-(1.5**0.5), -1.0, -(0.5**0.5), 0.5**0.5, 1.0, 1.5**0.5])  # Webb 2023 (Can. J. Econ. 56, 839-858)


@dataclass(frozen=True, kw_only=True)
class Combination:
    """A linear combination of coefficients, with interval and p."""

    estimate: float
    """In the unit of y."""
    error: float
    """CR2 standard error."""
    degrees: float
    """Satterthwaite's degrees of freedom."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    p: float
    """Two-sided."""
    naive_low: float
    """Lower end of the interval of ordinary least squares, which takes all rows for independent."""
    naive_high: float
    """Its upper end."""
    naive_p: float
    """Its two-sided p."""


@dataclass(frozen=True, kw_only=True)
class JointTest:
    """The test that several combinations of coefficients are all zero."""

    f: float
    """HTZ statistic."""
    terms: int
    """Numerator degrees of freedom."""
    degrees: float
    """Denominator degrees of freedom."""
    p: float
    """p of the F test; NaN where too few clusters carry the terms."""
    naive_p: float
    """p of the F test of ordinary least squares."""


class ClusteredDesign:
    """A design matrix (n, k) of full rank with cluster labels (n,).

    Computes once all that does not depend on y.
    """

    def __init__(self, design: Array, cluster: NDArray[np.int64]) -> None:
        self.design = design
        self.n, self.k = design.shape
        self.bread: Array = np.asarray(np.linalg.inv(design.T @ design), dtype=np.float64)
        self.rows = [np.flatnonzero(cluster == one) for one in np.unique(cluster)]
        self.clusters = len(self.rows)
        self.adjusted = [self._adjusted(design[rows]) for rows in self.rows]

    def _adjusted(self, block: Array) -> Array:
        """(I - H)^(-1/2) X of one cluster, shape (rows, k)."""
        values, vectors = np.linalg.eigh(np.eye(len(block)) - block @ self.bread @ block.T)
        power = np.where(values > SINGULAR, np.maximum(values, SINGULAR) ** -0.5, 0.0)
        return np.asarray((vectors * power) @ vectors.T @ block)

    def fit(self, y: Array) -> ClusteredFit:
        """Coefficients for y (n,)."""
        beta = self.bread @ (self.design.T @ y)
        residual = y - self.design @ beta
        scores = np.array([self.bread @ (block.T @ residual[rows]) for block, rows in zip(self.adjusted, self.rows, strict=True)])
        free = self.n - self.k
        variance = float(residual @ residual) / free if free > 0 else float("nan")
        return ClusteredFit(parent=self, beta=beta, covariance=scores.T @ scores, variance=variance)

    def products(self, combinations: Array) -> Array:
        """Covariances of the clusters' scores under independent errors, for combinations (q, k).

        Shape (q, q, clusters, clusters).
        """
        weights = [block @ (self.bread @ combinations.T) for block in self.adjusted]
        own = np.array([one.T @ one for one in weights])
        seen = np.array([self.design[rows].T @ one for rows, one in zip(self.rows, weights, strict=True)])
        crossed = -np.einsum("iks,kl,jlt->stij", seen, self.bread, seen)
        index = np.arange(self.clusters)
        crossed[:, :, index, index] += own.transpose(1, 2, 0)
        return np.asarray(crossed)

    def degrees(self, combination: Array) -> float:
        """Satterthwaite's degrees of freedom of one combination (k,)."""
        products = self.products(combination[None])[0, 0]
        spread = float(np.sum(products**2))
        return float(np.trace(products) ** 2 / spread) if spread > 0 else 0.0

    def joint_degrees(self, combinations: Array) -> float:
        """eta of Tipton and Pustejovsky 2015; the denominator has eta - q + 1 degrees of freedom."""
        q = len(combinations)
        values, vectors = np.linalg.eigh(combinations @ self.bread @ combinations.T)
        products = self.products((vectors * values**-0.5) @ vectors.T @ combinations)
        same = np.einsum("ssij,ttij->st", products, products)
        crossed = np.einsum("stij,tsij->st", products, products)
        return float(q * (q + 1) / np.sum(same + crossed))


@dataclass(frozen=True, kw_only=True)
class ClusteredFit:
    """The fitted coefficients for one y."""

    parent: ClusteredDesign
    """Where the design and its clusters are kept."""
    beta: Array
    """Coefficients, shape (k,)."""
    covariance: Array
    """CR2 covariance, shape (k, k)."""
    variance: float
    """Residual variance of ordinary least squares, unit of y squared."""

    def contrast(self, combination: Array, *, level: float, degrees: float | None = None) -> Combination:
        """Interval and p of combination @ beta; combination has shape (k,).

        `degrees` saves computing them again.
        """
        estimate = float(combination @ self.beta)
        error = max(0.0, float(combination @ self.covariance @ combination)) ** 0.5
        free = self.parent.degrees(combination) if degrees is None else degrees
        naive = float(self.variance * (combination @ self.parent.bread @ combination)) ** 0.5
        left = self.parent.n - self.parent.k
        known = error > 0.0 and free > 0.0
        half = t_quantile(level, free) * error if known else float("nan")
        wrong = t_quantile(level, left) * naive
        return Combination(
            estimate=estimate,
            error=error,
            degrees=free,
            low=estimate - half,
            high=estimate + half,
            p=t_p_value(estimate / error, free) if known else float("nan"),
            naive_low=estimate - wrong,
            naive_high=estimate + wrong,
            naive_p=t_p_value(estimate / naive, left) if naive > 0.0 else float("nan"),
        )

    def joint(self, combinations: Array, *, eta: float | None = None) -> JointTest:
        """HTZ test that all combinations (q, k) of the coefficients are zero.

        `eta` saves computing it again.
        """
        from scipy.special import fdtrc

        q = len(combinations)
        eta = self.parent.joint_degrees(combinations) if eta is None else eta
        estimate, left = combinations @ self.beta, self.parent.n - self.parent.k
        naive = float(estimate @ np.linalg.solve(combinations @ self.parent.bread @ combinations.T, estimate)) / (q * self.variance)
        degrees, f, p = eta - q + 1.0, float("nan"), float("nan")
        if degrees > 0.0 and self.parent.clusters > q:
            wald = float(estimate @ np.linalg.solve(combinations @ self.covariance @ combinations.T, estimate))
            f = degrees / (eta * q) * wald
            p = float(fdtrc(q, degrees, f))
        return JointTest(f=f, terms=q, degrees=degrees, p=p, naive_p=float(fdtrc(q, left, naive)))


def wild_joint_p(parent: ClusteredDesign, y: Array, combinations: Array, *, seed: int = 0) -> float:
    """p of the hypothesis that all combinations (q, k) of the coefficients of y (n,) are zero.

    The signs of whole clusters are drawn anew 1,999 times by `seed`. NaN with q + 1 clusters or
    fewer.
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
