"""The sections of the page, in the order in which they are read."""

from reports.sections.claims import claims_section, forest_section
from reports.sections.effects import intermediate_section, pretraining_section
from reports.sections.losses import correlation_section, loss_section
from reports.sections.pictures import picture_section
from reports.sections.records import coverage_section, provenance_section, runs_section
from reports.sections.scores import score_section

__all__ = [
    "claims_section",
    "correlation_section",
    "coverage_section",
    "forest_section",
    "intermediate_section",
    "loss_section",
    "picture_section",
    "pretraining_section",
    "provenance_section",
    "runs_section",
    "score_section",
]
