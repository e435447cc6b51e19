"""One stage over several processes, on one machine or many, started by Ray Train from within the
stage's lane.

The lane itself holds next to nothing (`scaling.execution.worker.LANE_RESOURCES`): what it was
granted is left free for the placement group that Ray Train makes for its workers, so that a stage
of as many workers as there are cores can run. The controller of Ray Train and the post box below
hold nothing either.
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
GATHER_S = 5.0  # the first to fail ends the group; the others have this long to say what they saw of it


class PostBox:
    """Between the lane and the workers of one stage: progress and ends one way, the wish to stop
    the other.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._stop = False
        self._ends: dict[int, bytes] = {}

    def progress(self, values: dict[str, Any]) -> None:
        """Told by the first worker."""
        self._values = values

    def end(self, rank: int, outcome: bytes) -> None:
        """Told by every worker that comes to its end: its metrics or its error, pickled."""
        self._ends[rank] = outcome

    def stopped(self) -> bool:
        """Asked by the workers."""
        return self._stop

    def exchange(self, stop: bool) -> dict[str, Any]:
        """Asked by the lane; returns progress that is new."""
        self._stop = self._stop or stop
        values, self._values = self._values, {}
        return values

    def ends(self) -> dict[int, bytes]:
        """Of the workers that came to their end."""
        return self._ends


def train_in_parallel(work: Assignment, report: Report, stop: Stop) -> dict[str, Any]:
    """Train one stage with `work.workers` workers of `work.cpus` cores and `work.gpus` GPUs each;
    returns its metrics.

    Raises:
        InputError, StageError, Interrupted: as `trials.stage.run_stage` does; StageError from an OSError of the kind that passes if a worker died.
    """
    actor: Any = ray.remote(num_cpus=0, max_restarts=0)(PostBox)
    box = actor.remote()
    running = threading.Event()

    def relay() -> None:
        while not running.wait(POLL_S):
            with contextlib.suppress(ray.exceptions.RayError):  # its end is told by the trainer's
                values = ray.get(box.exchange.remote(stop()))
                if values:
                    report(values)

    relaying = threading.Thread(target=relay, name="relay", daemon=True)
    relaying.start()
    logging.getLogger("ray.train").setLevel(logging.CRITICAL)  # a worker that died is told of in our words
    # one process less to start: the board takes up what a machine that is taken away leaves
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"work": work, "box": box},
        torch_config=TorchConfig(backend="nccl" if work.gpus > 0 else "gloo", timeout_s=int(TIMEOUT.total_seconds())),
        scaling_config=ScalingConfig(
            num_workers=work.workers, use_gpu=work.gpus > 0, resources_per_worker={"CPU": work.cpus} | ({"GPU": work.gpus} if work.gpus > 0 else {})
        ),
        # Ray Train wants a place for checkpoints, which it is never given; the board retries, with
        # backoff and in its own account
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
        return _outcome(_ends(box, work.workers, wait=failed is not None), work, failed)
    finally:
        running.set()
        ray.kill(box)


def _worker(config: dict[str, Any]) -> None:
    """What every worker runs."""
    from trials.spec import StageSpec
    from trials.stage import run_stage

    work: Assignment = config["work"]
    box = config["box"]
    rank = ray.train.get_context().get_world_rank()
    asked = _Asked(box)
    # a thread count that a pool was made with before is not lowered by torch.set_num_threads alone
    os.environ["OMP_NUM_THREADS"] = str(max(1, work.cpus))

    def show(progress: dict[str, Any]) -> None:
        box.progress.remote(progress)

    spec = StageSpec.from_dict(work.spec)
    folder = Path(work.folder) / "stages" / work.stage
    try:
        result = run_stage(
            spec, folder, Path(work.store), cpus=work.cpus, gpus=work.gpus, on_progress=show, stop=asked, parallel=True, **work.options
        )
    except Exception as error:
        ray.get(box.end.remote(rank, _pickled(error)))
        raise
    finally:
        asked.close()
    ray.get(box.end.remote(rank, _pickled(result["metrics"])))


class _Asked:
    """Whether the lane wants the stage to stop, as of a moment ago: a training step is not to wait
    for the answer.
    """

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
            except ray.exceptions.RayError:  # the lane is gone, and with it whoever would be told of the result
                self._stop = True


def _pickled(value: Any) -> bytes:
    """Metrics, or an error with those that it came from, which pickle leaves out and which say
    whether another attempt may end better.
    """
    if not isinstance(value, Exception):
        return pickle.dumps(value)
    chain: list[BaseException] = []
    link: BaseException | None = value
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return pickle.dumps([_that_travels(error) for error in chain])


def _that_travels(error: BaseException) -> BaseException:
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


def _ends(box: Any, workers: int, *, wait: bool) -> dict[int, Any]:
    deadline = time.monotonic() + (GATHER_S if wait else 0.0)
    while True:
        try:
            found: dict[int, bytes] = ray.get(box.ends.remote())
        except ray.exceptions.RayError:
            return {}
        if len(found) == workers or time.monotonic() >= deadline or not wait:
            return {rank: _unpickled(outcome) for rank, outcome in found.items()}
        time.sleep(POLL_S)


def _outcome(ends: dict[int, Any], work: Assignment, failed: Exception | None) -> dict[str, Any]:
    """The metrics, or the error that explains the others: that others are gone is what each worker
    sees when one has failed or died.
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
    gone = sorted(set(range(work.workers)) - set(ends))
    which = f"worker {', '.join(map(str, gone))}" if gone else "one"
    died = OSError(errno.ECONNRESET, f"{which} of the {work.workers} workers of {work.stage} died")
    raise StageError(
        f"{which.capitalize()} of the {work.workers} workers of {work.stage} ended without a word, which is what running out of memory looks like."
    ) from (died if failed is None else _from(died, failed))


def _from(died: OSError, failed: Exception) -> OSError:
    died.__cause__ = failed
    return died
