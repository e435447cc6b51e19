"""Run a study: train every stage that a grid needs, each once; tabulate; report.

    python -m scaling.launch grids/quickstart.yaml           about 4 minutes on 2 CPU cores, no download
    python -m scaling.launch grids/quickstart.yaml --plan    say what would run and why, and run nothing

Launching again is resuming. Exit status: 0 complete, 1 some stages failed or were blocked, 2 the
grid or the machine is wrong and nothing was started, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from scaling.cluster.address import check_address, is_remote
from scaling.cluster.machine import Granted, Machine
from scaling.cluster.node_checks import Expected
from scaling.conclusion import COMPLETE, INCOMPLETE, INTERRUPTED, WRONG, Ending, conclude
from scaling.execution.gpu_share import measured_packing, packed
from scaling.execution.interruption import graceful, sigterm_is_ctrl_c
from scaling.formatting import duration
from scaling.grid.settings import Grid, load_grid
from scaling.monitoring.display import Display
from scaling.monitoring.watcher import Watcher
from scaling.plan.budget import budget, check_disk, check_ray_disk
from scaling.plan.forecast import Forecast, forecast, ranks
from scaling.plan.plan import Plan, make_plan
from scaling.plan.preview import print_plan
from scaling.preparation import prepare_stores
from scaling.study.folder import Study
from scaling.study.retention import FolderShelf, LetGo, Shelf, to_be_made_anew
from scaling.study.table import write_tables
from scaling.tracking.open import TRACKERS, open_tracker
from scaling.tracking.tracker import Tracker
from scaling.tracking.watcher import Tracking
from trials.errors import InputError

if TYPE_CHECKING:
    from scaling.monitoring.running_now import RunningNow
    from scaling.study.remote_study import Mirror


def main(arguments: list[str] | None = None, **stage_options: Any) -> int:
    """The command line, and further arguments of `trials.stage.run_stage` for every stage; returns
    the exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m scaling.launch",
        description="Train every stage that a grid needs, each once; tabulate; report.",
        epilog="Launching again resumes.",
    )
    parser.add_argument("grid", type=Path, help="the study, in YAML; see grids/")
    parser.add_argument("--plan", action="store_true", help="print every stage, its state, reason and cost, and run nothing")
    parser.add_argument("--out", help="study folder (default: runs/<study>), or a store: s3://..., gs://... (docs/cluster.md)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds the data sets and their stores (default: data)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="override a key of the grid, such as seeds=5"
    )
    parser.add_argument(
        "--address", help="run on the Ray cluster that this machine is part of: auto, or HOST:PORT (default: RAY_ADDRESS, else a Ray of its own)"
    )
    parser.add_argument(
        "--track", action="append", default=[], choices=TRACKERS, help="send every stage there too: " + ", ".join(TRACKERS) + " (docs/watching.md)"
    )
    parser.add_argument("--no-report", action="store_true", help="leave the report to `python -m reports.build`")
    options = parser.parse_args(arguments)
    options.stage_options = stage_options
    console = Console(soft_wrap=True)
    with sigterm_is_ctrl_c(), contextlib.ExitStack() as held:
        return _main(options, console, held)


