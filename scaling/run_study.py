"""One launch from its parsed command line to its exit status; `scaling.launch` is the command."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from scaling.cluster.address import check_address, is_remote
from scaling.cluster.described_machine import read_machine
from scaling.cluster.machine import Granted, Machine
from scaling.cluster.ray_token import protect_token
from scaling.conclusion import Ending, conclude
from scaling.execution.gpu_share import GpuSharing, packed
from scaling.execution.interruption import graceful
from scaling.execution.live_share import LiveShare
from scaling.exit_status import COMPLETE, INCOMPLETE, INTERRUPTED, WRONG
from scaling.formatting import duration
from scaling.grid.reader import load_grid
from scaling.launch_context import LaunchContext
from scaling.monitoring.display import Display
from scaling.monitoring.watcher import Watcher
from scaling.outlook import preview
from scaling.plan.budget import budget, check_disk, check_ray_disk
from scaling.plan.forecast import Forecast, forecast, ranks
from scaling.plan.gpu_speed import gpu_speed_here
from scaling.plan.planner import make_plan
from scaling.plan.preview import print_plan
from scaling.preparation import prepare_stores, store_lines, stores_of
from scaling.study.earlier_runs import keep_earlier_grid, left_out_sentence, runs_outside
from scaling.study.folder import Study, resolved
from scaling.study.lock import Owner
from scaling.study.presence import FolderLostError, Presence
from scaling.study.retention import CheckpointCleanup, CheckpointStorage, FolderStorage, missing_weights
from scaling.study.table import TableWriter, write_tables
from scaling.tracking.live import LiveTracking
from scaling.tracking.open import open_tracker
from scaling.tracking.tracker import Tracker
from trials.cost.stage_probe import probe_stages
from trials.data.published_counts import describe_or_assume
from trials.data.store import describe_split
from trials.errors import InputError
from trials.registry import loaded_plugins

if TYPE_CHECKING:
    from scaling.cluster.node_checks import Expected
    from scaling.execution.context import RunContext
    from scaling.execution.ready_queue import ReadyQueue
    from scaling.study.remote_study import Mirror

OPEN_PORTS = "other ports of Ray listen on every interface: most ask for the token, those of metrics for nothing (docs/security.md)"

# Ray takes seconds to import, and a plan or a mistake in the grid does not need it: whatever imports
# Ray is imported inside the functions below.


def run_study(options: argparse.Namespace, stage_options: dict[str, Any], *, imported_s: float = 0.0) -> int:
    """Do what the command line of `scaling.launch` asks; returns the exit status.

    Args:
        options: as `scaling.launch` parses them.
        stage_options: further arguments of `trials.stage.run_stage` for every stage.
        imported_s: seconds that importing this module took, from which the forecast judges how fast
            Ray will start.
    """
    console = Console(soft_wrap=True)
    with contextlib.ExitStack() as resources:
        return _run(options, stage_options, console, resources, imported_s)


def _run(options: argparse.Namespace, stage_options: dict[str, Any], console: Console, resources: contextlib.ExitStack, imported_s: float) -> int:
    try:
        try:
            context = _context(options, stage_options, console, resources)
        except (OSError, RuntimeError) as error:  # nothing was started: a name too long, a link that leads to itself
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)[:200]
            name = str(getattr(error, "filename", None) or options.data)[:200]
            raise InputError(f"{name} cannot be used ({reason}): name another file or folder.") from None
        if options.plan:
            _preview(context)
            return COMPLETE
        with context.study.locked() as owner, _lease(context.mirror):
            trackers = [open_tracker(name, context.grid.study, context.study.folder) for name in context.trackers]
            return _launch(context, owner, trackers, imported_s)
    except InputError as error:
        print(error, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        print(f"{error.strerror or error} ({error.filename or 'while writing'}): what is done is kept; mend that and launch again.", file=sys.stderr)
        return INCOMPLETE


def _context(options: argparse.Namespace, stage_options: dict[str, Any], console: Console, resources: contextlib.ExitStack) -> LaunchContext:
    """Read the grid, join the cluster and make the plan. Raises InputError."""
    grid = load_grid(options.grid, options.settings)
    remote = options.out if options.out and is_remote(options.out) else ""
    resolved(options.data, "name another with --data")
    study = Study(Path(options.out) if options.out and not remote else Path("runs") / grid.study)
    mirror = _mirror(remote, study.folder)
    study.check_is_for(grid)
    address = check_address(options.address)
    described = None if options.machine is None else read_machine(options.machine)
    if described is not None:
        address, machine = None, described.machine
    else:
        machine = resources.enter_context(_cluster(address, console)) if address else Machine.here()
    granted = machine.grant(grid)
    if remote and any(one.workers > 1 for one in granted.values()):
        raise InputError("resources.workers above 1 needs a study folder that all workers see: give --out a folder on a shared file system.")
    skipping = (options.data / "store").resolve() if grid.execution.broken_images == "skip" else None
    return LaunchContext(
        grid=grid,
        plan=make_plan(grid, options.data, skipping=skipping, describe=describe_or_assume if options.assume_data else None),
        study=study,
        machine=machine,
        granted=granted,
        data=options.data,
        console=console,
        address=address,
        remote=remote,
        mirror=mirror,
        trackers=tuple(options.track),
        report=not options.no_report,
        described=described,
        assume_data=options.assume_data,
        stage_options=stage_options,
    )


def _mirror(remote: str, folder: Path) -> Mirror | None:
    if not remote:
        return None
    from scaling.study.remote_study import mirrored  # pyarrow's file systems take a second to import

    return mirrored(remote, folder)


def _lease(mirror: Mirror | None) -> contextlib.AbstractContextManager[None]:
    if mirror is None:
        return contextlib.nullcontext()
    from scaling.study.remote_study import leased

    return leased(mirror.remote, lost=lambda: os.kill(os.getpid(), signal.SIGTERM))  # stops as if the user had asked for it


def _protect_token(console: Console, *, create: bool) -> None:
    """Keep Ray's token from other users, and say so where they could read it until now."""
    exposed = protect_token(create=create)
    if exposed:
        console.print(exposed, markup=False, highlight=False)


