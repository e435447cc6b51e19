"""Laws, tests and intervals from a table of runs. Needs neither torch nor Ray: a CSV and a laptop are enough.

from analysis import choose_law, fit, load_runs, pretraining_effects
runs = load_runs("runs/diminishing_returns")            # or "my_results.csv"
print(fit(runs.finetune_images, runs.miou, cluster=runs.seed).summary())
print(choose_law(images, error).predict(1e6, "new run").to_frame())
print("\\n".join(pretraining_effects(runs).sentences()))

The names below are loaded when first asked for: fitting a law needs numpy alone, and does not wait for pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.cells import summarise_cells
    from analysis.choice import LawChoice
    from analysis.choosing import choose_law
    from analysis.claims.finding import Finding, Findings
    from analysis.claims.findings import findings
    from analysis.columns import RUN_COLUMNS, STAGE_COLUMNS
    from analysis.correlation import Correlation, CorrelationDifference, ProxyQuality, compare_correlations, correlate, proxy_quality
    from analysis.curve import Fit
    from analysis.data_size import DataInteraction, MoreDataEffects, Saturation, data_interaction, more_data_effects, saturation
    from analysis.decisions import best_split, combine_additive, compute_optimal_exponent, diminishing_returns, exchange_rate, speed_up, suggest_runs
    from analysis.effects import PairedEffects
    from analysis.errors import AnalysisError
    from analysis.fitting import fit
    from analysis.groups import independent_groups
    from analysis.laws import LAWS, SURFACES
    from analysis.losses import LOSSES
    from analysis.needed import Needed
    from analysis.overfitting import ChangePoint, OverfittingSplit, PhaseRelations, change_point, phase_relations, split_by_overfitting
    from analysis.pairs import intermediate_effects, paired_effects, pretraining_effects
    from analysis.prediction import Prediction
    from analysis.published import PUBLISHED, Published, load_published
    from analysis.significance.checks import Check, checks
    from analysis.significance.effect_sizes import effect_sizes
    from analysis.significance.equivalence import equivalence
    from analysis.significance.growth import EffectGrowth, effect_growth
    from analysis.significance.mixed import MixedEffect, mixed_effect
    from analysis.significance.multiplicity import adjust
    from analysis.significance.permutation import permutation_test
    from analysis.significance.power import power_of, seeds_needed, smallest_effect
    from analysis.significance.seed_plan import SeedPlan, plan_seeds
    from analysis.significance.summaries import summary_effects, summary_intermediate_effects, summary_pretraining_effects
    from analysis.significance.summary_effects import SummaryEffects
    from analysis.surface import SurfaceFit, fit_surface
    from analysis.table import load_runs, load_stages

_HOME = {
    "LAWS": "laws",
    "LOSSES": "losses",
    "PUBLISHED": "published",
    "RUN_COLUMNS": "columns",
    "STAGE_COLUMNS": "columns",
    "SURFACES": "laws",
    "AnalysisError": "errors",
    "ChangePoint": "overfitting",
    "Check": "significance.checks",
    "Correlation": "correlation",
    "CorrelationDifference": "correlation",
    "DataInteraction": "data_size",
    "EffectGrowth": "significance.growth",
    "Finding": "claims.finding",
    "Findings": "claims.finding",
    "Fit": "curve",
    "LawChoice": "choice",
    "MixedEffect": "significance.mixed",
    "MoreDataEffects": "data_size",
    "Needed": "needed",
    "OverfittingSplit": "overfitting",
    "PairedEffects": "effects",
    "PhaseRelations": "overfitting",
    "Prediction": "prediction",
    "ProxyQuality": "correlation",
    "Published": "published",
    "Saturation": "data_size",
    "SeedPlan": "significance.seed_plan",
    "SummaryEffects": "significance.summary_effects",
    "SurfaceFit": "surface",
    "adjust": "significance.multiplicity",
    "best_split": "decisions",
    "change_point": "overfitting",
    "checks": "significance.checks",
    "choose_law": "choosing",
    "combine_additive": "decisions",
    "compare_correlations": "correlation",
    "compute_optimal_exponent": "decisions",
    "correlate": "correlation",
    "data_interaction": "data_size",
    "diminishing_returns": "decisions",
    "effect_growth": "significance.growth",
    "effect_sizes": "significance.effect_sizes",
    "equivalence": "significance.equivalence",
    "exchange_rate": "decisions",
    "findings": "claims.findings",
    "fit": "fitting",
    "fit_surface": "surface",
    "independent_groups": "groups",
    "intermediate_effects": "pairs",
    "load_published": "published",
    "load_runs": "table",
    "load_stages": "table",
    "mixed_effect": "significance.mixed",
    "more_data_effects": "data_size",
    "paired_effects": "pairs",
    "permutation_test": "significance.permutation",
    "phase_relations": "overfitting",
    "plan_seeds": "significance.seed_plan",
    "power_of": "significance.power",
    "pretraining_effects": "pairs",
    "proxy_quality": "correlation",
    "saturation": "data_size",
    "seeds_needed": "significance.power",
    "smallest_effect": "significance.power",
    "speed_up": "decisions",
    "split_by_overfitting": "overfitting",
    "suggest_runs": "decisions",
    "summarise_cells": "cells",
    "summary_effects": "significance.summaries",
    "summary_intermediate_effects": "significance.summaries",
    "summary_pretraining_effects": "significance.summaries",
}

__all__ = [
    "LAWS",
    "LOSSES",
    "PUBLISHED",
    "RUN_COLUMNS",
    "STAGE_COLUMNS",
    "SURFACES",
    "AnalysisError",
    "ChangePoint",
    "Check",
    "Correlation",
    "CorrelationDifference",
    "DataInteraction",
    "EffectGrowth",
    "Finding",
    "Findings",
    "Fit",
    "LawChoice",
    "MixedEffect",
    "MoreDataEffects",
    "Needed",
    "OverfittingSplit",
    "PairedEffects",
    "PhaseRelations",
    "Prediction",
    "ProxyQuality",
    "Published",
    "Saturation",
    "SeedPlan",
    "SummaryEffects",
    "SurfaceFit",
    "adjust",
    "best_split",
    "change_point",
    "checks",
    "choose_law",
    "combine_additive",
    "compare_correlations",
    "compute_optimal_exponent",
    "correlate",
    "data_interaction",
    "diminishing_returns",
    "effect_growth",
    "effect_sizes",
    "equivalence",
    "exchange_rate",
    "findings",
    "fit",
    "fit_surface",
    "independent_groups",
    "intermediate_effects",
    "load_published",
    "load_runs",
    "load_stages",
    "mixed_effect",
    "more_data_effects",
    "paired_effects",
    "permutation_test",
    "phase_relations",
    "plan_seeds",
    "power_of",
    "pretraining_effects",
    "proxy_quality",
    "saturation",
    "seeds_needed",
    "smallest_effect",
    "speed_up",
    "split_by_overfitting",
    "suggest_runs",
    "summarise_cells",
    "summary_effects",
    "summary_intermediate_effects",
    "summary_pretraining_effects",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"analysis.{_HOME[name]}"), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
