"""What Ray Tune asks of us: which workers to open, and what an idle worker is to do next."""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from scaling.cluster.capacity import Cluster, Shape, too_large
from scaling.execution.attempts import Outcome
from scaling.execution.ready_queue import ReadyQueue
from scaling.execution.worker import Assignment, WorkerReport
from scaling.monitoring.watcher import NotPickled, Watcher

IDLE_CLOSE_S = 30.0  # an idle worker waits this long for stages that may become ready; a new one takes seconds to start
POLL_S = 5.0  # between two queries of what the cluster has
FAILED_STARTS = 5  # workers in a row that died before their first report: no stage can run then


class RayGone(RuntimeError):
    """Ray can run nothing until it is restarted; the message is a sentence."""


LESS_MEMORY = "run fewer stages at once (raise resources.cpus), or lower batch_images"


class OwnFault(RuntimeError):
    """An error of this program and not of Ray ended the launch; the message is a sentence."""


@dataclass(kw_only=True)
class _OpenWorker:
    """A worker that was requested and has not ended."""

    shape: Shape
    stage: str | None = None
    held_at_start: float = 0.0
    """GPUs that all running stages held when its stage began."""
    idle_since_s: float | None = None
    """None while it runs a stage, and until its first report."""
    node: str = ""
    """Ray's id of its machine; empty until its first report."""
    unfit: str = ""
    """What its machine lacks. Such a worker gets no stage, but stays open, so that Ray places the
    next one on another machine.
    """


@dataclass(frozen=True, kw_only=True)
class _Unplaced:
    """A ready stage for which not enough resources are free, and which it lacks."""

    key: tuple[float, int]
    shape: Shape
    lacks_cpus: bool
    lacks_gpus: bool

    def would_use(self, held: Shape) -> bool:
        """Whether it lacks a resource that a worker of this shape holds."""
        return (self.lacks_cpus and held.cpus > 0) or (self.lacks_gpus and held.gpus > 0)


