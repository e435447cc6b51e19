"""The first screen of a report: a sentence, the scaling plot, what moved the score, verdicts."""

from reports.first_screen.screen import first_screen

__all__ = ["first_screen"]
