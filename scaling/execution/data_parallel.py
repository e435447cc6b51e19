"""Trains one stage with several processes, on one machine or many, with Ray Train.

The worker that starts them holds almost nothing (`scaling.execution.worker.COORDINATOR_RESOURCES`),
and neither do Ray Train's controller and the mailbox below. So all resources are left for Ray
Train's placement group, and a stage can have as many processes as there are cores.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import pickle
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer

from trials.errors import StageError
from trials.training.interrupts import Interrupted
from trials.training.parallel import TIMEOUT, ProcessLost

if TYPE_CHECKING:
    from scaling.execution.worker import Assignment, Report, Stop

POLL_S = 0.3
GATHER_S = 5.0  # the first failure ends the group; the other processes have this long to report theirs


class Mailbox:
    """Messages between a worker and the processes of its stage: progress and outcomes, and stop."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._stop = False
        self._ends: dict[int, bytes] = {}

    def progress(self, values: dict[str, Any]) -> None:
        """Called by the first process: its newest values."""
        self._values = values

    def end(self, rank: int, outcome: bytes) -> None:
        """Called by every process that ends: its metrics or its error, pickled."""
        self._ends[rank] = outcome

    def stopped(self) -> bool:
        """Called by the processes: whether they are to stop."""
        return self._stop

    def exchange(self, stop: bool) -> dict[str, Any]:
        """Called by the worker: request a stop, and get the progress that is new."""
        self._stop = self._stop or stop
        values, self._values = self._values, {}
        return values

    def ends(self) -> dict[int, bytes]:
        """The outcomes of the processes that have ended, by rank."""
        return self._ends


def train_in_parallel(work: Assignment, report: Report, stop: Stop) -> dict[str, Any]:
    """Train one stage with `work.processes` processes of `work.cpus` cores and `work.gpus` GPUs each.

    Returns:
        The stage's metrics.

    Raises:
        InputError, StageError, Interrupted: as `trials.stage.run_stage` does. If a process died, a
            StageError whose cause is a temporary OSError.
    """
    actor: Any = ray.remote(num_cpus=0, max_restarts=0)(Mailbox)
    box = actor.remote()
    running = threading.Event()

    def relay() -> None:
        while not running.wait(POLL_S):
            with contextlib.suppress(ray.exceptions.RayError):  # the trainer reports its end
                values = ray.get(box.exchange.remote(stop()))
                if values:
                    report(values)

    relaying = threading.Thread(target=relay, name="relay", daemon=True)
    relaying.start()
    logging.getLogger("ray.train").setLevel(logging.CRITICAL)  # we report a dead process ourselves
    # saves a process: the ready queue handles lost machines
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    trainer = TorchTrainer(
        _process,
        train_loop_config={"work": work, "box": box},
        torch_config=TorchConfig(backend="nccl" if work.gpus > 0 else "gloo", timeout_s=int(TIMEOUT.total_seconds())),
        scaling_config=ScalingConfig(
            num_workers=work.processes, use_gpu=work.gpus > 0, resources_per_worker={"CPU": work.cpus} | ({"GPU": work.gpus} if work.gpus > 0 else {})
        ),
        # Ray Train insists on a place for checkpoints, of which it gets none; the ready queue does the
        # retries
        run_config=RunConfig(
            name=f"{work.stage}-{uuid.uuid4().hex[:8]}",
            storage_path=str(Path(work.folder) / ".tune" / "train"),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    failed: Exception | None = None
    try:
        try:
            trainer.fit()
        except (TrainingFailedError, ray.exceptions.RayError) as error:
            failed = error
        running.set()
        return _outcome(_ends(box, work.processes, wait=failed is not None), work, failed)
    finally:
        running.set()
        ray.kill(box)


def _process(config: dict[str, Any]) -> None:
    """What every process runs."""
    from trials.spec import StageSpec
    from trials.stage import run_stage

    work: Assignment = config["work"]
    box = config["box"]
    rank = ray.train.get_context().get_world_rank()
    stop = _StopFlag(box)
    # torch.set_num_threads alone does not shrink a thread pool that exists already
    os.environ["OMP_NUM_THREADS"] = str(max(1, work.cpus))

    def show(progress: dict[str, Any]) -> None:
        box.progress.remote(progress)

    spec = StageSpec.from_dict(work.spec)
    folder = Path(work.folder) / "stages" / work.stage
    try:
        result = run_stage(spec, folder, Path(work.store), cpus=work.cpus, gpus=work.gpus, on_progress=show, stop=stop, parallel=True, **work.options)
    except Exception as error:
        ray.get(box.end.remote(rank, _pickled(error)))
        raise
    finally:
        stop.close()
    ray.get(box.end.remote(rank, _pickled(result["metrics"])))


class _StopFlag:
    """Whether the worker wants the stage to stop; a thread polls it, so no step waits."""

    def __init__(self, box: Any) -> None:
        self._box, self._stop, self._closed = box, False, threading.Event()
        threading.Thread(target=self._ask, name="stop", daemon=True).start()

    def __call__(self) -> bool:
        return self._stop

    def close(self) -> None:
        self._closed.set()

    def _ask(self) -> None:
        while not (self._stop or self._closed.wait(POLL_S)):
            try:
                self._stop = ray.get(self._box.stopped.remote())
            except ray.exceptions.RayError:  # the worker is gone, and nobody would get the result
                self._stop = True


def _pickled(value: Any) -> bytes:
    """Metrics, or an error with its causes.

    Pickle drops the causes, but they decide whether the failure may be temporary.
    """
    if not isinstance(value, Exception):
        return pickle.dumps(value)
    chain: list[BaseException] = []
    link: BaseException | None = value
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return pickle.dumps([_picklable(error) for error in chain])


def _picklable(error: BaseException) -> BaseException:
    with contextlib.suppress(Exception):
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    return StageError(f"{type(error).__name__}: {error}")


def _unpickled(data: bytes) -> Any:
    value = pickle.loads(data)
    if not isinstance(value, list):
        return value
    for error, cause in itertools.pairwise(value):
        error.__cause__ = cause
    return value[0]


def _ends(box: Any, processes: int, *, wait: bool) -> dict[int, Any]:
    deadline = time.monotonic() + (GATHER_S if wait else 0.0)
    while True:
        try:
            found: dict[int, bytes] = ray.get(box.ends.remote())
        except ray.exceptions.RayError:
            return {}
        if len(found) == processes or time.monotonic() >= deadline or not wait:
            return {rank: _unpickled(outcome) for rank, outcome in found.items()}
        time.sleep(POLL_S)


def _outcome(ends: dict[int, Any], work: Assignment, failed: Exception | None) -> dict[str, Any]:
    """The metrics, or else raise the error that caused the others.

    When one process fails or dies, the others only see that it is gone (ProcessLost).
    """
    errors = [end for _, end in sorted(ends.items()) if isinstance(end, Exception)]
    for error in errors:
        if isinstance(error, Interrupted):
            raise error
    for error in errors:
        if not isinstance(error, ProcessLost):
            raise error
    metrics = ends.get(0)
    if isinstance(metrics, dict):
        return metrics
    gone = sorted(set(range(work.processes)) - set(ends))
    which = f"process {', '.join(map(str, gone))}" if gone else "one"
    which = f"{which} of the {work.processes} processes of {work.stage}"
    died = OSError(errno.ECONNRESET, f"{which} died")
    raise StageError(f"{which[0].upper()}{which[1:]} ended without a message, usually because the machine ran out of memory.") from (
        died if failed is None else _from(died, failed)
    )


def _from(died: OSError, failed: Exception) -> OSError:
    died.__cause__ = failed
    return died
