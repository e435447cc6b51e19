"""The plan: every stage that a grid needs, each once, as a directed acyclic graph, and the runs
that use them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trials.spec import StageSpec

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of the plan and how many runs need it."""

    id: str
    spec: StageSpec
    runs: int

    @property
    def own_image_passes(self) -> int:
        """Image passes of the stage itself, without those of its trunk."""
        return self.spec.image_passes - self.trunk_image_passes

    trunk_image_passes: int = 0
    """Image passes of its trunk."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Stages in an order in which parents come first, and the settings of every run."""

    study: str
    stages: dict[str, Stage]
    runs: list[dict[str, Any]]

    @cached_property
    def children(self) -> dict[str, tuple[str, ...]]:
        """The stages that need each stage directly."""
        found: dict[str, list[str]] = {name: [] for name in self.stages}
        for name, stage in self.stages.items():
            for needed in stage.spec.needs:
                found[needed].append(name)
        return {name: tuple(names) for name, names in found.items()}

    def unshared_image_passes(self) -> int:
        """Image passes if every run trained its own chain."""
        return sum(stage.spec.image_passes * stage.runs for stage in self.stages.values() if stage.spec.kind != "trunk")

    def image_passes(self) -> int:
        """Image passes of the plan, each stage once."""
        return sum(stage.own_image_passes for stage in self.stages.values())

    def pretrain_image_passes(self) -> tuple[int, int]:
        """Image passes of all pre-trainings, each once: without trunks, and with them."""
        pretrain = [stage for stage in self.stages.values() if stage.spec.kind in ("trunk", "pretrain")]
        alone = sum(stage.spec.image_passes for stage in pretrain if stage.spec.kind == "pretrain")
        return alone, sum(stage.own_image_passes for stage in pretrain)

    def wanted(self, done: Collection[str]) -> list[str]:
        """The stages left to run, in the plan's order. A trunk counts only if a branch of it is
        left to run.
        """
        wanted = set()
        for name in reversed(self.stages):
            if name in done:
                continue
            if self.stages[name].spec.kind != "trunk" or any(child in wanted for child in self.children[name]):
                wanted.add(name)
        return [name for name in self.stages if name in wanted]

    def to_dict(self) -> dict[str, Any]:
        """The contents of plan.json (docs/study_folder.md)."""
        stages = [
            {
                "id": s.id,
                "kind": s.spec.kind,
                "parent": s.spec.parent,
                "trunk": s.spec.trunk,
                "image_passes": s.own_image_passes,
                "runs": s.runs,
                "spec": s.spec.to_dict(),
            }
            for s in self.stages.values()
        ]
        return {"format": FORMAT, "study": self.study, "stages": stages, "runs": self.runs}