def _cluster(address: str, console: Console) -> contextlib.AbstractContextManager[Machine]:
    from scaling.cluster.ray_settings import apply_ray_settings

    _protect_token(console, create=False)
    apply_ray_settings(own=False)
    from scaling.cluster.join import joined

    return joined(address)


def _preview(context: LaunchContext) -> None:
    """Print the plan and what it will cost."""
    outlook = preview(context)
    console = context.console if context.console.is_terminal else Console(width=200)
    print_plan(context.plan, context.study, outlook.forecast, outlook.budget, console, where=context.machine.name, notes=outlook.notes)
    if outside := runs_outside(context.study, context.plan):
        context.show_message(left_out_sentence(outside, planned=True))
    context.console.print(f"planned for {context.described or context.machine}", highlight=False)
    describe = describe_or_assume if context.assume_data else describe_split
    for line in store_lines(context.plan, context.data, context.store, context.grid.execution.broken_images, describe):
        context.console.print(line, highlight=False, soft_wrap=True)


def _launch(context: LaunchContext, owner: Owner, trackers: list[Tracker], imported_s: float) -> int:
    """Prepare, train, write the tables, and show the summary."""
    context, expected = _prepare(context)
    stores = () if context.mirror else stores_of(context.plan, context.store)
    context = replace(context, presence=Presence(context.study.folder, owner, stores))
    storage = _checkpoint_storage(context)
    _set_aside_results_without_weights(context, storage)
    if Machine.here().gpus:  # else the GPUs are those of a cluster, and each stage gets a whole one
        with context.console.status("measuring how many stages share a GPU"):
            granted = packed(
                context.plan,
                context.study,
                context.grid,
                context.machine,
                context.granted,
                probe=probe_stages,
                show_message=context.show_message,
            )
        context = replace(context, granted=granted)
    with context.console.status("measuring the speed of this machine"):
        speed = gpu_speed_here(context.grid, context.machine)
        outlook = forecast(context.plan, context.study, context.granted, imported_s=imported_s, gpu_speed=speed)
    _check_disks(context, outlook)
    if outlook.stage_s and not context.address:
        _protect_token(context.console, create=True)
    started = time.monotonic()
    ending = Ending()
    if outlook.stage_s:
        to_run, done = len(outlook.stage_s), len(context.plan.stages) - len(outlook.stage_s)
        whole = outlook.whole_range_s
        context.show_message(
            f"{context.plan.study}: {to_run} stages to run, {done} done already; about {duration(outlook.whole_s)} on {context.machine.name} "
            f"({duration(whole.low)} to {duration(whole.high)})"
        )
        ending = _train(context, outlook, expected, storage, trackers)
    if ending.at_once:
        context.show_message("stopped at once: what is done is kept, and the same command resumes")
        return INTERRUPTED
    ending = _write_tables(context, ending)
    took = f"trained for {duration(time.monotonic() - started)}" if outlook.stage_s else f"{context.plan.study}: every stage is done"
    context.show_message(took)
    return conclude(context.plan, context.study, context.console, ending, report=context.report)