class WorkerPool:
    """The open workers: which stage each runs, and which shape the next one should have.

    Stages start in the order of the queue, whatever their shape. If the first ready stage does not
    fit beside the open workers, no worker that needs the same resources is opened or continues
    before it. So stages that share a GPU do not starve one that needs a whole GPU.

    Args:
        alive: returns the machines that are alive. Raises RayGone.
        stopping: whether the launch was asked to stop.
        show_message: shows a sentence to the user.
        check: raises FolderLostError where a folder that the launch works in is gone; asked every
            few seconds, and before a failure is blamed on a stage.
        adapt: given each finished stage and the GPUs that all running stages held when it began and
            ended, returns whether what stages hold has changed.
    """

    def __init__(
        self,
        queue: ReadyQueue,
        assignment: Callable[[str], Assignment],
        alive: Callable[[], Cluster],
        watchers: Sequence[Watcher],
        *,
        stopping: Callable[[], bool] = lambda: False,
        show_message: Callable[[str], None] = lambda sentence: None,
        check: Callable[[], None] = lambda: None,
        adapt: Callable[[str, float, float], bool] = lambda stage, held_at_start, held_at_end: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._adapt = adapt
        self.queue, self.assignment, self.watchers, self.stopping = queue, assignment, list(watchers), stopping
        self._alive, self._clock, self._show_message, self._check = alive, clock, show_message, check
        self.fault: Exception | None = None
        """What this program itself raised while Tune asked it: Tune and Ray are not to blame."""
        self._open: dict[str, _OpenWorker] = {}
        self._cluster, self._polled_s = Cluster({}), float("-inf")
        self._too_large: set[Shape] = set()
        self._failed_starts, self._last_failure = 0, ""
        self._gone: RayGone | None = None

    def next_shape(self) -> Shape | None:
        """The shape of a worker to open now, or None."""
        if self.stopping():
            self.queue.stop()
        if self._gone is not None:
            raise self._gone
        if self._failed_starts >= FAILED_STARTS:
            raise RayGone(f"{FAILED_STARTS} worker processes in a row ended before their first report: the last one {self._last_failure}.")
        moment = self._clock()
        if moment - self._polled_s >= POLL_S:  # also when nothing is to be opened, to notice a dead Ray
            self._check()
            self._cluster, self._polled_s = self._alive(), moment
            self._name_too_large()
        shape = self._first()[0]
        lacks = {worker.unfit for worker in self._open.values()}
        if shape is None and lacks and "" not in lacks and not self.queue.running and self.queue.ready():
            raise RayGone(f"no remaining machine can run stages: {'; '.join(sorted(lacks))}")
        return shape

    def _first(self) -> tuple[Shape | None, list[_Unplaced]]:
        """The shape of the first ready stage that fits and that no open worker is about to take; and
        the stages before it that do not fit.
        """
        unplaced: list[_Unplaced] = []
        ready = self.queue.ready()
        if not ready:
            return None, unplaced
        total = self._cluster.total
        free_cpus = total.cpus - sum(worker.shape.cpus for worker in self._open.values())
        free_gpus = total.gpus - sum(worker.shape.gpus for worker in self._open.values())
        for shape, (count, key) in sorted(ready.items(), key=lambda item: item[1][1]):
            if count <= sum(worker.shape == shape and worker.stage is None and not worker.unfit for worker in self._open.values()):
                continue
            if not self._cluster.fits(shape):
                continue  # its machine was lost: other stages do not wait for it
            lacks_cpus, lacks_gpus = shape.cpus > free_cpus, shape.gpus > free_gpus + 1e-9
            if lacks_cpus or lacks_gpus:
                unplaced.append(_Unplaced(key=key, shape=shape, lacks_cpus=lacks_cpus, lacks_gpus=lacks_gpus))
            elif not any(one.would_use(shape) for one in unplaced):
                return shape, unplaced
        return None, unplaced

    def _name_too_large(self) -> None:
        """Show which ready stages no machine is large enough for, when that changes."""
        waiting = {shape: count for shape, (count, _) in self.queue.ready().items() if not self._cluster.fits(shape)}
        for shape in waiting.keys() - self._too_large:
            self._show_message(too_large(waiting[shape], shape))
        self._too_large = set(waiting)

    def opened(self, worker_id: str, shape: Shape) -> None:
        """A worker was requested."""
        self._open[worker_id] = _OpenWorker(shape=shape)

    def closed(self, worker_id: str, why: str | None = None) -> None:
        """Remove a worker that has ended; `why` is given if its process died."""
        worker = self._open.get(worker_id)
        if worker is None or self._gone is not None:
            return
        lost = False
        if why is not None:
            try:
                lost = bool(worker.node) and worker.node not in self._alive().nodes
            except RayGone as gone:  # the stage still counts as running, and is put back with the rest
                self._gone = gone
                return
            if not worker.node:
                self._failed_starts, self._last_failure = self._failed_starts + 1, why
        del self._open[worker_id]
        if worker.stage is not None:
            reason = f"The machine on which {worker.stage} ran was lost." if lost else f"The process of {worker.stage} {why or 'ended'}."
            wait_s = self.queue.died(worker.stage, reason, machine_lost=lost)
            self._notify(worker.stage, self.queue.metrics(worker.stage), wait_s, reason)

    def reported(self, worker_id: str, report: WorkerReport) -> Assignment | str | None:
        """What a worker does after its report: a stage, 'interrupt', 'close', or None to continue."""
        worker = self._open[worker_id]
        worker.node, worker.unfit, self._failed_starts = report.node, report.unfit, 0
        if self.stopping():
            self.queue.stop()
        if report.outcome is not None and worker.stage is not None:
            if not report.outcome.done:
                self._check()
            held = self._held_gpus()
            stage, worker.stage = worker.stage, None
            self._notify(stage, report.values, self.queue.ended(stage, report.outcome), report.outcome.reason, report.outcome)
            if report.outcome.done and self._adapt(stage, worker.held_at_start, held):
                self.queue.reshape()
            if report.outcome.unexpected:
                return "close"
        elif worker.stage is not None:
            if report.values:
                stage = worker.stage
                self._tell(lambda watcher: watcher.stage_progressed(stage, report.values))
            return "interrupt" if self.stopping() else None
        return self._next(worker)

    def _next(self, worker: _OpenWorker) -> Assignment | str | None:
        if self.queue.finished or self.stopping():
            return "close"
        if worker.unfit:
            return None
        ready = self.queue.ready()
        _, unplaced = self._first()
        own = ready[worker.shape][1] if worker.shape in ready else None
        if any(one.shape != worker.shape and (own is None or one.key < own) and one.would_use(worker.shape) for one in unplaced):
            return "close"
        if own is not None:
            worker.stage, worker.idle_since_s = self.queue.take(worker.shape), None
            assert worker.stage is not None
            worker.held_at_start = self._held_gpus()
            return self.assignment(worker.stage)
        if worker.idle_since_s is None:
            worker.idle_since_s = self._clock()
        return "close" if self._clock() - worker.idle_since_s > IDLE_CLOSE_S else None

    def _held_gpus(self) -> float:
        """GPUs that all running stages hold."""
        return sum(worker.shape.gpus for worker in self._open.values() if worker.stage is not None)

    def _notify(self, stage: str, values: dict[str, Any], wait_s: float | None, reason: str, outcome: Outcome | None = None) -> None:
        if outcome is not None and outcome.type == "interrupted":
            return
        if wait_s is not None:
            self._tell(lambda watcher: watcher.stage_retried(stage, reason, wait_s))
        else:
            self._tell(lambda watcher: watcher.stage_ended(stage, values, self.queue.failed.get(stage)))

    def _tell(self, event: Callable[[Watcher], None]) -> None:
        """Notify the watchers. One that fails is left out from then on: training does not need it."""
        for watcher in list(self.watchers):
            try:
                event(watcher)
            except Exception as error:
                self.watchers.remove(watcher)
                self._show_message(f"{type(watcher).__name__} failed ({fault_of(error)}) and is left out from now on; training goes on")

    def put_back(self) -> None:
        """All workers are gone, and their stages are not to blame: they become ready again."""
        self._open.clear()
        self._failed_starts, self._gone, self._polled_s = 0, None, float("-inf")
        self.queue.put_back(self.queue.running)


def fault_of(error: Exception) -> str:
    """An error of this program in a few words: its class and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextlib.contextmanager
def own_faults(pool: WorkerPool) -> Iterator[None]:
    """Note in the pool what its own code raises, which Tune passes on like an error of Ray."""
    try:
        yield
    except (RayGone, RayError):
        raise
    except Exception as error:
        pool.fault = error
        raise


class ReadyStages(NotPickled, Searcher):
    """Suggests a worker for each ready stage that fits; FINISHED once no stage runs or is left."""

    def __init__(self, pool: WorkerPool) -> None:
        super().__init__()
        self._pool = pool

    def suggest(self, trial_id: str) -> Any:
        """The config of a worker to open; None if no stage is ready or none fits."""
        with own_faults(self._pool):
            shape = self._pool.next_shape()
        if shape is not None:
            self._pool.opened(trial_id, shape)
            return {"cpus": shape.cpus, "gpus": shape.gpus, "processes": shape.processes}
        return Searcher.FINISHED if self._pool.queue.finished else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A worker was closed, or its process died."""
        self._pool.closed(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study folder is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study folder is the record."""


class Assigning(NotPickled, FIFOScheduler):
    """Answers a worker's report with its next stage, or closes it."""

    def __init__(self, pool: WorkerPool) -> None:
        super().__init__()
        self._pool = pool

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Called by Tune with what `StageWorker.step` returned. The worker receives our calls and
        Tune's in order, so the stage arrives before the next step.
        """
        with own_faults(self._pool):
            answer = self._pool.reported(trial.trial_id, result["report"])
        if answer == "close":
            return str(TrialScheduler.STOP)
        worker = trial.temporary_state.ray_actor
        if answer == "interrupt":
            worker.interrupt.remote()
        elif isinstance(answer, Assignment):
            worker.assign.remote(answer)
        return str(TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The process of a worker died."""
        error: Any = None
        with contextlib.suppress(OSError, AttributeError, TypeError):  # its get_pickled_error looks where Tune copies the file later
            error = pickle.loads(Path(trial.pickled_error_file).read_bytes())
        self._pool.closed(trial.trial_id, _why(error))

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """None: Tune starts pending trials by itself, and does not search all earlier ones."""
        return None


def _why(error: Any) -> str:
    """How a process ended, as far as Ray knows."""
    text = str(error) if isinstance(error, RayError) else ""
    if "memory" in text.lower() and "kill" in text.lower():
        return f"was ended by Ray because the machine was running out of memory: {LESS_MEMORY}"
    return f"ended without a message, usually because the machine ran out of memory: {LESS_MEMORY}"
