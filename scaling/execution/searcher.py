"""What Ray Tune asks: the searcher says which lanes to open, the scheduler gives an idle lane its
next stage or closes it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from scaling.cluster.capacity import Cluster, too_large
from scaling.execution.attempts import Outcome
from scaling.execution.ready_queue import Board, Shape
from scaling.execution.worker import Assignment, LaneReport
from scaling.monitoring.watcher import Watcher

IDLE_CLOSE_S = 30.0  # an idle lane holds its process this long for what its running neighbours may make ready; a new one takes seconds to start
LOOK_S = 5.0  # how often the cluster is asked what it holds
STILLBORN = 5  # lanes in a row that die before they say anything: no stage can be run then


class RayGone(RuntimeError):
    """Ray cannot run anything until it is started anew; the message is a sentence."""


@dataclass(kw_only=True)
class _Open:
    """A lane that was asked for."""

    shape: Shape
    stage: str | None = None
    idle_since_s: float | None = None
    """None while it runs a stage, and until it has started."""
    node: str = ""
    """Where it runs; empty until it has reported anything."""
    unfit: str = ""
    """What its machine lacks; then it only keeps its place, so that the next lane is opened
    elsewhere.
    """


@dataclass(frozen=True, kw_only=True)
class _Crowded:
    """A ready stage that there is no room for, and what it lacks."""

    key: tuple[float, int]
    shape: Shape
    lacks_cpus: bool
    lacks_gpus: bool

    def would_use(self, held: Shape) -> bool:
        """Whether it lacks something of what a lane holds."""
        return (self.lacks_cpus and held.cpus > 0) or (self.lacks_gpus and held.gpus > 0)


class Unpickled:
    """Tune pickles its searcher and scheduler, for a restore that is never made: the study folder
    is the record.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Nothing."""
        return {}


class Lanes:
    """The open lanes: which stage each runs, and which shape the next one should have.

    Stages are given out in the board's order, whatever their shape. Where the first ready stage
    does not fit beside the open lanes, no lane that wants the same resources is opened or goes on
    before it: so a stage that needs a whole GPU is not starved by those that share one.

    Args:
        look: what there is to run on now. Raises RayGone.
        stopping: whether the launch was told to stop.
        say: shows a sentence to whoever looks on.
    """

    def __init__(
        self,
        board: Board,
        assignment: Callable[[str], Assignment],
        look: Callable[[], Cluster],
        watchers: list[Watcher],
        *,
        stopping: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda sentence: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.board, self.assignment, self.watchers, self.stopping = board, assignment, watchers, stopping
        self._look, self._clock, self._say = look, clock, say
        self._open: dict[str, _Open] = {}
        self._cluster, self._looked_s = Cluster({}), float("-inf")
        self._homeless: set[Shape] = set()
        self._stillborn, self._last_words = 0, ""
        self._gone: RayGone | None = None

    def next_shape(self) -> Shape | None:
        """The shape of a lane to open now, or None."""
        if self.stopping():
            self.board.stop()
        if self._gone is not None:
            raise self._gone
        if self._stillborn >= STILLBORN:
            raise RayGone(f"{STILLBORN} worker processes in a row ended before they began: the last one {self._last_words}.")
        moment = self._clock()
        if moment - self._looked_s >= LOOK_S:  # also when nothing is to be opened: this is where a dead Ray is noticed
            self._cluster, self._looked_s = self._look(), moment
            self._name_homeless()
        shape = self._first()[0]
        lacks = {lane.unfit for lane in self._open.values()}
        if shape is None and lacks and "" not in lacks and not self.board.running and self.board.ready():
            raise RayGone(f"no machine that is left can run stages: {'; '.join(sorted(lacks))}")
        return shape

    def _first(self) -> tuple[Shape | None, list[_Crowded]]:
        """The shape of the first ready stage that no open lane is going to take and that there is
        room for; and those before it without room.
        """
        crowded: list[_Crowded] = []
        ready = self.board.ready()
        if not ready:
            return None, crowded
        total = self._cluster.total
        free_cpus = total.cpus - sum(lane.shape.cpus for lane in self._open.values())
        free_gpus = total.gpus - sum(lane.shape.gpus for lane in self._open.values())
        for shape, (count, key) in sorted(ready.items(), key=lambda item: item[1][1]):
            if count <= sum(lane.shape == shape and lane.stage is None and not lane.unfit for lane in self._open.values()):
                continue
            if not self._cluster.fits(shape):
                continue  # a lost machine's: nobody is to wait for it
            lacks_cpus, lacks_gpus = shape.cpus > free_cpus, shape.gpus > free_gpus + 1e-9
            if lacks_cpus or lacks_gpus:
                crowded.append(_Crowded(key=key, shape=shape, lacks_cpus=lacks_cpus, lacks_gpus=lacks_gpus))
            elif not any(one.would_use(shape) for one in crowded):
                return shape, crowded
        return None, crowded

    def _name_homeless(self) -> None:
        """Say which stages no machine that is left can run, when that changes."""
        homeless = {shape: count for shape, (count, _) in self.board.ready().items() if not self._cluster.fits(shape)}
        for shape in homeless.keys() - self._homeless:
            self._say(too_large(homeless[shape], shape))
        self._homeless = set(homeless)

    def opened(self, lane_id: str, shape: Shape) -> None:
        """A lane was asked for."""
        self._open[lane_id] = _Open(shape=shape)

    def closed(self, lane_id: str, why: str | None = None) -> None:
        """A lane ended; `why` if its process died."""
        lane = self._open.get(lane_id)
        if lane is None or self._gone is not None:
            return
        lost = False
        if why is not None:
            try:
                lost = bool(lane.node) and lane.node not in self._look().nodes
            except RayGone as gone:  # then the stage counts as running still, and is put back with the rest
                self._gone = gone
                return
            if not lane.node:
                self._stillborn, self._last_words = self._stillborn + 1, why
        del self._open[lane_id]
        if lane.stage is not None:
            reason = f"The machine on which {lane.stage} ran was lost." if lost else f"The process of {lane.stage} {why or 'ended'}."
            wait_s = self.board.died(lane.stage, reason, machine_lost=lost)
            self._tell(lane.stage, self.board.metrics(lane.stage), wait_s, reason)

    def reported(self, lane_id: str, report: LaneReport) -> Assignment | str | None:
        """A lane reported: what it is to do next, 'interrupt', 'close', or None to go on as it is."""
        lane = self._open[lane_id]
        lane.node, lane.unfit, self._stillborn = report.node, report.unfit, 0
        if self.stopping():
            self.board.stop()
        if report.outcome is not None and lane.stage is not None:
            stage, lane.stage = lane.stage, None
            self._tell(stage, report.values, self.board.ended(stage, report.outcome), report.outcome.reason, report.outcome)
            if report.outcome.unexpected:
                return "close"
        elif lane.stage is not None:
            if report.values:
                for watcher in self.watchers:
                    watcher.stage_progressed(lane.stage, report.values)
            return "interrupt" if self.stopping() else None
        return self._next(lane)

    def _next(self, lane: _Open) -> Assignment | str | None:
        if self.board.finished or self.stopping():
            return "close"
        if lane.unfit:
            return None
        ready = self.board.ready()
        _, crowded = self._first()
        own = ready[lane.shape][1] if lane.shape in ready else None
        if any(one.shape != lane.shape and (own is None or one.key < own) and one.would_use(lane.shape) for one in crowded):
            return "close"
        if own is not None:
            lane.stage, lane.idle_since_s = self.board.take(lane.shape), None
            assert lane.stage is not None
            return self.assignment(lane.stage)
        if lane.idle_since_s is None:
            lane.idle_since_s = self._clock()
        return "close" if self._clock() - lane.idle_since_s > IDLE_CLOSE_S else None

    def _tell(self, stage: str, values: dict[str, Any], wait_s: float | None, reason: str, outcome: Outcome | None = None) -> None:
        if outcome is not None and outcome.type == "interrupted":
            return
        for watcher in self.watchers:
            if wait_s is not None:
                watcher.stage_retried(stage, reason, wait_s)
            else:
                watcher.stage_ended(stage, values, self.board.failed.get(stage))

    def put_back(self) -> None:
        """All lanes are gone, through no fault of their stages."""
        self._open.clear()
        self._stillborn, self._gone, self._looked_s = 0, None, float("-inf")
        self.board.put_back(self.board.running)


class ReadyStages(Unpickled, Searcher):
    """Suggests a lane for each ready stage that there is room for; FINISHED when nothing runs and
    nothing is left to run.
    """

    def __init__(self, lanes: Lanes) -> None:
        super().__init__()
        self._lanes = lanes

    def suggest(self, trial_id: str) -> Any:
        """The config of a lane to open; None if there is no stage for one, or no room."""
        shape = self._lanes.next_shape()
        if shape is not None:
            self._lanes.opened(trial_id, shape)
            return {"cpus": shape.cpus, "gpus": shape.gpus, "workers": shape.workers}
        return Searcher.FINISHED if self._lanes.board.finished else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A lane was closed, or its process died."""
        self._lanes.closed(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study folder is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study folder is the record."""


class Assigning(Unpickled, FIFOScheduler):
    """Answers a lane's report: its next stage, which reaches it before Tune's next call does, or
    its end.
    """

    def __init__(self, lanes: Lanes) -> None:
        super().__init__()
        self._lanes = lanes

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Called by Tune with what `Lane.step` returned; calls from here and Tune's own arrive at
        the lane in order.
        """
        answer = self._lanes.reported(trial.trial_id, result["lane"])
        if answer == "close":
            return str(TrialScheduler.STOP)
        lane = trial.temporary_state.ray_actor
        if answer == "interrupt":
            lane.interrupt.remote()
        elif isinstance(answer, Assignment):
            lane.assign.remote(answer)
        return str(TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The process of a lane died."""
        error: Any = None
        with contextlib.suppress(OSError, AttributeError, TypeError):
            error = trial.get_pickled_error()
        self._lanes.closed(trial.trial_id, _why(error))

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """None: Tune starts what is pending by itself, and need not look through all lanes that
        there ever were.
        """
        return None


def _why(error: Any) -> str:
    """How a process ended, as far as Ray knows."""
    text = str(error) if isinstance(error, RayError) else ""
    if "memory" in text.lower() and "kill" in text.lower():
        return "was ended by Ray, since the machine was running out of memory: let fewer stages run side by side (resources.cpus)"
    return "ended without a word, which is what running out of memory looks like"
