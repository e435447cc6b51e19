"""The sections of the page, in the order in which they are read."""

from reports.sections.claims import claims_section, forest_section
from reports.sections.dynamics import dynamics_section
from reports.sections.effects import intermediate_section, pretraining_section
from reports.sections.geometry import geometry_section
from reports.sections.laws import laws_section
from reports.sections.losses import correlation_section, loss_section
from reports.sections.pictures import picture_section
from reports.sections.records import coverage_section, provenance_section, runs_section
from reports.sections.returns import returns_section
from reports.sections.scores import score_section
from reports.sections.surface import surface_section
from reports.sections.worth import worth_section

__all__ = [
    "claims_section",
    "correlation_section",
    "coverage_section",
    "dynamics_section",
    "forest_section",
    "geometry_section",
    "intermediate_section",
    "laws_section",
    "loss_section",
    "picture_section",
    "pretraining_section",
    "provenance_section",
    "returns_section",
    "runs_section",
    "score_section",
    "surface_section",
    "worth_section",
]