def _prepare(context: LaunchContext) -> tuple[LaunchContext, Expected | None]:
    """Make the image stores and write the plan; on a cluster also check every node.

    Returns:
        The context with the final plan, and what the nodes of a cluster must have.
    """
    expected = None
    if context.address:
        from scaling.cluster.join import check_nodes

        check_nodes(context, stores_exist=False)  # before images are prepared, which may take long
    broken_images = context.grid.execution.broken_images
    prepare_stores(context.plan, context.data, context.store, broken_images, context.console)
    if broken_images == "skip":  # only now is it known which images are broken
        context = replace(context, plan=make_plan(context.grid, context.data, skipping=context.store))
    if context.address:
        expected = check_nodes(context, stores_exist=True)
    if outside := runs_outside(context.study, context.plan):
        keep_earlier_grid(context.study, context.grid)
        context.show_message(left_out_sentence(outside))
    context.study.write_plan(context.grid, context.plan)
    if context.mirror:
        context.mirror.push_plan()
    return context, expected


def _checkpoint_storage(context: LaunchContext) -> CheckpointStorage:
    if context.mirror is None:
        return FolderStorage(context.study)
    from scaling.study.remote_study import RemoteStorage

    return RemoteStorage(context.mirror)


def _set_aside_results_without_weights(context: LaunchContext, storage: CheckpointStorage) -> None:
    """Train finished stages again whose weights were deleted and are needed now."""
    done = {name for name in context.plan.stages if context.study.is_done(name)}
    again = missing_weights(storage, context.plan, done)
    if again:
        context.show_message(f"{len(again)} finished stages are trained again, since their weights were deleted and are needed now")
    for name in again:
        storage.set_aside(name)


def _check_disks(context: LaunchContext, outlook: Forecast) -> None:
    """Check that the study and Ray have enough disk space. Raises InputError."""
    if not context.mirror:
        folder = context.study.folder
        check_disk(budget(context.plan, folder, context.granted, context.grid.execution.keep), folder, outlook.stage_s)
    if outlook.stage_s and not context.address:
        check_ray_disk()


