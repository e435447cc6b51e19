"""Workers are opened where they fit, closed if a better stage waits, and run stage after stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaling import Plan, Study, load_grid, make_plan
from scaling.cluster.capacity import Shape
from scaling.execution.attempts import Outcome
from scaling.execution.ready_queue import ReadyQueue
from trials.stage_files import write_json

SMALL, LARGE = Shape(1, 0), Shape(2, 0)
DONE = Outcome(done=True)


class Recorder:
    """A watcher that records what it is notified of."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str | None]] = []
        self.retried: list[str] = []

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None: ...

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        self.ended.append((name, reason))

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        self.retried.append(name)


@pytest.fixture
def planned(grid_file: Path, small_data: Path, tmp_path: Path) -> tuple[Plan, Study]:
    grid = load_grid(grid_file, ["seeds=2"])
    return make_plan(grid, small_data), Study(tmp_path / "study")


def pool_of(planned: tuple[Plan, Study], *, cores: float = 2, large: str = "", **more: Any) -> Any:
    """Workers on a machine of so many cores; stages of the kind `large` hold two, all others one."""
    from scaling.cluster.capacity import Cluster
    from scaling.execution.searcher import WorkerPool
    from scaling.execution.worker import Assignment

    plan, study = planned
    queue = ReadyQueue(plan, study, lambda name: LARGE if plan.stages[name].spec.kind == large else SMALL)

    def assignment(name: str) -> Assignment:
        return Assignment(stage=name, spec={}, folder="", store="", study="", cpus=1, gpus=0.0)

    look = more.pop("alive", lambda: Cluster({"here": Shape(cores, 0)}))
    return WorkerPool(queue, assignment, look, more.pop("watchers", []), **more)


def play(pool: Any) -> list[tuple[str, Shape]]:
    """Play Tune's part until all is over: every stage, with the shape of the worker that ran it."""
    from scaling.execution.searcher import ReadyStages
    from scaling.execution.worker import WorkerReport

    searcher = ReadyStages(pool)
    open_workers: dict[str, str | None] = {}
    ran: list[tuple[str, Shape]] = []
    opened = 0
    for _ in range(10_000):
        while isinstance(config := searcher.suggest(f"worker{opened}"), dict):
            open_workers[f"worker{opened}"] = None
            opened += 1
        if config == ReadyStages.FINISHED and not open_workers:
            return ran
        for worker, stage in list(open_workers.items()):
            shape = pool._open[worker].shape
            answer = pool.reported(worker, WorkerReport(stage=stage, outcome=DONE if stage else None, node="here"))
            if answer == "close":
                searcher.on_trial_complete(worker)
                del open_workers[worker]
            else:
                open_workers[worker] = None if answer is None else answer.stage
                ran += [] if answer is None else [(answer.stage, shape)]
    raise AssertionError("it never ends")


def test_every_stage_runs_once_on_as_many_workers_as_there_is_room_for(planned: tuple[Plan, Study]) -> None:
    pool = pool_of(planned)
    assert [pool.next_shape() and pool.opened(name, SMALL) for name in "ab"] == [None, None]
    assert pool.next_shape() is None  # both cores are taken
    ran = [name for name, _ in play(pool_of(planned))]
    assert sorted(ran) == sorted(planned[0].stages)


@pytest.mark.parametrize("large", ["pretrain", "intermediate", "finetune"])
def test_stages_of_two_shapes_all_run_each_on_a_worker_of_its_own_shape(planned: tuple[Plan, Study], large: str) -> None:
    plan, _ = planned
    ran = play(pool_of(planned, large=large))
    assert sorted(name for name, _ in ran) == sorted(plan.stages)
    assert all(shape == (LARGE if plan.stages[name].spec.kind == large else SMALL) for name, shape in ran)


def test_a_stage_that_needs_the_whole_machine_is_not_starved_by_those_that_share_it(planned: tuple[Plan, Study]) -> None:
    plan, study = planned
    greedy = next(name for name, stage in plan.stages.items() if stage.spec.kind == "finetune" and stage.spec.parent)
    parent = plan.stages[greedy].spec.parent
    for name, stage in plan.stages.items():
        if stage.spec.kind != "finetune" and name != parent:
            study.stage_folder(name).mkdir(parents=True, exist_ok=True)
            write_json(study.stage_folder(name) / "result.json", {"id": name, "metrics": {}})
    pool = pool_of(planned)
    rank = {parent: 0.0, greedy: 1.0}
    pool.queue = ReadyQueue(plan, study, lambda name: LARGE if name == greedy else SMALL, rank=lambda name: rank.get(name, 2.0))
    ran = play(pool)
    order = [name for name, _ in ran]
    assert len(order) == 17
    assert order[0] == parent
    assert order.index(greedy) <= 3  # only what its neighbour had begun comes between
    assert dict(ran)[greedy] == LARGE


def test_a_worker_that_died_gives_its_stage_back_and_says_why(planned: tuple[Plan, Study]) -> None:
    from scaling.execution.worker import WorkerReport

    recorder = Recorder()
    pool = pool_of(planned, watchers=[recorder])
    pool.opened("a", SMALL)
    stage = pool.reported("a", WorkerReport(stage=None, node="here")).stage
    pool.closed("a", "ended without a message")
    assert recorder.retried == [stage]
    assert pool.queue.errors == {stage: [f"The process of {stage} ended without a message."]}
    assert stage not in pool.queue.running


