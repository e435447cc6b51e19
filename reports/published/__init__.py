"""Reports of the published tables that ship with analysis: the page of a paper, made without a
study folder.
"""

from reports.published.paper import build_published, compose_published

__all__ = ["build_published", "compose_published"]
