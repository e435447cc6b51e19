"""What `run_plan` needs to know of a launch, in one object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.cluster.capacity import Shape
from scaling.cluster.machine import Granted
from scaling.cluster.node_checks import Expected
from scaling.execution.attempts import RETRIES
from scaling.execution.interruption import Interruption
from scaling.execution.worker import Assignment, Work, train_stage
from scaling.monitoring.watcher import Watcher
from scaling.plan.plan import Plan
from scaling.study.folder import Study


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The plan to run, the resources of its stages, and who is notified of what happens."""

    plan: Plan
    study: Study
    store: Path
    """Root of the image stores."""
    granted: dict[str, Granted]
    """What a stage of each kind holds; a trunk holds what a pre-training does."""
    watchers: Sequence[Watcher] = ()
    """Notified of every stage's progress and end."""
    retries: int = RETRIES
    """Further attempts at a stage whose failure may be temporary or whose process died."""
    rank: Callable[[str], float] | None = None
    """Of the ready stages the one of lowest rank starts first; None: the deepest one."""
    interruption: Interruption = field(default_factory=Interruption)
    """Once requested, running stages are stopped, and their checkpoints stay."""
    stage_options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `trials.stage.run_stage`."""
    work: Work = train_stage
    """What runs a stage; a benchmark may only pretend to train."""
    address: str | None = None
    """Of the cluster that was joined, to join it again if the connection is lost."""
    expected: Expected | None = None
    """What every machine of the cluster must have."""
    remote: str = ""
    """Address of the store that holds the study; `study` is a local mirror of it then."""
    check: Callable[[], None] = lambda: None
    """Raises FolderLostError where a folder that the launch works in is gone."""
    adapt: Callable[[str, float, float], bool] = lambda stage, held_at_start, held_at_end: False
    """Asked after each finished stage whether `granted` has changed, as
    `scaling.execution.live_share.LiveShare.ended` answers.
    """
    show_message: Callable[[str], None] = print
    """Shows a sentence to the user."""

    def shape(self, stage: str) -> Shape:
        """What a stage holds while it runs."""
        kind = self.plan.stages[stage].spec.kind
        grant = self.granted["pretrain" if kind == "trunk" else kind]
        return Shape(grant.all_cpus, grant.all_gpus, grant.workers)

    def assignment(self, stage: str) -> Assignment:
        """What a worker must know to run a stage."""
        shape = self.shape(stage)
        return Assignment(
            stage=stage,
            spec=self.plan.stages[stage].spec.to_dict(),
            folder=str(self.study.folder),
            store=str(self.store),
            study=self.plan.study,
            cpus=int(shape.cpus) // shape.processes,
            gpus=shape.gpus / shape.processes,
            processes=shape.processes,
            remote=self.remote,
            options=self.stage_options,
        )
