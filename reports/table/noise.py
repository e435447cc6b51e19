"""The noise of one run on a page of anyone's table: one number, from rows that repeat each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis import MainEffects
from analysis.factorial.contrast import ROUNDING
from reports.table.question import GROUP, TableQuestion, X, Y


@dataclass(frozen=True, kw_only=True)
class RunNoise:
    """How far repeated runs scatter."""

    sd: float | None
    """Standard deviation between repeats, pooled over the table, in the unit of the score; None where
    no row repeats another or all repeats are equal, and only residuals of a law can stand in its
    place.
    """
    repeated: bool = True
    """Whether any row repeats another."""

    @property
    def words(self) -> str:
        """What a threshold made of it is: residuals hold what the law misses, and are no noise."""
        return "the noise of one run" if self.sd is not None else "the scatter of rows around the law"

    @property
    def origin(self) -> str:
        """Where it comes from."""
        if self.sd is not None:
            return "the standard deviation between repeats, pooled over the table"
        return "repeated rows are equal" if self.repeated else "no run is repeated"


def noise_of(question: TableQuestion, effects: MainEffects | str) -> RunNoise:
    """The number that the first screen shows, where there are seeds; else the scatter of rows of one
    group and size, where there are several. Exact repeats have no noise, and their rounding is none.
    """
    scores = question.points()[Y]
    rounding = ROUNDING * float(scores.abs().max()) if len(scores) else 0.0
    if isinstance(effects, MainEffects) and np.isfinite(effects.noise_sd) and effects.noise_sd > rounding:
        return RunNoise(sd=float(effects.noise_sd))
    cells = question.points().groupby([GROUP, X], sort=False)[Y]
    freedom = int((cells.count() - 1).sum())
    squares = float((cells.var(ddof=0) * cells.count()).sum())
    sd = float(np.sqrt(squares / freedom)) if freedom > 0 else 0.0
    return RunNoise(sd=sd if sd > rounding else None, repeated=freedom > 0)
