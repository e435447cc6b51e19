"""From a grid to a plan to trained stages, with Ray Tune: `python -m scaling.launch`.

The names below are loaded when first asked for: `python -m scaling.status` must not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.grid.settings import Grid, load_grid
    from scaling.plan.plan import Plan, make_plan
    from scaling.study.folder import Study
    from scaling.study.table import write_tables

_HOME = {"Grid": "grid", "Plan": "plan", "Study": "study", "load_grid": "grid", "make_plan": "plan", "write_tables": "table"}

__all__ = ["Grid", "Plan", "Study", "load_grid", "make_plan", "write_tables"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"scaling.{_HOME[name]}"), name)
    raise AttributeError(f"module 'scaling' has no attribute {name!r}")
