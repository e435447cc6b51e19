"""Keeping the tables up to date while a study runs, so that a report can be built, and a kill loses no row."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Callback

from scaling.plan import Plan
from scaling.study import Study
from scaling.table import write_tables

EVERY_S = 10.0  # a table of thousands of runs takes a moment to write


class KeepTables(Callback):
    """Writes both tables after a stage has ended, at most every few seconds."""

    def __init__(self, plan: Plan, study: Study) -> None:
        self._plan, self._study = plan, study
        self._written_s = float("-inf")

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore that is never made."""
        return {}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A stage ended."""
        if time.monotonic() - self._written_s >= EVERY_S:
            write_tables(self._study, self._plan)
            self._written_s = time.monotonic()
