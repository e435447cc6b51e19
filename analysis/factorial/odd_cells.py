"""Finds cells whose equal runs lie much farther apart than those of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FEWEST_CELLS: Final = 5
"""Cells of several runs that tell how far equal runs usually lie apart."""
FARTHER: Final = 8.0
"""Times the median cell's scatter, which a second odd cell hardly moves."""
RARE: Final = 1e-3
"""How likely the scatter of any cell is to be as much larger than that of the others (F test, after
Bonferroni): with few cells the median alone is a poor measure.
"""


def odd_cells(table: pd.DataFrame, y: NDArray[np.float64], settings: Sequence[str]) -> pd.DataFrame:
    """The cells whose runs scatter more than FARTHER times as far as those of the median cell, and
    farther than chance explains, the farthest first: the settings that vary, lowest and highest
    score. Such a run is often a wrong entry or a diverged training, and one is enough to hide every
    effect.
    """
    from scipy.special import fdtrc  # imported where it is used, as everywhere in analysis

    varied = [name for name in settings if name in table.columns and table[name].nunique(dropna=False) > 1]
    if not varied:
        return pd.DataFrame(columns=["lowest", "highest"])
    scores = table[varied].assign(score=y)
    cells = scores.groupby(varied, dropna=False, sort=False)["score"].agg(["count", "std", "min", "max"]).reset_index()
    cells = cells.loc[cells["count"] > 1]
    usual = float(cells["std"].median()) if len(cells) >= FEWEST_CELLS else 0.0
    if not usual > 0.0:
        return pd.DataFrame(columns=[*varied, "lowest", "highest"])
    squares, freedom = cells["std"].to_numpy(dtype=float) ** 2, cells["count"].to_numpy(dtype=float) - 1.0
    near = squares <= (FARTHER * usual) ** 2
    others = float((squares * freedom)[near].sum() / freedom[near].sum())
    chance = fdtrc(freedom, freedom[near].sum(), squares / others) * len(cells)
    far = cells.loc[~near & (chance < RARE)]
    far = far.sort_values("std", ascending=False, kind="stable").reset_index(drop=True)
    found: pd.DataFrame = far.drop(columns=["count", "std"]).rename(columns={"min": "lowest", "max": "highest"})
    return found


def settings_of(cell: pd.Series) -> dict[str, Any]:
    """The settings of one row of `odd_cells`."""
    return {str(name): value for name, value in cell.items() if name not in ("lowest", "highest")}
