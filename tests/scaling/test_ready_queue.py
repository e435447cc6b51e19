"""Which stage may run when: order, retries, and what a failure blocks."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from scaling import Plan, Study, load_grid, make_plan
from scaling.cluster.capacity import Shape
from scaling.execution.attempts import Outcome, backoff_s, failure
from scaling.execution.ready_queue import ReadyQueue
from trials.errors import InputError, StageError
from trials.stage_files import write_json

ONE = Shape(1, 0)
DONE = Outcome(done=True)
PASSING = Outcome(done=False, reason="No space left on device", type="OSError", may_pass=True)
LASTING = Outcome(done=False, reason="the loss is no number", type="StageError")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def planned(grid_file: Path, small_data: Path, tmp_path: Path) -> tuple[Plan, Study]:
    grid = load_grid(grid_file, ["seeds=1"])
    plan, study = make_plan(grid, small_data), Study(tmp_path / "study")
    study.write_plan(grid, plan)
    return plan, study


def finish(study: Study, name: str) -> None:
    study.stage_folder(name).mkdir(parents=True, exist_ok=True)
    write_json(study.stage_folder(name) / "result.json", {"id": name, "metrics": {}})


def board_of(planned: tuple[Plan, Study], **more: object) -> ReadyQueue:
    return ReadyQueue(*planned, lambda name: ONE, **more)  # type: ignore[arg-type]


def run_all(queue: ReadyQueue, plan: Plan) -> list[str]:
    """Run everything that can run, one stage at a time."""
    order = []
    while (name := queue.take(ONE)) is not None:
        order.append(name)
        queue.ended(name, DONE)
    return order


def pretraining(plan: Plan) -> str:
    return next(name for name, stage in plan.stages.items() if stage.spec.kind == "pretrain")


def test_every_stage_is_given_out_once_after_all_that_it_needs(planned: tuple[Plan, Study]) -> None:
    plan, _ = planned
    queue = board_of(planned)
    order = run_all(queue, plan)
    assert sorted(order) == sorted(plan.stages)
    assert all(order.index(need) < order.index(name) for name in order for need in plan.stages[name].spec.needs)
    assert queue.finished


def test_there_is_no_barrier_between_levels_and_the_deepest_goes_first(planned: tuple[Plan, Study]) -> None:
    plan, _ = planned
    queue = board_of(planned)
    kinds = [plan.stages[name].spec.kind for name in run_all(queue, plan)]
    assert kinds[:2] == ["finetune", "finetune"]  # those that need nothing
    assert kinds.index("pretrain") < len(kinds) - kinds[::-1].index("intermediate") - 1


def test_a_rank_decides_among_the_ready(planned: tuple[Plan, Study]) -> None:
    plan, _ = planned
    first = pretraining(plan)
    assert board_of(planned, rank=lambda name: float(name != first)).take(ONE) == first


def test_two_workers_are_never_given_the_same_stage(planned: tuple[Plan, Study]) -> None:
    queue = board_of(planned)
    taken = []
    while (name := queue.take(ONE)) is not None:
        taken.append(name)
    assert len(set(taken)) == len(taken) > 2
    assert not queue.finished


def test_a_failure_blocks_its_descendants_by_name_and_the_rest_goes_on(planned: tuple[Plan, Study]) -> None:
    plan, study = planned
    queue, culprit = board_of(planned), pretraining(plan)
    while (name := queue.take(ONE)) is not None:
        if name != culprit:
            finish(study, name)
        queue.ended(name, LASTING if name == culprit else DONE)
    assert queue.finished
    assert queue.failed == {culprit: "the loss is no number"}
    assert len(queue.blocked) == 5  # one intermediate stage and four fine-tunings
    states = study.states(plan)
    assert {name for name, state in states.items() if state.state == "blocked"} == set(queue.blocked)
    assert all(state.reason == f"waits for {culprit}" for state in states.values() if state.state == "blocked")
    assert states[culprit].reason == "the loss is no number"
    assert "attempt 1 failed and was the last of this launch: the loss is no number" in (study.stage_folder(culprit) / "log.txt").read_text()


def test_what_may_pass_is_tried_again_after_a_while_and_others_go_on_meanwhile(planned: tuple[Plan, Study]) -> None:
    plan, study = planned
    clock = Clock()
    queue = board_of(planned, clock=clock)
    first = queue.take(ONE)
    assert first is not None
    assert queue.ended(first, PASSING) == backoff_s(1)
    rest = run_all(queue, plan)
    assert first not in rest
    assert len(rest) == len(plan.stages) - 1
    assert not queue.finished
    clock.now_s += backoff_s(1)
    assert queue.take(ONE) == first
    queue.ended(first, DONE)
    assert queue.finished
    assert not queue.failed
    assert queue.errors == {first: ["No space left on device"]}
    assert "attempt 1 of 3 failed (No space left on device); the next is in 1 s" in (study.stage_folder(first) / "log.txt").read_text()


def test_after_the_last_attempt_it_has_failed(planned: tuple[Plan, Study]) -> None:
    clock = Clock()
    queue = board_of(planned, clock=clock, retries=1)
    first = queue.take(ONE)
    assert first is not None
    assert queue.died(first, "Its process ended.") is not None
    clock.now_s += 100.0
    assert queue.take(ONE) == first
    assert queue.died(first, "Its process ended.") is None
    assert queue.failed == {first: "Its process ended."}
    assert planned[1].error(first) == "Its process ended."


def test_a_process_that_died_after_its_last_act_is_done(planned: tuple[Plan, Study]) -> None:
    plan, study = planned
    queue = board_of(planned)
    first = queue.take(ONE)
    assert first is not None
    finish(study, first)
    queue.died(first, "Its process ended.")
    assert not queue.errors
    assert first not in run_all(queue, plan)


def test_what_was_cut_off_with_ray_counts_no_attempt(planned: tuple[Plan, Study]) -> None:
    plan, _ = planned
    queue = board_of(planned, retries=0)
    first = queue.take(ONE)
    queue.put_back(queue.running)
    assert first in run_all(queue, plan)
    assert not queue.errors


def test_a_stopped_queue_gives_out_nothing(planned: tuple[Plan, Study]) -> None:
    queue = board_of(planned)
    first = queue.take(ONE)
    assert first is not None
    queue.stop()
    assert queue.take(ONE) is None
    assert not queue.finished
    queue.ended(first, Outcome(done=False, type="interrupted"))
    assert queue.finished
    assert not queue.failed


def test_the_folders_are_read_once(planned: tuple[Plan, Study], monkeypatch: pytest.MonkeyPatch) -> None:
    plan, study = planned
    queue = board_of(planned)

    def read(stage_id: str) -> bool:
        raise AssertionError("a folder was read to find out what is ready")

    monkeypatch.setattr(study, "is_done", read)
    assert len(run_all(queue, plan)) == len(plan.stages)


def raised(error: Exception, cause: Exception | None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "may_pass"),
    [
        (raised(StageError("full"), OSError(errno.ENOSPC, "No space left on device")), True),
        (raised(StageError("stale"), OSError(errno.ESTALE, "Stale file handle")), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (raised(StageError("memory"), MemoryError()), True),
        (raised(StageError("gone"), FileNotFoundError(errno.ENOENT, "No such file")), False),
        (raised(StageError("barred"), PermissionError(errno.EACCES, "Permission denied")), False),
        (StageError("The loss is no longer a finite number"), False),
        (raised(InputError("mend the grid"), OSError(errno.EIO, "Input/output error")), False),
        (raised(StageError("The GPU ran out of memory"), RuntimeError("CUDA out of memory")), False),
    ],
)
def test_only_what_may_pass_is_worth_another_attempt(error: Exception, may_pass: bool) -> None:
    assert failure(error).may_pass is may_pass
