"""Shows how far a study is, from any shell or machine that sees its folder or its store.

    python -m scaling.status runs/quickstart            once
    python -m scaling.status s3://bucket/runs/NAME      of a study in a remote store
    python -m scaling.status runs/quickstart --watch    every few seconds until it is complete
    python -m scaling.status runs/quickstart --json     for scripts

Exit status: 0 every stage is done, 1 some are not, 2 the folder is no study.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scaling.cluster.address import is_remote, without_secrets
from scaling.formatting import count, duration
from scaling.study.computation import mixed_in_folder
from scaling.study.stage_state import (
    STATES,
    LaunchState,
    StageState,
    launch_state,
    left_range_s,
    newest_measures,
    no_plan,
    refusal_of,
    seconds_left,
    stage_states,
)
from trials.errors import InputError

EVERY_S = 5.0
ROWS = 64  # running stages that are listed; the others are counted


def show(folder: Path, stages: list[StageState], launch: LaunchState | None, console: Console) -> None:
    """Print how far the study is."""

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    line(f"{folder.resolve().name}: {_summary(folder, stages, launch)}")
    if launch:
        doubt = "" if launch.certain else " (its lock is not visible from here: it may have ended)"
        line(f"launch:  {launch}{doubt}")
    running = [stage for stage in stages if stage.state == "running"]
    if running:
        console.print(_table(running[:ROWS]))
        line("left: at each stage's own speed so far, which has no range")
    if len(running) > ROWS:
        line(f"... and {len(running) - ROWS:,} more are running")
    mixed = mixed_in_folder(folder)
    if mixed:
        line(f"mixed:   {mixed}")
    doubts = [stage for stage in running if stage.detail]
    if doubts:
        line(f"it is not certain that {len(doubts):,} of them are running: {doubts[0].detail}")
    for stage in stages:
        if stage.state in ("failed", "retrying"):
            log = folder / "stages" / stage.stage_id / "log.txt"
            tried = f" ({stage.attempts} attempts)" if stage.attempts > 1 else ""
            line(f"{stage.state:<8} {stage.stage_id}{tried}: {stage.detail} (log: {log})")
    for culprit, number in Counter(stage.detail for stage in stages if stage.state == "blocked").items():
        line(f"blocked  {number:,} {'stage waits' if number == 1 else 'stages wait'} for {culprit}")


def _summary(folder: Path, stages: list[StageState], launch: LaunchState | None) -> str:
    if not stages:
        return "a launch is preparing it and has not written the plan yet"
    states = Counter(stage.state for stage in stages)
    parts = [f"{len(stages):,} stages: " + ", ".join(f"{number:,} {state}" for state in STATES if (number := states[state]))]
    if len(stages) - states["done"] - states["failed"] - states["blocked"]:
        left_s = left_range_s(folder, stages)
        if left_s is None:
            parts.append("time left not known yet")
        else:
            low, middle, high = (duration(one) for one in left_s)
            parts.append(f"about {middle} left" + (f" ({low} to {high})" if low != high else ""))
        if not (states["running"] or states["retrying"]):
            parts.append("a launch is starting" if launch else "nothing is running: launch the grid again to resume")
    return "; ".join(parts)


def _table(running: list[StageState]) -> Table:
    table = Table("stage", "images shown", "images/s", "loss", "left", "attempt", box=None, pad_edge=False)
    table.columns[0].min_width = max(len(stage.stage_id) for stage in running)  # to be copied
    for stage in running:
        rate = stage.latest.get("images_per_s")
        loss = next((f"{name} {value:.4f}" for name, value in newest_measures(stage.latest).items()), "-")
        left = duration((stage.image_passes - stage.shown) / rate) if rate else "-"
        shown = f"{count(stage.shown)} of {count(stage.image_passes)}"
        table.add_row(stage.stage_id, shown, f"{rate:,.0f}" if rate else "-", loss, left, str(stage.attempts or "-"))
    return table


def as_json(folder: Path, stages: list[StageState], launch: LaunchState | None) -> dict[str, Any]:
    """What `show` prints, for scripts: counts, seconds left (null if unknown), how stages of one kind
    were computed in more than one way (null if they were not), the launch and every stage; see
    `LaunchState` and `StageState` in `scaling.study.stage_state`.
    """
    states = Counter(stage.state for stage in stages)
    return {
        "study": folder.resolve().name,
        "states": {state: states[state] for state in STATES},
        "seconds_left": seconds_left(folder, stages),
        "mixed": mixed_in_folder(folder) or None,
        "launch": dataclasses.asdict(launch) if launch else None,
        "stages": [dataclasses.asdict(stage) for stage in stages],
    }


def _looking_at(place: str) -> Callable[[], Path]:
    if not is_remote(place):
        return lambda: Path(place)
    from scaling.study.remote_study import watched  # takes seconds to import, with pyarrow's file systems

    return watched(place)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scaling.status", description="Show how far a study is.")
    parser.add_argument("folder", help="the study folder, such as runs/quickstart, or its remote store: s3://..., gs://...")
    parser.add_argument("--watch", action="store_true", help="repeat every few seconds until every stage is done")
    parser.add_argument("--json", action="store_true", help="print one JSON object, on one line")
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True)
    try:
        look = _looking_at(options.folder)
        while True:
            folder = look()
            launch = launch_state(folder)
            try:
                stages = stage_states(folder)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                if not launch:
                    place = without_secrets(options.folder) if is_remote(options.folder) else options.folder
                    print(no_plan(place, refusal_of(error)), file=sys.stderr)
                    return 2
                stages = []  # the launch still prepares its images
            if options.json:
                print(json.dumps(as_json(folder, stages, launch)), flush=True)
            else:
                show(folder, stages, launch, console)
            done = bool(stages) and all(stage.state == "done" for stage in stages)
            if done or not options.watch:
                return 0 if done else 1
            time.sleep(EVERY_S)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 1


if __name__ == "__main__":
    sys.exit(main())
