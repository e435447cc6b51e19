"""Running a plan with Ray Tune."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from scaling.cluster.address import check_address
from scaling.cluster.capacity import Cluster
from scaling.cluster.join import join
from scaling.cluster.machine import Granted, Machine
from scaling.cluster.node_checks import Expected
from scaling.execution.attempts import RETRIES
from scaling.execution.interruption import Interruption
from scaling.execution.ready_queue import Board, Shape
from scaling.execution.searcher import Assigning, Lanes, RayGone, ReadyStages
from scaling.execution.worker import LANE_RESOURCES, Assignment, Lane, Work, lane_that_does, train_stage
from scaling.monitoring.watcher import Watcher
from scaling.plan.plan import Plan
from scaling.study.folder import Study
from trials.errors import InputError

# Ray itself may be lost and is started anew; so often in a row without any stage ending in between,
# each time after so many seconds.
RESTARTS = 3
STARTS = 3
RESTART_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where a running Ray can be watched; None where it offers nothing."""

    dashboard: str | None
    metrics: str | None
    """Custom metrics in Prometheus' text format."""


@contextlib.contextmanager
def ray_running(address: str | None = None) -> Iterator[Addresses]:
    """Ray on this machine, or the cluster at an address or at RAY_ADDRESS; yields where it can be
    watched.
    """
    try:
        yield start_ray(address)
    finally:
        ray.shutdown()


def start_ray(address: str | None = None) -> Addresses:
    """Start Ray on this machine, or join the cluster at an address or at RAY_ADDRESS."""
    address = check_address(address)
    context = join(address) if address else _own_ray()
    here = ray.get_runtime_context().get_node_id()  # gauges set in this process go out with this machine's metrics, not with another node's
    node: dict[str, Any] = next((node for node in ray.nodes() if node["NodeID"] == here), {})
    port = node.get("MetricsExportPort")
    return Addresses(
        dashboard=f"http://{context.dashboard_url}" if context.dashboard_url else None,
        metrics=f"http://{node['NodeManagerAddress']}:{port}/metrics" if port else None,
    )


def control_store() -> str:
    """HOST:PORT of the control store of the Ray that is running; empty where none is."""
    with contextlib.suppress(Exception):  # between the end of one Ray and the start of the next
        return str(ray.get_runtime_context().gcs_address) if ray.is_initialized() else ""
    return ""


def _own_ray() -> Any:
    """Ray of the launch's own. On a crowded machine its processes may not be up within Ray's time
    limit, so it is tried again. Raises RayGone.
    """
    for attempt in range(STARTS):
        try:
            return _init()
        except Exception as error:  # Ray raises bare Exceptions here, of which none is the grid's fault
            ray.shutdown()
            if attempt + 1 == STARTS:
                raise RayGone(f"Ray could not be started on this machine ({_sentence(error)}), {STARTS} times in a row") from error
            time.sleep(RESTART_S)
    raise AssertionError


def _init() -> Any:
    machine = Machine.here()
    return ray.init(
        address="local",  # or it would join any Ray that somebody else runs on this machine
        num_cpus=machine.cpus,  # what was checked, or a stage could wait for ever for cores that only one of us counts
        num_gpus=machine.gpus,
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
        ignore_reinit_error=True,
    )


