"""Two studies against each other on one page: two arms, or the same grid run by two versions of the
code.
"""

from reports.comparison.build import build_comparison, compose_comparison

__all__ = ["build_comparison", "compose_comparison"]
