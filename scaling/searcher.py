"""The Ray Tune searcher that releases a stage when its parent is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from scaling.plan import Plan
from scaling.study import Study
from trials.ledger import write_json
from trials.provenance import now


class ReadyStages(Searcher):
    """Suggests stages whose parent is done, in the plan's order but deepest first, so that runs finish early.

    There is no barrier between levels. Whether a stage is done is read from its folder, never from what Ray returns; a
    failed stage blocks its descendants and nothing else.
    """

    def __init__(self, plan: Plan, study: Study, config: Callable[[str], dict[str, Any]]) -> None:
        super().__init__(metric="step", mode="max")
        self._plan, self._study, self._config = plan, study, config
        self._waiting = [name for name in reversed(plan.stages) if not study.is_done(name)]
        self._running: dict[str, str] = {}
        self.failed: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        """The config of a ready stage, None if all that is left waits, FINISHED if nothing is left or runs."""
        for name in self._waiting:
            parent = self._plan.stages[name].spec.parent
            if parent is None or self._study.is_done(parent):
                self._waiting.remove(name)
                self._running[trial_id] = name
                return self._config(name)
        return None if self._running else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ray says that a trial ended; its folder says how."""
        name = self._running.pop(trial_id, None)
        if name is None or self._study.is_done(name):
            return
        reason = self._study.error(name) or (result or {}).get("reason")
        if reason is None:  # the process died without a word
            log = self._study.stage_folder(name) / "log.txt"
            reason = f"The process of {name} ended without a word, which is what running out of memory looks like: see {log}, then launch again."
            with contextlib.suppress(OSError):  # a full disk; what failed is then found missing, which is as true
                write_json(self._study.stage_folder(name) / "error.json", {"error": reason, "type": "died", "time": now()})
        self.failed[name] = reason

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study folder is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study folder is the record."""
