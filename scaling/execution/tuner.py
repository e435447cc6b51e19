"""Runs a plan with Ray Tune, and restarts Ray where it stops working."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray._private.node import Node

from scaling.cluster.address import check_address
from scaling.cluster.capacity import Cluster, Shape
from scaling.cluster.join import join
from scaling.cluster.machine import Machine
from scaling.cluster.ray_token import protect_token
from scaling.execution.actors import name_workers_out_of_memory
from scaling.execution.context import RunContext
from scaling.execution.interruption import Interruption
from scaling.execution.ready_queue import ReadyQueue
from scaling.execution.searcher import Assigning, OwnFault, RayGone, ReadyStages, WorkerPool, fault_of
from scaling.execution.worker import COORDINATOR_RESOURCES, StageWorker, worker_class
from scaling.leaving import ray_was_restarted
from scaling.study.folder import Study
from scaling.study.presence import FolderLostError
from trials.errors import InputError

RESTARTS = 3  # of a Ray that stopped working, in a row and without any stage ending in between
STARTS = 3  # attempts to start a Ray of our own
RESTART_S = 1.0  # before each of them
DASHBOARD = "SCALING_RAY_DASHBOARD"  # environment variable: 0 starts our own Ray without its dashboard
STARTING_S = 20.0  # between two lines while Ray starts: on a busy machine each attempt takes up to 50 s


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where a running Ray can be watched; None for what it does not offer."""

    dashboard: str | None
    metrics: str | None
    """Custom metrics in Prometheus' text format."""


@contextlib.contextmanager
def ray_running(address: str | None = None, show_message: Callable[[str], None] = lambda sentence: None) -> Iterator[Addresses]:
    """Start Ray or join a cluster, as `start_ray` does, and leave it at the end."""
    try:
        yield start_ray(address, show_message)
    finally:
        ray.shutdown()


def start_ray(address: str | None = None, show_message: Callable[[str], None] = lambda sentence: None) -> Addresses:
    """Start Ray on this machine, or join the cluster at an address or at RAY_ADDRESS.

    Args:
        show_message: shows a sentence to the user, also while Ray takes long to start.

    Raises:
        InputError: there is no such cluster, or the token cannot be kept private.
        RayGone: Ray cannot be started here.
    """
    address = check_address(address)
    if address is None:
        protect_token(create=True)
    with _waiting(show_message):
        context = join(address) if address else _own_ray(show_message)
    here = ray.get_runtime_context().get_node_id()  # gauges set here are exported with this machine's metrics
    node: dict[str, Any] = next((node for node in ray.nodes() if node["NodeID"] == here), {})
    port = node.get("MetricsExportPort")
    return Addresses(
        dashboard=f"http://{context.dashboard_url}" if context.dashboard_url else None,
        metrics=f"http://{node['NodeManagerAddress']}:{port}/metrics" if port else None,
    )


def gcs_address() -> str:
    """HOST:PORT of the GCS (Ray's global control store); empty while no Ray runs."""
    with contextlib.suppress(Exception):  # between the end of one Ray and the start of the next
        return str(ray.get_runtime_context().gcs_address) if ray.is_initialized() else ""
    return ""


