"""Laws, tests and intervals from a table of runs. Needs neither torch nor Ray: a CSV and a laptop are enough.

from analysis import load_runs, fit, pretraining_effects
runs = load_runs("runs/diminishing_returns")            # or "my_results.csv"
print(fit(runs.finetune_images, runs.miou, cluster=runs.seed).summary())
print("\\n".join(pretraining_effects(runs).sentences()))
"""

from analysis.cells import summarise_cells
from analysis.columns import RUN_COLUMNS, STAGE_COLUMNS
from analysis.correlation import Correlation, correlate
from analysis.effects import PairedEffects
from analysis.errors import AnalysisError
from analysis.fitting import fit
from analysis.groups import independent_groups
from analysis.laws import LAWS
from analysis.pairs import intermediate_effects, paired_effects, pretraining_effects
from analysis.result import Fit, Prediction
from analysis.table import load_runs, load_stages

__all__ = [
    "LAWS",
    "RUN_COLUMNS",
    "STAGE_COLUMNS",
    "AnalysisError",
    "Correlation",
    "Fit",
    "PairedEffects",
    "Prediction",
    "correlate",
    "fit",
    "independent_groups",
    "intermediate_effects",
    "load_runs",
    "load_stages",
    "paired_effects",
    "pretraining_effects",
    "summarise_cells",
]