def _main(options: argparse.Namespace, console: Console, held: contextlib.ExitStack) -> int:
    try:
        grid = load_grid(options.grid, options.settings)
        options.remote = options.out if options.out and is_remote(options.out) else ""
        study = Study(Path(options.out) if options.out and not options.remote else Path("runs") / grid.study)
        options.mirror = _mirror(options.remote, study.folder)
        study.check_is_for(grid)
        options.address = check_address(options.address)
        machine = held.enter_context(_cluster(options.address)) if options.address else Machine.here()
        granted = machine.grant(grid)
        if options.remote and any(one.workers > 1 for one in granted.values()):
            raise InputError("resources.workers above 1 needs a study folder that all workers see: give --out a folder on a shared file system.")
        skipping = (options.data / "store").resolve() if grid.execution.broken_images == "skip" else None
        plan = make_plan(grid, options.data, skipping=skipping)
        if options.plan:
            if Machine.here().gpus:
                granted = packed(plan, study, grid, machine, granted)
            wide = console if console.is_terminal else Console(width=200)
            print_plan(plan, study, forecast(plan, study, granted), budget(plan, study.folder, granted, grid.execution.keep), wide)
            console.print(f"planned for {machine}", highlight=False)
            return COMPLETE
        with study.locked(), _lease(options.mirror):
            trackers = [open_tracker(name, grid.study, study.folder) for name in options.track]
            return _launch(grid, plan, study, machine, granted, trackers, options, console)
    except InputError as error:
        print(error, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        print(f"{error.strerror or error} ({error.filename or 'while writing'}): what is done is kept; mend that and launch again.", file=sys.stderr)
        return INCOMPLETE


def _mirror(remote: str, folder: Path) -> Mirror | None:
    if not remote:
        return None
    from scaling.study.remote_study import mirrored  # pyarrow's file systems take a second to import

    return mirrored(remote, folder)


def _lease(mirror: Mirror | None) -> contextlib.AbstractContextManager[None]:
    if mirror is None:
        return contextlib.nullcontext()
    from scaling.study.remote_study import leased

    return leased(mirror.remote, lost=lambda: os.kill(os.getpid(), signal.SIGTERM))  # to stop as if told by its owner


def _shelf(study: Study, mirror: Mirror | None) -> Shelf:
    if mirror is None:
        return FolderShelf(study)
    from scaling.study.remote_checkpoints import RemoteShelf

    return RemoteShelf(mirror)


def _running_now(plan: Plan, mirror: Mirror) -> RunningNow:
    from scaling.monitoring.running_now import RunningNow

    return RunningNow(plan, mirror)


def _cluster(address: str) -> contextlib.AbstractContextManager[Machine]:
    from scaling.cluster.ray_settings import apply_ray_settings

    apply_ray_settings(own=False)
    from scaling.cluster.join import joined

    return joined(address)


def _launch(
    grid: Grid,
    plan: Plan,
    study: Study,
    machine: Machine,
    granted: dict[str, Granted],
    trackers: list[Tracker],
    options: argparse.Namespace,
    console: Console,
) -> int:
    store = (options.data / "store").resolve()
    keep, expected = grid.execution.keep, None
    if options.address:
        from scaling.cluster.readiness import look_at_nodes

        look_at_nodes(plan, study, granted, keep, None, options.remote, console)  # images may take long to prepare
    prepare_stores(plan, options.data, store, grid.execution.broken_images, console)
    if grid.execution.broken_images == "skip":  # which images are broken is known only now
        plan = make_plan(grid, options.data, skipping=store)
    if options.address:
        expected = look_at_nodes(plan, study, granted, keep, store, options.remote, console)
    study.write_plan(grid, plan)
    if options.mirror:
        options.mirror.push_plan()
    shelf = _shelf(study, options.mirror)
    anew = to_be_made_anew(shelf, plan, {name for name in plan.stages if study.is_done(name)})
    if anew:
        console.print(f"{len(anew)} finished stages are trained again for their weights, which were let go", highlight=False)
        for name in anew:
            shelf.set_aside(name)
    if Machine.here().gpus:  # else a cluster's are elsewhere, and each stage is given a whole one
        granted = packed(plan, study, grid, machine, granted, measure=measured_packing)
    outlook = forecast(plan, study, granted)
    if not options.mirror:
        check_disk(budget(plan, study.folder, granted, grid.execution.keep), study.folder, outlook.stage_s)
    if outlook.stage_s and not options.address:
        check_ray_disk()
    started = time.monotonic()
    ending = Ending()
    if outlook.stage_s:
        done = len(plan.stages) - len(outlook.stage_s)
        console.print(
            f"{plan.study}: {len(outlook.stage_s)} stages to run, {done} done already; about {duration(outlook.wall_s)} on {machine.name}",
            highlight=False,
        )
        ending = _train(grid, plan, study, store, granted, outlook, trackers, options, expected, shelf, console)
    if ending.at_once:
        console.print("stopped at once: what is done is kept, and the same command goes on from here", highlight=False)
        return INTERRUPTED
    try:
        if options.mirror:
            options.mirror.pull()
        write_tables(study, plan)
    except OSError as error:
        ending = replace(ending, trouble=ending.trouble or f"The tables could not be written ({error.strerror or error}): what is done is kept.")
    console.print(f"trained for {duration(time.monotonic() - started)}" if outlook.stage_s else f"{plan.study}: every stage is done", highlight=False)
    return conclude(plan, study, console, ending, report=not options.no_report)


def _train(
    grid: Grid,
    plan: Plan,
    study: Study,
    store: Path,
    granted: dict[str, Granted],
    outlook: Forecast,
    trackers: list[Tracker],
    options: argparse.Namespace,
    expected: Expected | None,
    shelf: Shelf,
    console: Console,
) -> Ending:
    """Run what is left of the plan."""
    if not options.address:
        from scaling.cluster.ray_settings import apply_ray_settings

        apply_ray_settings()
    from scaling.cluster.gcs_watchdog import Lifeline
    from scaling.execution.searcher import RayGone
    from scaling.execution.tuner import control_store, ray_running, run_plan
    from scaling.monitoring.gauges import Gauges  # Ray takes seconds to import, and a plan or a mistake needs none of it
    from scaling.monitoring.table_writer import KeepTables

    board = None
    with graceful() as interruption:
        try:
            with ray_running(options.address) as addresses:
                if addresses.dashboard:
                    console.print(f"dashboard: {addresses.dashboard} (sign in with the token that `ray get-auth-token` prints)", highlight=False)
                if addresses.metrics:
                    console.print(f"metrics:   {addresses.metrics} (names begin with ray_scaling_)", highlight=False)
                with contextlib.ExitStack() as stack:
                    display = Display(plan, study, outlook, console, stopping=lambda: interruption.asked)
                    watchers: list[Watcher] = [stack.enter_context(display)]
                    stack.enter_context(Lifeline(control_store, lambda: _end_without_ray(display, console)))
                    watchers.append(stack.enter_context(Gauges(plan, study, outlook, granted)))
                    watchers += [stack.enter_context(Tracking(plan, study, tracker, console.print)) for tracker in trackers]
                    if options.mirror:
                        watchers += [options.mirror, stack.enter_context(_running_now(plan, options.mirror))]
                    board = run_plan(
                        plan,
                        study,
                        store,
                        granted,
                        [*watchers, KeepTables(plan, study), LetGo(plan, study, grid.execution.keep, shelf)],
                        retries=grid.execution.retries,
                        rank=ranks(plan, grid.execution.order, outlook.stage_s),
                        interruption=interruption,
                        options={"micro_batches": grid.execution.micro_batches, "compile": grid.execution.compile} | options.stage_options,
                        address=options.address,
                        expected=expected,
                        remote=options.remote,
                        say=lambda sentence: console.print(sentence, markup=False, highlight=False),
                    )
        except RayGone as error:
            return Ending(trouble=str(error))
        except KeyboardInterrupt:
            return Ending(interrupted=True, at_once=interruption.insisted)
    return Ending(interrupted=interruption.asked, failed=board.failed, errors=board.errors)


def _end_without_ray(display: Display, console: Console) -> None:
    """From another thread than the one that waits for Ray, which nothing wakes."""
    display.__exit__()  # gives the terminal back
    console.print("stopped: Ray's control store is gone. What is done is kept, and the same command goes on from here", highlight=False)
    sys.stdout.flush()
    os._exit(INCOMPLETE)


if __name__ == "__main__":
    sys.exit(main())
