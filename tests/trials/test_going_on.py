"""A stage that is stopped anywhere goes on bit for bit, whatever it had written."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import Killed, folder_of, killed_in_step, killed_while_writing, lines, run
from trials import InputError, StageError
from trials import stage_files as ledger
from trials.spec import StageSpec
from trials.stage_files import read_result
from trials.training import checkpoints
from trials.training.checkpoints import decode_state, encode_state, list_checkpoints
from trials.training.interrupts import Interrupted
from trials.training.loss_history import LossHistory

STEPS = 6
WHERE = ["while writing", "in the step"]  # of the checkpoint after so many steps, or of the next step
KILLS = st.lists(st.tuples(st.integers(1, STEPS - 1), st.sampled_from(WHERE)), min_size=1, max_size=2)


@pytest.fixture(scope="module")
def whole(leaves_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The result and the metrics of a stage that was not stopped."""

    @lru_cache
    def never_stopped(spec: StageSpec) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        root = tmp_path_factory.mktemp("whole")
        return run(spec, root, leaves_store), lines(spec, root)

    return never_stopped


@pytest.mark.parametrize("kind", ["pretrain", "intermediate", "finetune"])
@settings(max_examples=4, deadline=None, derandomize=True)
@given(kills=KILLS)
def test_a_stage_killed_at_any_moments_ends_bit_for_bit_as_one_that_was_not(
    kind: str, kills: list[tuple[int, str]], make_spec: MakeSpec, leaves_store: Path, whole: Any
) -> None:
    spec = make_spec(kind, steps=STEPS)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for step, where in sorted(kills, key=lambda kill: (kill[0], WHERE.index(kill[1]))):
            killed = killed_in_step(step) if where == "in the step" else killed_while_writing(f"state-{step}-")
            with killed, pytest.raises(Killed):
                run(spec, root, leaves_store)
        assert read_result(folder_of(spec, root)) is None
        result = run(spec, root, leaves_store)
        assert (result, lines(spec, root)) == whole(spec)
        assert json.loads((folder_of(spec, root) / "provenance.json").read_text())["attempts"] == 1 + len(kills)
        left = {path.name for path in folder_of(spec, root).rglob("*") if not path.parent.name.startswith("examples")}
        left -= {"examples", "examples_train"}
        written = {"spec.json", "metrics.jsonl", "provenance.json", "log.txt", ".lock", "result.json", "checkpoint", "weights.safetensors"}
    assert left == written | ({"class_ious.json"} if kind == "finetune" else set())


def test_means_of_the_loss_survive_a_kill_between_two_lines_and_within_the_last_tenth(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, whole: Any
) -> None:
    """60 steps write a line every 2 and average the last 6: step 57 is inside both."""
    spec = make_spec("finetune", steps=60)
    with killed_in_step(57), pytest.raises(Killed):
        run(spec, tmp_path, leaves_store)
    assert (run(spec, tmp_path, leaves_store), lines(spec, tmp_path)) == whole(spec)


def stopped(spec: StageSpec, root: Path, store: Path) -> Path:
    """The stage with a checkpoint of step 3, which it was stopped after; returns the checkpoint."""
    with killed_in_step(4), pytest.raises(Killed):
        run(spec, root, store)
    return list_checkpoints(folder_of(spec, root))[0]


def test_the_checkpoint_of_another_stage_is_not_taken_for_ones_own(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, whole: Any) -> None:
    """Another seed of the same settings, whose state would fit, under the name that its own stage
    gave it.
    """
    spec, other = make_spec("pretrain", steps=STEPS), make_spec("pretrain", steps=STEPS, seed=1)
    own, foreign = stopped(spec, tmp_path, leaves_store), stopped(other, tmp_path, leaves_store)
    for path in own.parent.glob("state-*"):
        path.unlink()
    (own.parent / foreign.name).write_bytes(foreign.read_bytes())
    assert (run(spec, tmp_path, leaves_store), lines(spec, tmp_path)) == whole(spec)
    assert "its checksum is not that of its name and stage" in (folder_of(spec, tmp_path) / "log.txt").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step": 10**9}, "it is of step 1000000000, and its name says"),
        ({"step": 10**9, "renamed": True}, "and the stage has 6 steps"),
        ({"line_step": 10**9}, "with a line of step 1000000000"),
        ({"line_step": -5}, "with a line of step -5"),
        ({"losses": torch.zeros(1)}, r"it has losses of shape (1,) at step"),
    ],
)
def test_a_checkpoint_whose_steps_are_out_of_range_is_damaged(
    change: dict[str, Any], said: str, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, whole: Any
) -> None:
    spec = make_spec("pretrain", steps=STEPS)
    path = stopped(spec, tmp_path, leaves_store)
    renamed = change.pop("renamed", False)
    state = replace(decode_state(path.read_bytes()), **change)
    for one in path.parent.glob("state-*"):
        one.unlink()
    data = encode_state(state)
    step = state.step if renamed else int(path.name.split("-")[1])
    checkpoints._checkpoint_path(folder_of(spec, tmp_path), step=step, data=data).write_bytes(data)
    assert (run(spec, tmp_path, leaves_store), lines(spec, tmp_path)) == whole(spec)
    assert said in (folder_of(spec, tmp_path) / "log.txt").read_text()


