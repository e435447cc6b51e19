"""Run a study: train every stage that a grid needs, each once; tabulate; report.

    python -m scaling.launch grids/quickstart.yaml           about 4 minutes on 2 CPU cores, no download
    python -m scaling.launch grids/quickstart.yaml --plan    say what would run and why, and run nothing

Launching again is resuming. Exit status: 0 complete, 1 some stages failed or were blocked, 2 the grid or the machine is wrong
and nothing was started, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from scaling.forecast import Forecast, forecast
from scaling.grid import Grid, load_grid
from scaling.machine import Granted, Machine
from scaling.plan import Plan, make_plan
from scaling.preview import print_plan
from scaling.study import Study
from scaling.table import write_tables
from scaling.words import duration
from trials.errors import InputError
from trials.prepare import prepare_split, release_workers

COMPLETE, INCOMPLETE, WRONG, INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scaling.launch",
        description="Train every stage that a grid needs, each once; tabulate; report.",
        epilog="Launching again resumes.",
    )
    parser.add_argument("grid", type=Path, help="the study, in YAML; see grids/")
    parser.add_argument("--plan", action="store_true", help="print every stage, its state, reason and cost, and run nothing")
    parser.add_argument("--out", type=Path, help="study folder (default: runs/<study>)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds the data sets and their stores (default: data)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="override a key of the grid, such as seeds=5"
    )
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True)
    try:
        grid = load_grid(options.grid, options.settings)
        study = Study(options.out or Path("runs") / grid.study)
        study.check_is_for(grid)
        granted = Machine.here().grant(grid)
        plan = make_plan(grid, options.data)
        if options.plan:
            wide = console if console.is_terminal else Console(width=200)
            print_plan(plan, study, forecast(plan, study, granted), wide)
            return COMPLETE
        with study.locked():
            return _launch(grid, plan, study, options.data, granted, console)
    except InputError as error:
        print(error, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        print(f"{error.strerror or error} ({error.filename or 'while writing'}): what is done is kept; mend that and launch again.", file=sys.stderr)
        return INCOMPLETE


def _launch(grid: Grid, plan: Plan, study: Study, data: Path, granted: dict[str, Granted], console: Console) -> int:
    store = (data / "store").resolve()
    _prepare(plan, data, store, console)
    study.write_plan(grid, plan)
    outlook = forecast(plan, study, granted)
    started = time.monotonic()
    interrupted = False
    if outlook.stage_s:
        done = len(plan.stages) - len(outlook.stage_s)
        console.print(
            f"{plan.study}: {len(outlook.stage_s)} stages to run, {done} done already; about {duration(outlook.wall_s)} on this machine",
            highlight=False,
        )
        interrupted = _train(plan, study, store, granted, outlook, console)
    write_tables(study, plan)
    console.print(f"trained for {duration(time.monotonic() - started)}" if outlook.stage_s else f"{plan.study}: every stage is done", highlight=False)
    return _conclude(plan, study, console, interrupted=interrupted)


def _prepare(plan: Plan, data: Path, store: Path, console: Console) -> None:
    """Make the image stores that the plan reads, each as large as its largest subset."""
    needed: dict[tuple[str, str, int], int] = {}
    for stage in plan.stages.values():
        spec = stage.spec.data
        for split, images in ((spec.train_split, spec.train_images), (spec.heldout_split, spec.heldout_images)):
            key = (spec.source, split, spec.image_px)
            needed[key] = max(needed.get(key, 0), images)
    try:
        with console.status("preparing images") as status:
            for (source, split, image_px), images in needed.items():
                prepare_split(
                    source,
                    data,
                    store,
                    split,
                    image_px,
                    images=images,
                    progress=lambda what, done, total: status.update(f"preparing {what}: {done:,} of {total:,}"),
                )
    finally:
        release_workers()


def _train(plan: Plan, study: Study, store: Path, granted: dict[str, Granted], outlook: Forecast, console: Console) -> bool:
    """Run what is left of the plan; returns whether it was interrupted."""
    from scaling.ray_settings import apply_ray_settings

    apply_ray_settings()
    from scaling.bookkeeping import KeepTables
    from scaling.display import Display  # Ray takes seconds to import, and a plan or a mistake needs none of it
    from scaling.tuner import ray_running, run_plan

    try:
        with ray_running() as addresses:
            if addresses.dashboard:
                console.print(f"dashboard: {addresses.dashboard} (sign in with the token that `ray get-auth-token` prints)", highlight=False)
            if addresses.metrics:
                console.print(f"metrics:   {addresses.metrics} (names begin with ray_scaling_)", highlight=False)
            with Display(plan, study, outlook, console) as display:
                run_plan(plan, study, store, granted, [display, KeepTables(plan, study)])
    except KeyboardInterrupt:
        return True
    return False


def _conclude(plan: Plan, study: Study, console: Console, *, interrupted: bool) -> int:
    """Say what is done, what is not and why, and where the table and the report are."""
    states = study.states(plan)
    failed = {name: state.reason for name, state in states.items() if state.state == "failed"}
    blocked = {name: state.reason for name, state in states.items() if state.state == "blocked"}
    for name, reason in failed.items():
        console.print(f"failed   {name}: {reason} (log: {study.stage_folder(name) / 'log.txt'})", markup=False, highlight=False)
    for name, reason in blocked.items():
        console.print(f"blocked  {name}: {reason}", markup=False, highlight=False)
    runs = sum(study.is_done(run["run_id"]) for run in plan.runs)
    console.print(f"runs:    {runs} of {len(plan.runs)}", highlight=False)
    console.print(f"table:   {_short(study.folder / 'runs.parquet')}", markup=False, highlight=False)
    report = _report(study)
    console.print(f"report:  {report}", markup=False, highlight=False)
    if interrupted:
        left = sum(state.state != "done" for state in states.values())
        console.print(f"interrupted: {left} stages are left; the same command goes on from here", highlight=False)
        return INTERRUPTED
    return COMPLETE if all(state.state == "done" for state in states.values()) else INCOMPLETE


def _report(study: Study) -> str:
    """Build the report in a process of its own, since `reports` and `scaling` do not import one another."""
    built = subprocess.run(
        [sys.executable, "-m", "reports.build", str(study.folder)], capture_output=True, text=True, env=os.environ | {"PYTHONSAFEPATH": ""}
    )
    if built.returncode != 0:
        lines = built.stderr.strip().splitlines() or ["no message"]
        return f"not built: {lines[-1]} (again with: python -m reports.build {_short(study.folder)})"
    return _short(study.folder / "report.html")


def _short(path: Path) -> str:
    """Relative to the working directory where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
