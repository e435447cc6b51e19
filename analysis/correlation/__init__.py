"""Correlations of a loss with a score, and what choosing by the loss costs, where runs share
pre-trainings.
"""

from __future__ import annotations

from analysis.correlation.correlate import correlate
from analysis.correlation.dependent import CorrelationDifference, compare_correlations
from analysis.correlation.equal_settings import EqualSettings, at_equal_settings
from analysis.correlation.proxy import ProxyQuality, proxy_quality
from analysis.correlation.result import Correlation

__all__ = [
    "Correlation",
    "CorrelationDifference",
    "EqualSettings",
    "ProxyQuality",
    "at_equal_settings",
    "compare_correlations",
    "correlate",
    "proxy_quality",
]