@pytest.mark.parametrize("damage", ["truncated", "one bit", "both files"])
def test_a_damaged_checkpoint_costs_some_steps_and_nothing_else(
    damage: str, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, whole: Any
) -> None:
    spec = make_spec("finetune", steps=STEPS)
    with killed_in_step(4), pytest.raises(Killed):
        run(spec, tmp_path, leaves_store)
    newest, before = list_checkpoints(folder_of(spec, tmp_path))
    for path in [newest, before] if damage == "both files" else [newest]:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data[:-1000] if damage == "truncated" else data)
    assert run(spec, tmp_path, leaves_store) == whole(spec)[0]
    log = (folder_of(spec, tmp_path) / "log.txt").read_text()
    assert f"{newest.name} is damaged (its checksum is not that of its name and stage)" in log
    assert f"from step {0 if damage == 'both files' else 3}, on" in log


def test_a_folder_in_the_place_of_a_checkpoint_costs_some_steps_and_nothing_else(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, whole: Any
) -> None:
    spec = make_spec("finetune", steps=STEPS)
    with killed_in_step(4), pytest.raises(Killed):
        run(spec, tmp_path, leaves_store)
    newest, _ = list_checkpoints(folder_of(spec, tmp_path))
    newest.unlink()
    newest.mkdir()
    assert run(spec, tmp_path, leaves_store) == whole(spec)[0]
    assert f"{newest.name} is damaged" in (folder_of(spec, tmp_path) / "log.txt").read_text()


def test_a_stage_that_is_asked_to_stop_writes_a_checkpoint_and_is_not_a_failed_one(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, whole: Any
) -> None:
    spec = make_spec("pretrain", steps=STEPS)
    answers = iter([False, False, False, True])
    with pytest.raises(Interrupted, match=r"was asked to stop after step 3 of 6: run again, it goes on from there"):
        run(spec, tmp_path, leaves_store, checkpoint_s=1000, stop=lambda: next(answers))
    assert [path.name.split("-")[1] for path in list_checkpoints(folder_of(spec, tmp_path))] == ["3"]
    assert not (folder_of(spec, tmp_path) / "error.json").exists()
    assert (run(spec, tmp_path, leaves_store), lines(spec, tmp_path)) == whole(spec)


def test_a_full_disk_fails_the_stage_in_one_sentence_and_what_is_there_stays_valid(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, whole: Any
) -> None:
    spec = make_spec("finetune", steps=STEPS)

    def full(descriptor: int) -> None:
        if list_checkpoints(folder_of(spec, tmp_path)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with mock.patch.object(ledger.os, "fsync", full), pytest.raises(StageError, match=r"No space left on device .*: mend that and launch again"):
        run(spec, tmp_path, leaves_store)
    assert len(list_checkpoints(folder_of(spec, tmp_path))) == 1
    assert run(spec, tmp_path, leaves_store) == whole(spec)[0]


def test_a_loss_that_is_not_finite_names_its_step_its_rate_and_the_last_good_checkpoint(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path
) -> None:
    from trials.training.updates import Updates

    spec = make_spec("pretrain", steps=200, schedule="step", learning_rate=1e-3)
    update = Updates.__call__

    def failing(self: Updates, step: int, rate: float) -> torch.Tensor:
        loss = update(self, step, rate)
        return loss * torch.inf if step >= 9 else loss  # a line is written, and the losses looked at, every 4 steps

    with mock.patch.object(Updates, "__call__", failing):
        with pytest.raises(StageError, match=r"not a finite number at step 10 of 200, trained at a rate of 0\.001: .*; it has no checkpoint yet"):
            run(spec, tmp_path, leaves_store, checkpoint_s=1000)
        with pytest.raises(StageError, match=r"lower its learning_rate or set clip_norm in the grid, .* is state-9-\w+\.safetensors\."):
            run(spec, tmp_path, leaves_store)
    error = json.loads((folder_of(spec, tmp_path) / "error.json").read_text())
    assert "at step 10 of 200" in error["error"]


def test_a_stage_that_diverges_says_so(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", steps=20, learning_rate=1e30, clip_norm=0.0, warmup=0.0)
    with pytest.raises(StageError, match=r"not a finite number at step \d+ of 20, trained at a rate of .*e\+29: lower its learning_rate"):
        run(spec, tmp_path, leaves_store)


@given(losses=st.lists(st.floats(0, 10, width=32), min_size=1, max_size=40), data=st.data())
def test_a_mean_of_losses_is_that_of_adding_them_up_one_by_one(losses: list[float], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(losses) - 1))
    stop = data.draw(st.integers(start + 1, len(losses)))
    history = LossHistory(len(losses), torch.device("cpu"))
    for step, loss in enumerate(losses):
        history.record(step, torch.tensor(loss))
    total = 0.0
    for loss in losses[start:stop]:
        total += loss
    assert history.mean(start, stop) == total / (stop - start)
    history.record(start, torch.tensor(torch.nan))
    assert history.first_not_finite(0, len(losses)) == start


def test_parts_that_cannot_be_are_refused(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain")
    with pytest.raises(InputError, match="A batch of 8 images cannot be shared by 1 processes in 9 micro-batches each"):
        run(spec, tmp_path, leaves_store, micro_batches=9)
