"""From a grid to a plan to trained stages, with Ray Tune: `python -m scaling.launch`."""

from __future__ import annotations

from scaling.grid import Grid, load_grid
from scaling.plan import Plan, make_plan
from scaling.study import Study
from scaling.table import write_tables

__all__ = ["Grid", "Plan", "Study", "load_grid", "make_plan", "write_tables"]
