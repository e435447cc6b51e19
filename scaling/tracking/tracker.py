"""The interface of a tracker, which holds one run per stage."""

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
from trials.received_files import file_inside


@dataclass(frozen=True, kw_only=True)
class TrackedStage:
    """A stage as trackers see it."""

    id: str
    """Also the id of its run; a resumed stage has the same."""
    name: str
    """A readable name, unique in the study: `<kind>/<what distinguishes it>`."""
    kind: str
    study: str
    folder: Path
    settings: dict[str, Any]
    """Its spec, flat: `recipe.batch_images` and the like."""

    def lines(self, after_step: int) -> Iterator[tuple[int, dict[str, float]]]:
        """Step and values of each complete line of its metrics after a step.

        Reads the whole file each time, since a resumed stage rewrites it; it is short.
        """
        try:
            study = self.folder.parent.parent
            text = file_inside(study, "stages", self.folder.name, "metrics.jsonl").read_text(errors="replace")
        except OSError:
            return
        for line in text.splitlines(keepends=True):
            if not line.endswith("\n"):
                return  # the line is still being written
            try:
                values = json.loads(line)
                step = int(values.pop("step"))
            except (ValueError, KeyError, TypeError, AttributeError):
                return
            if step > after_step:
                yield step, numbers(values)


class TrackedRun(Protocol):
    """The run of one stage, open for writing. Its methods may raise any error."""

    last_step: int
    """The last step that the run has; -1 if it is new."""

    def log(self, lines: list[tuple[int, dict[str, float]]]) -> None:
        """Add lines, by step."""

    def end(self, outcome: str, metrics: dict[str, float], step: int) -> None:
        """Close the run as 'done' with the stage's final metrics, 'failed', or 'cut off'."""


class Tracker(Protocol):
    """A service or a file format that holds runs."""

    name: str

    def open(self, stage: TrackedStage) -> TrackedRun:
        """Start the run of a stage, or continue the run that it has."""

    def close(self) -> None:
        """Close the tracker."""


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """The values that are finite numbers."""
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float) and math.isfinite(value)}


def load_extra(package: str, extra: str) -> ModuleType:
    """Import an optional package. Raises InputError that says how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        remedy = f"pip install 'scaling-law-laboratory[{extra}]', or uv sync --extra {extra}"
        raise InputError(f"--track {extra} needs the package {package}, which is not installed: {remedy}.") from None


def refusal(tracker: str, error: Exception) -> str:
    """A tracker's error, in one line that fits a log."""
    first = next(iter(str(error).strip().splitlines()), "no message")
    return f"{tracker} accepts no data ({type(error).__name__}: {first[:160]}{'...' if len(first) > 160 else ''})"


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
