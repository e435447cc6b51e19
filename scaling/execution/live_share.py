"""Corrects how many stages share a GPU while a launch runs, from the steps of its finished stages."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable

from scaling.cluster.machine import Granted
from scaling.execution.gpu_share import GpuSharing, sharing_text
from scaling.plan.forecast import rate_key
from scaling.plan.plan import Plan
from scaling.study.folder import Study
from trials.stage_files import read_json

SAMPLES = 4
"""Finished stages between two corrections of a kind, at least; as many as run side by side where that
is more, up to twice this.
"""
GAIN = 0.15
"""A number changes where that trains this much more in all: every worker of the kind is then closed
after its stage, and another started.
"""
CHANGES = 3
"""Of a kind's number in one launch, at most."""


class LiveShare:
    """What the numbers of stages that share a GPU are corrected by.

    Args:
        sharing: the model of each kind.
        granted: what a stage of each kind holds; changed in place.
        gpus: of the machine.
        show_message: shows a sentence to the user.
    """

    def __init__(
        self, sharing: GpuSharing, granted: dict[str, Granted], plan: Plan, study: Study, *, gpus: float, show_message: Callable[[str], None]
    ) -> None:
        self._sharing, self._granted, self._plan, self._study = sharing, granted, plan, study
        self._gpus, self._show_message = gpus, show_message
        self._numbers = {kind: round(1 / granted[kind].gpus) for kind in sharing.kinds if 0 < granted[kind].gpus <= 1}
        self._steps_s: dict[str, list[float]] = defaultdict(list)
        self._changes: dict[str, int] = defaultdict(int)

    def ended(self, stage: str, held_at_start: float, held_at_end: float) -> bool:
        """A stage is done; returns whether what stages hold has changed.

        Args:
            held_at_start, held_at_end: GPUs that all running stages held then, this one included.
                Where they were not all in use the stage had fewer neighbours than it was to have.
        """
        spec = self._plan.stages[stage].spec
        kind = "pretrain" if spec.kind == "trunk" else spec.kind
        number = self._numbers.get(kind)
        if number is None or rate_key(spec) != rate_key(self._sharing.kinds[kind].heaviest):
            return False
        if min(held_at_start, held_at_end) < self._gpus - 0.5 / number:
            return False
        provenance = read_json(self._study.stage_folder(stage) / "provenance.json") or {}
        if not provenance.get("step_ms"):
            return False
        self._steps_s[kind].append(provenance["step_ms"] / 1e3)
        if len(self._steps_s[kind]) < min(max(SAMPLES, number), 2 * SAMPLES):
            return False
        step_s = statistics.median(self._steps_s.pop(kind))
        try:
            self._sharing.corrected(kind, number, step_s)
        except OSError:  # what is known could not be kept; the watchers of the folder say so
            return False
        return self._change(step_s, kind)

    def _change(self, step_s: float, measured: str) -> bool:
        changed = False
        for kind, number in self._sharing.numbers().items():
            before = self._numbers.get(kind)
            if before is None or number == before or self._changes[kind] >= CHANGES:
                continue
            gain = self._sharing.gain(kind, before, number)
            if gain < GAIN:
                continue
            self._numbers[kind], changed = number, True
            self._changes[kind] += 1
            self._granted[kind] = self._sharing.grant_of(kind, number)
            self._steps_s.pop(kind, None)
            self._show_message(
                f"gpus: auto: {sharing_text(kind, number)} from here on, {before} until now: a step of {measured} took {1e3 * step_s:.3g} ms, "
                f"and this should train {gain:.0%} more images a second"
            )
        return changed
