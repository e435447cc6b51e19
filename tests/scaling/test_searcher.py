"""Lanes are opened where there is room, closed where something better waits, and given one stage
after another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaling import Plan, Study, load_grid, make_plan
from scaling.execution.attempts import Outcome
from scaling.execution.ready_queue import Board, Shape
from trials.stage_files import write_json

SMALL, LARGE = Shape(1, 0), Shape(2, 0)
DONE = Outcome(done=True)


class Told:
    """A watcher that keeps what it was told."""

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


def lanes_of(planned: tuple[Plan, Study], *, cores: float = 2, large: str = "", **more: Any) -> Any:
    """Lanes on a machine of so many cores; stages of the kind `large` hold two, all others one."""
    from scaling.cluster.capacity import Cluster
    from scaling.execution.searcher import Lanes
    from scaling.execution.worker import Assignment

    plan, study = planned
    board = Board(plan, study, lambda name: LARGE if plan.stages[name].spec.kind == large else SMALL)

    def assignment(name: str) -> Assignment:
        return Assignment(stage=name, spec={}, folder="", store="", study="", cpus=1, gpus=0.0)

    look = more.pop("look", lambda: Cluster({"here": Shape(cores, 0)}))
    return Lanes(board, assignment, look, more.pop("watchers", []), **more)


def play(lanes: Any) -> list[tuple[str, Shape]]:
    """Play Tune's part until all is over: every stage, with the shape of the lane that ran it."""
    from scaling.execution.searcher import ReadyStages
    from scaling.execution.worker import LaneReport

    searcher = ReadyStages(lanes)
    open_lanes: dict[str, str | None] = {}
    ran: list[tuple[str, Shape]] = []
    opened = 0
    for _ in range(10_000):
        while isinstance(config := searcher.suggest(f"lane{opened}"), dict):
            open_lanes[f"lane{opened}"] = None
            opened += 1
        if config == ReadyStages.FINISHED and not open_lanes:
            return ran
        for lane, stage in list(open_lanes.items()):
            shape = lanes._open[lane].shape
            answer = lanes.reported(lane, LaneReport(stage=stage, outcome=DONE if stage else None, node="here"))
            if answer == "close":
                searcher.on_trial_complete(lane)
                del open_lanes[lane]
            else:
                open_lanes[lane] = None if answer is None else answer.stage
                ran += [] if answer is None else [(answer.stage, shape)]
    raise AssertionError("it never ends")


def test_every_stage_runs_once_on_as_many_lanes_as_there_is_room_for(planned: tuple[Plan, Study]) -> None:
    lanes = lanes_of(planned)
    assert [lanes.next_shape() and lanes.opened(name, SMALL) for name in "ab"] == [None, None]
    assert lanes.next_shape() is None  # both cores are taken
    ran = [name for name, _ in play(lanes_of(planned))]
    assert sorted(ran) == sorted(planned[0].stages)


@pytest.mark.parametrize("large", ["pretrain", "intermediate", "finetune"])
def test_stages_of_two_shapes_all_run_each_on_a_lane_of_its_own_shape(planned: tuple[Plan, Study], large: str) -> None:
    plan, _ = planned
    ran = play(lanes_of(planned, large=large))
    assert sorted(name for name, _ in ran) == sorted(plan.stages)
    assert all(shape == (LARGE if plan.stages[name].spec.kind == large else SMALL) for name, shape in ran)


def test_a_stage_that_needs_the_whole_machine_is_not_starved_by_those_that_share_it(planned: tuple[Plan, Study]) -> None:
    plan, study = planned
    greedy = next(name for name, stage in plan.stages.items() if stage.spec.kind == "finetune" and stage.spec.parent)
    parent = plan.stages[greedy].spec.parent
    for name, stage in plan.stages.items():
        if stage.spec.kind != "finetune" and name != parent:
            write_json(study.stage_folder(name) / "result.json", {"id": name, "metrics": {}})
    lanes = lanes_of(planned)
    rank = {parent: 0.0, greedy: 1.0}
    lanes.board = Board(plan, study, lambda name: LARGE if name == greedy else SMALL, rank=lambda name: rank.get(name, 2.0))
    ran = play(lanes)
    order = [name for name, _ in ran]
    assert len(order) == 17
    assert order[0] == parent
    assert order.index(greedy) <= 3  # only what its neighbour had begun comes between
    assert dict(ran)[greedy] == LARGE


def test_a_lane_that_died_gives_its_stage_back_and_says_why(planned: tuple[Plan, Study]) -> None:
    from scaling.execution.worker import LaneReport

    told = Told()
    lanes = lanes_of(planned, watchers=[told])
    lanes.opened("a", SMALL)
    stage = lanes.reported("a", LaneReport(stage=None, node="here")).stage
    lanes.closed("a", "ended without a word")
    assert told.retried == [stage]
    assert lanes.board.errors == {stage: [f"The process of {stage} ended without a word."]}
    assert stage not in lanes.board.running


