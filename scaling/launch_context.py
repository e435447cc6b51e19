"""What the steps of one launch share, in one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from scaling.cluster.described_machine import DescribedMachine
from scaling.cluster.machine import Granted, Machine
from scaling.grid.settings import Grid
from scaling.plan.plan import Plan
from scaling.study.folder import Study
from scaling.study.presence import Presence

if TYPE_CHECKING:
    from scaling.study.remote_study import Mirror


@dataclass(frozen=True, kw_only=True)
class LaunchContext:
    """A study, its plan and the machines to run it on; a step that changes one returns a copy."""

    grid: Grid
    plan: Plan
    study: Study
    machine: Machine
    granted: dict[str, Granted]
    """What a stage of each kind holds; a trunk holds what a pre-training does."""
    data: Path
    """Folder with the data sets and their image stores."""
    console: Console
    address: str | None = None
    """Of the Ray cluster to run on; None for a Ray of the launch's own."""
    presence: Presence | None = None
    """Checks the folders that the launch works in; None until they are made."""
    remote: str = ""
    """Address of the store that holds the study; empty for a study in a folder."""
    mirror: Mirror | None = None
    """The local mirror of that store."""
    trackers: tuple[str, ...] = ()
    """Names of the trackers that every stage is sent to."""
    described: DescribedMachine | None = None
    """The machine that `--machine` describes; None plans for this one."""
    assume_data: bool = False
    """Whether absent data sets are planned from published counts."""
    report: bool = True
    """Whether the launch builds the report at its end."""
    stage_options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `trials.stage.run_stage` for every stage."""

    @property
    def store(self) -> Path:
        """Root of the image stores."""
        return (self.data / "store").resolve()

    def show_message(self, sentence: str) -> None:
        """Show a sentence to the user, as it is."""
        self.console.print(sentence, markup=False, highlight=False)