def test_a_stage_whose_process_died_after_its_last_act_is_reported_with_its_score(planned: tuple[Plan, Study]) -> None:
    from scaling.execution.worker import WorkerReport

    class Scores(Recorder):
        def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
            self.ended.append((name, str(values)))

    recorder = Scores()
    pool = pool_of(planned, watchers=[recorder])
    pool.opened("a", SMALL)
    stage = pool.reported("a", WorkerReport(stage=None, node="here")).stage
    planned[1].stage_folder(stage).mkdir(parents=True, exist_ok=True)
    write_json(planned[1].stage_folder(stage) / "result.json", {"id": stage, "metrics": {"miou": 0.5}})
    pool.closed("a", "ended without a message")
    assert recorder.ended == [(stage, "{'miou': 0.5}")]


def test_a_stage_is_not_to_blame_for_the_loss_of_its_machine(planned: tuple[Plan, Study]) -> None:
    from scaling.cluster.capacity import Cluster
    from scaling.execution.worker import WorkerReport

    nodes = frozenset({"here", "there"})
    pool = pool_of(planned, alive=lambda: Cluster(dict.fromkeys(nodes, LARGE)))
    pool.opened("a", SMALL)
    stage = pool.reported("a", WorkerReport(stage=None, node="there")).stage
    planned[1].stage_folder(stage).mkdir(parents=True)
    nodes = frozenset({"here"})
    pool.closed("a", "ended without a message")
    assert pool.queue.errors == {stage: [f"The machine on which {stage} ran was lost."]}
    assert "It is tried again in 1 s." in (planned[1].stage_folder(stage) / "log.txt").read_text()


def test_stages_too_large_for_what_is_left_of_a_cluster_are_named_once_and_hold_up_nobody(planned: tuple[Plan, Study]) -> None:
    from scaling.cluster.capacity import Cluster

    messages: list[str] = []
    minutes = iter(range(0, 10**6, 60))
    nodes = {"large": Shape(2, 0), "small": Shape(1, 0)}
    pool = pool_of(planned, large="pretrain", alive=lambda: Cluster(nodes), show_message=messages.append, clock=lambda: float(next(minutes)))
    pool.next_shape()
    assert not messages
    del nodes["large"]
    for _ in range(3):
        assert pool.next_shape() == SMALL  # what needs no pre-training
    waiting = pool.queue.ready()[LARGE][0]
    assert messages == [
        f"{waiting} stages wait for a machine with 2 cores, which the cluster no longer has: "
        "add a machine, or stop and launch with smaller resources."
    ]
    nodes["large"] = Shape(2, 0)
    assert {stage for stage, _ in play(pool)} == set(planned[0].stages)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        (Shape(8, 1), True),
        (Shape(9, 0), False),  # ten in all, but on two machines
        (Shape(4, 0.5), True),
        (Shape(0, 2), False),
        (Shape(10, 0, 5), True),  # five processes of two cores
        (Shape(12, 0, 3), False),  # three of four: two on the one, none on the other
        (Shape(8, 3 * (1 / 3), 3), True),
        (Shape(2, 2, 2), False),
    ],
)
def test_a_process_of_a_stage_needs_one_machine(shape: Shape, fits: bool) -> None:
    from scaling.cluster.capacity import Cluster

    assert Cluster({"one": Shape(8, 1), "two": Shape(2, 0)}).fits(shape) is fits
    assert not Cluster({}).fits(shape)


def test_with_ray_gone_running_stages_are_put_back_and_no_attempt_is_counted(planned: tuple[Plan, Study]) -> None:
    from scaling.cluster.capacity import Cluster
    from scaling.execution.searcher import RayGone
    from scaling.execution.worker import WorkerReport

    alive = True

    def look() -> Cluster:
        if not alive:
            raise RayGone("its raylet is gone")
        return Cluster({"here": LARGE})

    pool = pool_of(planned, alive=look)
    pool.opened("a", SMALL)
    stage = pool.reported("a", WorkerReport(stage=None, node="here")).stage
    alive = False
    pool.closed("a", "ended without a message")
    pool.closed("a")  # Tune tells the scheduler, then the searcher
    with pytest.raises(RayGone, match="its raylet is gone"):
        pool.next_shape()
    pool.put_back()
    alive = True
    assert not pool.queue.errors
    assert stage in [name for name, _ in play(pool)]


def test_workers_that_die_before_their_first_report_end_the_launch_with_a_sentence(planned: tuple[Plan, Study]) -> None:
    from scaling.execution.searcher import FAILED_STARTS, RayGone

    pool = pool_of(planned)
    for number in range(FAILED_STARTS):
        pool.opened(str(number), pool.next_shape())
        pool.closed(str(number), "ended without a message")
    with pytest.raises(RayGone, match="5 worker processes in a row ended before their first report: the last one ended without a message"):
        pool.next_shape()


def test_asked_to_stop_running_stages_are_interrupted_and_idle_workers_closed(planned: tuple[Plan, Study]) -> None:
    from scaling.execution.searcher import ReadyStages
    from scaling.execution.worker import WorkerReport

    stop = False
    pool = pool_of(planned, stopping=lambda: stop)
    pool.opened("a", SMALL)
    pool.opened("b", SMALL)
    stage = pool.reported("a", WorkerReport(stage=None, node="here")).stage
    stop = True
    assert pool.reported("b", WorkerReport(stage=None, node="here")) == "close"
    assert pool.reported("a", WorkerReport(stage=stage, values={"step": 1})) == "interrupt"
    assert pool.reported("a", WorkerReport(stage=stage, outcome=Outcome(done=False, type="interrupted"))) == "close"
    pool.closed("a")
    pool.closed("b")
    assert ReadyStages(pool).suggest("c") == ReadyStages.FINISHED
    assert not pool.queue.failed
