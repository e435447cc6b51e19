"""The end of a launch: what is done, what is not and why, where everything is, and the exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from scaling.plan.plan import Plan
from scaling.study.folder import Study

COMPLETE, INCOMPLETE, WRONG, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What a launch knows that the study folder may not say."""

    interrupted: bool = False
    at_once: bool = False
    """Interrupted twice: whoever did so does not wait for tables."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why stages failed in this launch: on a full disk an error cannot be written."""
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    """Every attempt's error in this launch, by stage."""
    trouble: str = ""
    """What ended the launch before its time, in a sentence; empty if nothing did."""


def conclude(plan: Plan, study: Study, console: Console, ending: Ending, *, report: bool = True) -> int:
    """Print the summary, build the report if it is wanted, and return the exit status."""
    states = study.states(plan, ending.failed)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    for name, state in states.items():
        errors = ending.errors.get(name, ())
        log = study.stage_folder(name) / "log.txt"
        if state.state == "failed":
            tried = f" ({len(errors)} attempts)" if len(errors) > 1 else ""
            say(f"failed   {name}{tried}: {errors[0] if errors else state.reason} (log: {log})")
        elif state.state == "done" and errors:
            say(f"retried  {name}: done at attempt {len(errors) + 1}; first: {errors[0]} (log: {log})")
    for name, state in states.items():
        if state.state == "blocked":
            say(f"blocked  {name}: {state.reason}")
    runs = sum(study.is_done(run["run_id"]) for run in plan.runs)
    say(f"runs:    {runs} of {len(plan.runs)}")
    say(f"table:   {short(study.folder / 'runs.parquet')}")
    counts = Counter(state.state for state in states.values())
    left = len(states) - counts["done"]
    stages = "1 stage is" if left == 1 else f"{left:,} stages are"
    if ending.trouble:
        say(f"stopped: {ending.trouble} {stages} left; launch again to go on")
    if ending.interrupted:
        # the report would take seconds that whoever interrupts, or a batch system that is about to
        # kill, does not give
        say(f"report:  not built; python -m reports.build {short(study.folder)}")
        say(f"interrupted: {stages} left; the same command goes on from here")
        return INTERRUPTED
    if report:
        say(f"report:  {_report(study)}")
    return COMPLETE if left == 0 and not ending.trouble else INCOMPLETE


def _report(study: Study) -> str:
    """Build the report in a process of its own, since `reports` and `scaling` do not import one
    another.
    """
    built = subprocess.run(
        [sys.executable, "-m", "reports.build", str(study.folder)], capture_output=True, text=True, env=os.environ | {"PYTHONSAFEPATH": ""}
    )
    if built.returncode != 0:
        lines = built.stderr.strip().splitlines() or ["no message"]
        return f"not built: {lines[-1]} (again with: python -m reports.build {short(study.folder)})"
    return short(study.folder / "report.html")


def short(path: Path) -> str:
    """Relative to the working directory where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
