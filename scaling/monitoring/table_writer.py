"""Keeping the tables up to date while a study runs, so that a report can be built, and a kill loses
no row.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from scaling.plan.plan import Plan
from scaling.study.folder import Study
from scaling.study.table import write_tables

EVERY_S = 10.0
SHARE = 20  # tables of thousands of runs take seconds to write: at most a twentieth of the time goes there


class KeepTables:
    """Writes both tables after a stage has ended, at most every few seconds."""

    def __init__(self, plan: Plan, study: Study) -> None:
        self._plan, self._study = plan, study
        self._next_s = float("-inf")

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """Nothing."""

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """Nothing."""

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """A stage ended."""
        started = time.monotonic()
        if started < self._next_s:
            return
        with contextlib.suppress(OSError):  # a full disk: the tables can be made from the stages at any time, and the launch ends by doing so
            write_tables(self._study, self._plan)
        took = time.monotonic() - started
        self._next_s = started + took + max(EVERY_S, SHARE * took)
