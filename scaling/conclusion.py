"""The end of a launch: prints what is done, what is not and why; gives the exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from scaling.exit_status import COMPLETE, INCOMPLETE, INTERRUPTED
from scaling.plan.plan import Plan
from scaling.study.computation import mixed_in_folder
from scaling.study.folder import Study


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What a launch knows about its end that the study folder may not hold."""

    interrupted: bool = False
    at_once: bool = False
    """Interrupted twice: the user does not want to wait for the tables."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why stages failed in this launch; a full disk cannot hold their errors."""
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    """Every attempt's error in this launch, by stage."""
    trouble: str = ""
    """What ended the launch early, in a sentence; empty if nothing did."""
    folder_lost: bool = False
    """Whether the study folder is not the launch's own any more: nothing is written into it."""


def conclude(plan: Plan, study: Study, console: Console, ending: Ending, *, report: bool = True) -> int:
    """Print the summary, build the report if wanted, and return the exit status."""
    states = study.states(plan, ending.failed)

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    for name, state in states.items():
        errors = ending.errors.get(name, ())
        log = study.stage_folder(name) / "log.txt"
        if state.state == "failed":
            tried = f" ({len(errors)} attempts)" if len(errors) > 1 else ""
            line(f"failed   {name}{tried}: {errors[0] if errors else state.reason} (log: {log})")
        elif state.state == "done" and errors:
            line(f"retried  {name}: done at attempt {len(errors) + 1}; first: {errors[0]} (log: {log})")
    for name, state in states.items():
        if state.state == "blocked":
            line(f"blocked  {name}: {state.reason}")
    runs = sum(study.is_done(run["run_id"]) for run in plan.runs)
    line(f"runs:    {runs} of {len(plan.runs)}")
    line(f"table:   {short(study.folder / 'runs.parquet')}")
    mixed = mixed_in_folder(study.folder)
    if mixed:
        line(f"mixed:   {mixed}")
    counts = Counter(state.state for state in states.values())
    left = len(states) - counts["done"]
    stages = "1 stage is" if left == 1 else f"{left:,} stages are"
    if ending.trouble:
        line(f"stopped: {ending.trouble} {stages} left; launch again to resume")
    if ending.interrupted:
        # a user who interrupts, or a batch system about to kill us, does not wait for the report
        line(f"report:  not built; python -m reports.build {short(study.folder)}")
        line(f"interrupted: {stages} left; the same command resumes")
        return INTERRUPTED
    if report and not ending.folder_lost:
        line(f"report:  {_report(study)}")
    return COMPLETE if left == 0 and not ending.trouble else INCOMPLETE


def _report(study: Study) -> str:
    """Build the report in another process: `scaling` does not import `reports`."""
    built = subprocess.run(
        [sys.executable, "-m", "reports.build", str(study.folder)], capture_output=True, text=True, env=os.environ | {"PYTHONSAFEPATH": ""}
    )
    if built.returncode != 0:
        lines = built.stderr.strip().splitlines() or ["no message"]
        return f"not built: {lines[-1]} (to try again: python -m reports.build {short(study.folder)})"
    return short(study.folder / "report.html")


def short(path: Path) -> str:
    """The path, relative to the working directory if it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