def _train(context: LaunchContext, outlook: Forecast, expected: Expected | None, storage: CheckpointStorage, trackers: list[Tracker]) -> Ending:
    """Run the stages that are not done."""
    if not context.address:
        from scaling.cluster.ray_settings import apply_ray_settings

        apply_ray_settings()
    from scaling.execution.context import RunContext
    from scaling.execution.searcher import OwnFault, RayGone
    from scaling.execution.tuner import ray_running

    execution, granted = context.grid.execution, dict(context.granted)
    with graceful() as interruption:
        run = RunContext(
            plan=context.plan,
            study=context.study,
            store=context.store,
            granted=granted,
            adapt=_adapting(context, granted),
            retries=execution.retries,
            rank=ranks(context.plan, execution.order, outlook.stage_s),
            interruption=interruption,
            stage_options={
                "micro_batches": execution.micro_batches,
                "compile": execution.compile,
                "capture": execution.capture,
                "plugins": loaded_plugins(),
            }
            | context.stage_options,
            address=context.address,
            expected=expected,
            remote=context.remote,
            show_message=context.show_message,
            check=context.presence.check if context.presence else lambda: None,
        )
        try:
            context.show_message("starting Ray" if not context.address else f"joining Ray at {context.address}")
            with ray_running(context.address, context.show_message) as addresses:
                if addresses.dashboard:
                    context.show_message(f"dashboard: {addresses.dashboard} (sign in with the token that `ray get-auth-token` prints)")
                if addresses.metrics:
                    context.show_message(f"metrics:   {addresses.metrics} (names begin with ray_scaling_)")
                if not context.address:
                    context.show_message(f"network:   {OPEN_PORTS}")
                queue = _train_watched(context, run, outlook, storage, trackers)
        except (RayGone, FolderLostError, OwnFault) as error:
            return Ending(trouble=str(error))
        except KeyboardInterrupt:
            return Ending(interrupted=True, at_once=interruption.insisted)
    return Ending(interrupted=interruption.asked, failed=queue.failed, errors=queue.errors)


def _adapting(context: LaunchContext, granted: dict[str, Granted]) -> Callable[[str, float, float], bool]:
    """What corrects how many stages share a GPU, where the grid leaves that open."""
    sharing = GpuSharing.of(context.plan, context.study, context.grid, context.machine, granted) if Machine.here().gpus else None
    if sharing is None or not sharing.kinds:
        return lambda stage, held_at_start, held_at_end: False
    sharing.learn(None)
    return LiveShare(sharing, granted, context.plan, context.study, gpus=context.machine.gpus, show_message=context.show_message).ended


def _train_watched(context: LaunchContext, run: RunContext, outlook: Forecast, storage: CheckpointStorage, trackers: list[Tracker]) -> ReadyQueue:
    """Run the stages with everything that watches them: display, metrics, trackers and tables."""
    from scaling.cluster.gcs_watchdog import GcsWatchdog
    from scaling.execution.tuner import gcs_address, run_plan
    from scaling.monitoring.gauges import Gauges

    plan, study, console = context.plan, context.study, context.console
    with contextlib.ExitStack() as stack:
        display = Display(plan, study, outlook, console, stopping=lambda: run.interruption.asked)
        watchers: list[Watcher] = [stack.enter_context(display)]
        stack.enter_context(GcsWatchdog(gcs_address, lambda: _end_without_ray(display, console)))
        watchers.append(stack.enter_context(Gauges(plan, study, outlook, context.granted)))
        watchers += [stack.enter_context(LiveTracking(plan, study, tracker, console.print)) for tracker in trackers]
        if context.mirror:
            from scaling.monitoring.running_now import RunningNow  # with pyarrow's file systems

            watchers += [context.mirror, stack.enter_context(RunningNow(plan, context.mirror))]
        watchers += [TableWriter(plan, study), CheckpointCleanup(plan, study, context.grid.execution.keep, storage)]
        return run_plan(replace(run, watchers=watchers))


def _end_without_ray(display: Display, console: Console) -> None:
    """End the process from another thread: the main thread waits for Ray, and nothing wakes it."""
    display.__exit__()  # gives the terminal back
    console.print("stopped: Ray's control store is gone. What is done is kept, and the same command resumes", highlight=False)
    sys.stdout.flush()
    os._exit(INCOMPLETE)


def _write_tables(context: LaunchContext, ending: Ending) -> Ending:
    """Write the tables; returns the ending with the reason if they could not be written."""
    if context.presence is not None and not context.presence.may_write():  # writing would make half a folder
        return replace(ending, trouble=ending.trouble or context.presence.lost, folder_lost=True)
    try:
        if context.mirror:
            context.mirror.pull()
        write_tables(context.study, context.plan)
    except Exception as error:
        reason = error.strerror or error if isinstance(error, OSError) else f"{type(error).__name__}: {str(error)[:200]}"
        return replace(ending, trouble=ending.trouble or f"The tables could not be written ({reason}): what is done is kept.")
    return ending
