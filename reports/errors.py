"""The one exception of this package."""

from __future__ import annotations

from analysis.errors import shortened


class ReportError(Exception):
    """A report cannot be made; the message says why and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(shortened(sentence))