@contextlib.contextmanager
def _waiting(show_message: Callable[[str], None]) -> Iterator[None]:
    """Show a line now and then while Ray starts."""
    over, started_s = threading.Event(), time.monotonic()

    def show() -> None:
        while not over.wait(STARTING_S):
            show_message(f"Ray is still starting, for {time.monotonic() - started_s:.0f} s now; on a busy machine it takes a minute or two")

    threading.Thread(target=show, name="Ray is starting", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _own_ray(show_message: Callable[[str], None] = lambda sentence: None) -> Any:
    """Start a Ray on this machine for this launch alone. Raises RayGone.

    On a busy machine Ray's processes may miss its time limit, so there are several attempts. Most of
    them start the dashboard, so later attempts leave it out.
    """
    dashboard = os.environ.get(DASHBOARD, "1") != "0"
    for attempt in range(STARTS):
        try:
            return _init(dashboard)
        except Exception as error:  # Ray raises bare Exceptions here; none is the grid's fault
            _end_processes(error)
            ray.shutdown()
            if attempt + 1 == STARTS:
                raise RayGone(f"Ray could not be started on this machine ({_why_not(error)}), {STARTS} times in a row.") from error
            without = ", without its dashboard" if dashboard else ""
            dashboard = False
            show_message(f"Ray did not start ({_why_not(error)}): attempt {attempt + 2} of {STARTS}{without}")
            time.sleep(RESTART_S)
    raise AssertionError


def _end_processes(error: Exception) -> None:
    """End what a failed start has left running, which Ray does only when this process exits: each
    further attempt would share the machine with the control stores and dashboards before it.
    """
    link = error.__traceback__
    while link is not None:
        node = link.tb_frame.f_locals.get("self")
        if isinstance(node, Node):
            with contextlib.suppress(Exception):
                node.kill_all_processes(check_alive=False, allow_graceful=False)
            return
        link = link.tb_next


def _why_not(error: Exception) -> str:
    """Why Ray did not start. Of a dashboard that misses its time limit Ray's error is its log."""
    return "its dashboard did not start in time" if "dashboard" in str(error) else _last_line(error)[:200]


def _init(dashboard: bool) -> Any:
    machine = Machine.here()
    return ray.init(
        address="local",  # else it would join a Ray that somebody else runs on this machine
        num_cpus=machine.cpus,  # as checked before; else a stage could wait for ever for cores that Ray does not count
        num_gpus=machine.gpus,
        include_dashboard=dashboard,
        dashboard_host="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
        ignore_reinit_error=True,
    )


def run_plan(context: RunContext) -> ReadyQueue:
    """Run every stage of the plan that is not done, on the Ray that is running.

    Returns:
        The queue, which knows what failed.

    Raises:
        KeyboardInterrupt: running stages did not stop in time.
        RayGone: Ray was lost, and could not be started again.
        FolderLostError: a folder that the launch works in is gone.
        OwnFault: this program itself failed.
    """
    interruption = context.interruption
    interruption.listen()
    queue = ReadyQueue(context.plan, context.study, context.shape, retries=context.retries, rank=context.rank)
    pool = WorkerPool(
        queue,
        context.assignment,
        _alive,
        context.watchers,
        stopping=lambda: _is_stopping(interruption),
        show_message=context.show_message,
        check=context.check,
        adapt=context.adapt,
    )
    restarts, ended = 0, queue.ended_count
    while not queue.finished and not interruption.asked:
        try:
            _run_tune(pool, context.study, worker_class(context.work, context.expected))
        except Exception as error:  # Tune's or Ray's own: a stage's errors end in its folder
            if isinstance(pool.fault, FolderLostError):
                raise pool.fault from None
            if pool.fault is not None:
                raise OwnFault(f"a fault of this program ended the launch ({fault_of(pool.fault)}).") from pool.fault
            context.check()  # Tune's own files are in the study folder
            pool.put_back()
            restarts, ended = (0 if queue.ended_count > ended else restarts) + 1, queue.ended_count
            if restarts > RESTARTS or interruption.asked:
                raise RayGone(f"Ray stopped working ({_last_line(error)}), {RESTARTS} times in a row: what is done is kept.") from error
            context.show_message(f"Ray stopped working ({_last_line(error)}): it is restarted, and running stages resume from their checkpoints")
            _restart(context.address, context.show_message)
            interruption.listen()
        else:
            pool.put_back()  # empty, unless Tune dropped a worker without reporting it
    return queue


def _is_stopping(interruption: Interruption) -> bool:
    if interruption.overdue:
        raise KeyboardInterrupt
    return interruption.asked


def _restart(address: str | None, show_message: Callable[[str], None] = lambda sentence: None) -> None:
    ray.shutdown()
    ray_was_restarted()
    time.sleep(RESTART_S)
    try:
        start_ray(address, show_message)
    except InputError as error:  # the cluster is gone; the grid is not at fault
        raise RayGone(f"Ray stopped working, and what is done is kept. {error}") from error


def _run_tune(pool: WorkerPool, study: Study, worker: type[StageWorker]) -> None:
    name_workers_out_of_memory()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # we report a dead worker ourselves
    scratch = study.folder / ".tune"  # Tune insists on a place for its state, which nobody reads
    shutil.rmtree(scratch, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(worker, _held_by),
        tune_config=tune.TuneConfig(
            search_alg=ReadyStages(pool),
            scheduler=Assigning(pool),
            num_samples=-1,
            max_concurrent_trials=1_000_000,  # the pool itself limits how many workers are open
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=str(scratch), verbose=0, checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False)
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _held_by(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What a worker holds: for a stage of several processes nothing, since these hold it."""
    if config["processes"] > 1:
        return tune.PlacementGroupFactory([COORDINATOR_RESOURCES])
    return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])


def _alive() -> Cluster:
    """The machines that are alive. Raises RayGone."""
    nodes = {node["NodeID"]: Shape(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)) for node in ray.nodes() if node["Alive"]}
    if ray.get_runtime_context().get_node_id() not in nodes:
        raise RayGone("the raylet of this machine is gone")
    return Cluster(nodes)


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).strip()[:300].removesuffix(".")