def run_plan(
    plan: Plan,
    study: Study,
    store: Path,
    granted: dict[str, Granted],
    watchers: list[Watcher],
    *,
    retries: int = RETRIES,
    rank: Callable[[str], float] | None = None,
    interruption: Interruption | None = None,
    options: dict[str, Any] | None = None,
    work: Work = train_stage,
    address: str | None = None,
    expected: Expected | None = None,
    remote: str = "",
    say: Callable[[str], None] = print,
) -> Board:
    """Run every stage of the plan that is not done and can be, on the Ray that is running; returns
    the board, which knows what failed.

    Args:
        watchers: told of every stage's progress and end.
        retries: further attempts at a stage whose failure may pass or whose process died.
        rank: of the stages that are ready the one of least rank goes first; by default the deepest.
        interruption: once asked, running stages are stopped, and what they had written stands.
        options: further arguments of `trials.stage.run_stage`. work: what runs a stage; a benchmark
            may only pretend to.
        address: of the cluster that is joined, in case it is lost. expected: what every machine of
            it must have.
        remote: address of the store that the study lies in, of which `study` is a mirror then.
        say: shows a sentence to whoever looks on.

    Raises:
        KeyboardInterrupt: running stages did not stop in time. RayGone: Ray was lost, and lost
            again.
    """

    def shape(name: str) -> Shape:
        kind = plan.stages[name].spec.kind
        grant = granted["pretrain" if kind == "trunk" else kind]
        return Shape(grant.all_cpus, grant.all_gpus, grant.workers)

    def assignment(name: str) -> Assignment:
        spec, cores = plan.stages[name].spec, shape(name)
        places: dict[str, Any] = {"stage": name, "spec": spec.to_dict(), "folder": str(study.folder), "store": str(store), "study": plan.study}
        cpus, gpus = int(cores.cpus) // cores.workers, cores.gpus / cores.workers
        return Assignment(**places, cpus=cpus, gpus=gpus, workers=cores.workers, remote=remote, options=options or {})

    interruption = interruption or Interruption()

    def stopping() -> bool:
        if interruption.overdue:
            raise KeyboardInterrupt
        return interruption.asked

    interruption.listen()
    board = Board(plan, study, shape, retries=retries, rank=rank)
    lanes = Lanes(board, assignment, _look, watchers, stopping=stopping, say=say)
    restarts, ended = 0, board.ended_count
    while not board.finished and not interruption.asked:
        try:
            _fit(lanes, study, lane_that_does(work, expected))
        except Exception as error:  # Tune's or Ray's own: a stage's errors end in its folder
            lanes.put_back()
            restarts, ended = (0 if board.ended_count > ended else restarts) + 1, board.ended_count
            if restarts > RESTARTS or interruption.asked:
                raise RayGone(f"Ray stopped working ({_sentence(error)}), {RESTARTS} times in a row: what is done is kept.") from error
            say(f"Ray stopped working ({_sentence(error)}): it is started anew, and what ran goes on from its checkpoints")
            _restart(address)
            interruption.listen()
        else:
            lanes.put_back()  # none, unless Tune gave up on a lane in silence
    return board


def _restart(address: str | None) -> None:
    ray.shutdown()
    time.sleep(RESTART_S)
    try:
        start_ray(address)
    except InputError as error:  # a cluster that is gone; the grid is as right as it was
        raise RayGone(f"Ray stopped working, and what is done is kept. {error}") from error


def _fit(lanes: Lanes, study: Study, kind: type[Lane]) -> None:
    def resources(lane: dict[str, Any]) -> tune.PlacementGroupFactory:
        if lane["workers"] > 1:  # its workers hold the rest
            return tune.PlacementGroupFactory([LANE_RESOURCES])
        return tune.PlacementGroupFactory([{"CPU": lane["cpus"], "GPU": lane["gpus"]}])

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a lane that died is told of in our words
    scratch = study.folder / ".tune"  # Tune wants a place for state that nobody reads
    shutil.rmtree(scratch, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(kind, resources),
        tune_config=tune.TuneConfig(
            search_alg=ReadyStages(lanes),
            scheduler=Assigning(lanes),
            num_samples=-1,
            max_concurrent_trials=1_000_000,  # the lanes themselves count what there is room for
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=str(scratch), verbose=0, checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False)
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _look() -> Cluster:
    """What is alive of the cluster. Raises RayGone."""
    nodes = {node["NodeID"]: Shape(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)) for node in ray.nodes() if node["Alive"]}
    if ray.get_runtime_context().get_node_id() not in nodes:
        raise RayGone("its raylet, which runs everything on this machine, is gone")
    return Cluster(nodes)


def _sentence(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).strip().removesuffix(".")
