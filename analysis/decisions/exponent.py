"""How the compute-optimal model size grows with compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.decisions.decision import Decision, Interval
from analysis.decisions.draws import draws_of, ends
from analysis.decisions.validation import cautions_of
from analysis.errors import AnalysisError
from analysis.fitting.surface import SurfaceFit
from analysis.formatting import with_interval
from analysis.laws import Law


@dataclass(frozen=True, kw_only=True)
class ComputeOptimalExponent(Decision):
    """a in N_opt ~ C^a, where C = c N D. Make one with `compute_optimal_exponent`."""

    KIND: ClassVar[str] = "compute_optimal_exponent"

    exponent: float
    """a = beta / (alpha + beta); the data grow as C^(1 - a)."""
    standard_error: float | None
    """Standard deviation over the bootstrap samples, or over draws with the fit's covariance; None
    where the law fixes the exponent or there is no spread.
    """
    interval: Interval | None
    """Percentile interval of a."""
    reason_no_interval: str
    """Why there is none; empty where there is one."""
    method: str
    """How the interval was computed."""

    def sentence(self) -> str:
        """The exponent as a sentence."""
        if self.interval is None:
            return f"The compute-optimal model size grows as C^{self.exponent:.3f} (no interval: {self.reason_no_interval})."
        even = " Equal growth of model and data, 0.5, is within it." if self.interval[0] <= 0.5 <= self.interval[1] else ""
        parts = with_interval(self.exponent, *self.interval, level=self.level)
        return f"The compute-optimal model size grows as C^a with a = {parts}, standard error {self.standard_error:.3f}.{even}"


def fixes_exponent(law: Law) -> bool:
    """Whether the law has one exponent for model and data, so that a is 0.5."""
    return law.compute_exponents is not None and law.compute_exponents[0] == law.compute_exponents[1]


def compute_optimal_exponent(surface: SurfaceFit, *, seed: int = 0) -> ComputeOptimalExponent:
    """The exponent a of the compute-optimal model size, N_opt = G (C / c)^a at cost C = c N D, with
    G = (alpha A / (beta B))^(1 / (alpha + beta)).

    Source: Hoffmann et al. 2022, arXiv:2203.15556, eq. 4. For 'skaling' the exponent is the same,
    for y rises with N^-alpha + r D^-beta alone. Raises AnalysisError for another law, and for a
    surface that is not determined.
    """
    if not isinstance(surface, SurfaceFit):
        raise AnalysisError(f"this needs what fit_surface returns, and was given a {type(surface).__name__}.")
    law = surface.law_object
    value = float(law.compute_optimal_exponent(surface.params))
    cautions = cautions_of(surface, "the surface")
    if fixes_exponent(law):
        draws, reason = None, "the law has one exponent for both, which fixes it at 0.5"
    else:
        draws = draws_of(surface, count=2000, seed=seed)
        reason = draws.reason
    if draws is None or reason:
        return ComputeOptimalExponent(
            level=surface.level, cautions=cautions, exponent=value, standard_error=None, interval=None, reason_no_interval=reason, method=""
        )
    each = np.asarray(law.compute_optimal_exponent(draws.params))
    return ComputeOptimalExponent(
        level=surface.level,
        cautions=cautions,
        exponent=value,
        standard_error=float(np.std(each, ddof=1)),
        interval=ends(each, draws.tail),
        reason_no_interval="",
        method=draws.method,
    )
