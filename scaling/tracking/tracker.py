"""What a tracker is: something that keeps a run for each stage."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from scaling.plan.plan import Plan
from scaling.plan.stage_names import run_names
from scaling.study.folder import Study
from trials.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TrackedStage:
    """A stage as a tracker sees it."""

    id: str
    """The same whenever the stage goes on: so is its run."""
    name: str
    """For people, unique in the study, `<kind>/<what sets it apart>`."""
    kind: str
    study: str
    folder: Path
    settings: dict[str, Any]
    """Its spec, flat: `recipe.batch_images` and the like."""

    def lines(self, after_step: int) -> Iterator[tuple[int, dict[str, float]]]:
        """Step and values of each whole line of its metrics after a step.

        The file is read anew each time: a stage that goes on from a checkpoint writes it anew, and
        it has a few hundred lines.
        """
        try:
            text = (self.folder / "metrics.jsonl").read_text(errors="replace")
        except OSError:
            return
        for line in text.splitlines(keepends=True):
            if not line.endswith("\n"):
                return  # its writer is in the middle of it
            try:
                values = json.loads(line)
                step = int(values.pop("step"))
            except (ValueError, KeyError, TypeError, AttributeError):
                return
            if step > after_step:
                yield step, numbers(values)


class TrackedRun(Protocol):
    """The run of one stage, open for writing. Any error may be raised: the watcher deals with it."""

    last_step: int
    """The last step that the run has; -1 if it is new."""

    def log(self, lines: list[tuple[int, dict[str, float]]]) -> None:
        """Add lines, by step."""

    def end(self, outcome: str, metrics: dict[str, float], step: int) -> None:
        """Close the run: 'done' with the final metrics of the stage, 'failed', or 'cut off', to go
        on later.
        """


class Tracker(Protocol):
    """A place for runs."""

    name: str

    def open(self, stage: TrackedStage) -> TrackedRun:
        """Begin the run of a stage, or go on in the one that it has."""

    def close(self) -> None:
        """No more runs."""


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """Those values that are finite numbers."""
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float) and math.isfinite(value)}


def load_extra(package: str, extra: str) -> ModuleType:
    """A package that is not among the laboratory's own dependencies. Raises InputError with the way
    to install it.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        remedy = f"pip install 'scaling-law-laboratory[{extra}]', or uv sync --extra {extra}"
        raise InputError(f"--track {extra} needs the package {package}, which is not installed: {remedy}.") from None


def refusal(tracker: str, error: Exception) -> str:
    """What a tracker said when it failed, in one line that fits a log."""
    first = next(iter(str(error).strip().splitlines()), "no message")
    return f"{tracker} takes nothing ({type(error).__name__}: {first[:160]}{'...' if len(first) > 160 else ''})"


def tracked(plan: Plan, study: Study) -> dict[str, TrackedStage]:
    """Every stage of a plan as trackers see it."""
    names = run_names(plan)
    return {
        name: TrackedStage(
            id=name,
            name=names[name],
            kind=stage.spec.kind,
            study=plan.study,
            folder=study.stage_folder(name),
            settings=_flat(stage.spec.to_dict()),
        )
        for name, stage in plan.stages.items()
    }


def _flat(values: dict[str, Any], under: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{under}{key}.") if isinstance(value, dict) else {f"{under}{key}": value}
    return found