def test_a_stage_whose_process_died_after_its_last_act_is_told_of_with_its_score(planned: tuple[Plan, Study]) -> None:
    from scaling.execution.worker import LaneReport

    class Scores(Told):
        def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
            self.ended.append((name, str(values)))

    told = Scores()
    lanes = lanes_of(planned, watchers=[told])
    lanes.opened("a", SMALL)
    stage = lanes.reported("a", LaneReport(stage=None, node="here")).stage
    write_json(planned[1].stage_folder(stage) / "result.json", {"id": stage, "metrics": {"miou": 0.5}})
    lanes.closed("a", "ended without a word")
    assert told.ended == [(stage, "{'miou': 0.5}")]


def test_a_stage_is_not_to_blame_for_the_loss_of_its_machine(planned: tuple[Plan, Study]) -> None:
    from scaling.cluster.capacity import Cluster
    from scaling.execution.worker import LaneReport

    nodes = frozenset({"here", "there"})
    lanes = lanes_of(planned, look=lambda: Cluster(dict.fromkeys(nodes, LARGE)))
    lanes.opened("a", SMALL)
    stage = lanes.reported("a", LaneReport(stage=None, node="there")).stage
    planned[1].stage_folder(stage).mkdir(parents=True)
    nodes = frozenset({"here"})
    lanes.closed("a", "ended without a word")
    assert lanes.board.errors == {stage: [f"The machine on which {stage} ran was lost."]}
    assert "It is tried again in 1 s." in (planned[1].stage_folder(stage) / "log.txt").read_text()


def test_stages_too_large_for_what_is_left_of_a_cluster_are_named_once_and_hold_up_nobody(planned: tuple[Plan, Study]) -> None:
    from scaling.cluster.capacity import Cluster

    said: list[str] = []
    minutes = iter(range(0, 10**6, 60))
    nodes = {"large": Shape(2, 0), "small": Shape(1, 0)}
    lanes = lanes_of(planned, large="pretrain", look=lambda: Cluster(nodes), say=said.append, clock=lambda: float(next(minutes)))
    lanes.next_shape()
    assert not said
    del nodes["large"]
    for _ in range(3):
        assert lanes.next_shape() == SMALL  # what needs no pre-training
    waiting = lanes.board.ready()[LARGE][0]
    assert said == [
        f"{waiting} stages wait for a machine with 2 cores, for which the cluster has no room any more: "
        "give it a machine, or stop and launch with smaller resources."
    ]
    nodes["large"] = Shape(2, 0)
    assert {stage for stage, _ in play(lanes)} == set(planned[0].stages)


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
    from scaling.execution.worker import LaneReport

    alive = True

    def look() -> Cluster:
        if not alive:
            raise RayGone("its raylet is gone")
        return Cluster({"here": LARGE})

    lanes = lanes_of(planned, look=look)
    lanes.opened("a", SMALL)
    stage = lanes.reported("a", LaneReport(stage=None, node="here")).stage
    alive = False
    lanes.closed("a", "ended without a word")
    lanes.closed("a")  # Tune tells the scheduler, then the searcher
    with pytest.raises(RayGone, match="its raylet is gone"):
        lanes.next_shape()
    lanes.put_back()
    alive = True
    assert not lanes.board.errors
    assert stage in [name for name, _ in play(lanes)]


def test_lanes_that_die_before_they_speak_end_the_launch_with_a_sentence(planned: tuple[Plan, Study]) -> None:
    from scaling.execution.searcher import STILLBORN, RayGone

    lanes = lanes_of(planned)
    for number in range(STILLBORN):
        lanes.opened(str(number), lanes.next_shape())
        lanes.closed(str(number), "ended without a word")
    with pytest.raises(RayGone, match="5 worker processes in a row ended before they began: the last one ended without a word"):
        lanes.next_shape()


def test_told_to_stop_running_stages_are_interrupted_and_idle_lanes_closed(planned: tuple[Plan, Study]) -> None:
    from scaling.execution.searcher import ReadyStages
    from scaling.execution.worker import LaneReport

    stop = False
    lanes = lanes_of(planned, stopping=lambda: stop)
    lanes.opened("a", SMALL)
    lanes.opened("b", SMALL)
    stage = lanes.reported("a", LaneReport(stage=None, node="here")).stage
    stop = True
    assert lanes.reported("b", LaneReport(stage=None, node="here")) == "close"
    assert lanes.reported("a", LaneReport(stage=stage, values={"step": 1})) == "interrupt"
    assert lanes.reported("a", LaneReport(stage=stage, outcome=Outcome(done=False, type="interrupted"))) == "close"
    lanes.closed("a")
    lanes.closed("b")
    assert ReadyStages(lanes).suggest("c") == ReadyStages.FINISHED
    assert not lanes.board.failed
