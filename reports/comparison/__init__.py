"""Two studies against each other on one page: two treatments, or one grid run by two versions of the
code.
"""

from reports.comparison.build import build_comparison, compose_comparison

__all__ = ["build_comparison", "compose_comparison"]
