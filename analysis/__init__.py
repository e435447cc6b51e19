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
    from analysis.columns import RUN_COLUMNS, STAGE_COLUMNS
    from analysis.correlation import Correlation, correlate
    from analysis.curve import Fit
    from analysis.decisions import (
        best_split,
        combine_additive,
        compute_optimal_exponent,
        diminishing_returns,
        exchange_rate,
        speed_up,
        suggest_runs,
    )
    from analysis.effects import PairedEffects
    from analysis.errors import AnalysisError
    from analysis.fitting import fit
    from analysis.groups import independent_groups
    from analysis.laws import LAWS, SURFACES
    from analysis.losses import LOSSES
    from analysis.needed import Needed
    from analysis.pairs import intermediate_effects, paired_effects, pretraining_effects
    from analysis.prediction import Prediction
    from analysis.surface import SurfaceFit, fit_surface
    from analysis.table import load_runs, load_stages

_HOME = {
    "LAWS": "laws",
    "LOSSES": "losses",
    "RUN_COLUMNS": "columns",
    "STAGE_COLUMNS": "columns",
    "SURFACES": "laws",
    "AnalysisError": "errors",
    "Correlation": "correlation",
    "Fit": "curve",
    "LawChoice": "choice",
    "Needed": "needed",
    "PairedEffects": "effects",
    "Prediction": "prediction",
    "SurfaceFit": "surface",
    "best_split": "decisions",
    "choose_law": "choosing",
    "combine_additive": "decisions",
    "compute_optimal_exponent": "decisions",
    "correlate": "correlation",
    "diminishing_returns": "decisions",
    "exchange_rate": "decisions",
    "fit": "fitting",
    "fit_surface": "surface",
    "independent_groups": "groups",
    "intermediate_effects": "pairs",
    "load_runs": "table",
    "load_stages": "table",
    "paired_effects": "pairs",
    "pretraining_effects": "pairs",
    "speed_up": "decisions",
    "suggest_runs": "decisions",
    "summarise_cells": "cells",
}

__all__ = [
    "LAWS",
    "LOSSES",
    "RUN_COLUMNS",
    "STAGE_COLUMNS",
    "SURFACES",
    "AnalysisError",
    "Correlation",
    "Fit",
    "LawChoice",
    "Needed",
    "PairedEffects",
    "Prediction",
    "SurfaceFit",
    "best_split",
    "choose_law",
    "combine_additive",
    "compute_optimal_exponent",
    "correlate",
    "diminishing_returns",
    "exchange_rate",
    "fit",
    "fit_surface",
    "independent_groups",
    "intermediate_effects",
    "load_runs",
    "load_stages",
    "paired_effects",
    "pretraining_effects",
    "speed_up",
    "suggest_runs",
    "summarise_cells",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"analysis.{_HOME[name]}"), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
