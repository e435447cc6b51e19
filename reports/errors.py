"""The one exception of this package."""

from __future__ import annotations


class ReportError(Exception):
    """A report cannot be made; the message says why and what to do."""
