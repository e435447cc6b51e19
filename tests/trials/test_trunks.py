"""A branch off a trunk has the numbers of a training that did the trunk's steps itself."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.trials.conftest import MakeSpec, changed
from tests.trials.cut_off import Killed, folder_of, killed_in_step, killed_while_writing, lines, run
from trials import InputError, StageError, StageSpec, stage_id
from trials.stage_files import read_json, read_result
from trials.training.checkpoints import load_trunk_state, trunk_fault, trunk_state_path

STEPS = 16
RECIPE: dict[str, Any] = {"decay": 0.25, "warmup_length": "3 steps", "learning_rate": 3e-3}


def trunk_of(spec: StageSpec, steps: int, trunk: StageSpec | None = None) -> StageSpec:
    """As a plan makes it: what its recipe says of the decay is neutral."""
    recipe = dataclasses.replace(spec.recipe, schedule="step", decay=0.125, gamma=1.0)
    return changed(spec, kind="trunk", steps=steps, recipe=recipe, trunk=None if trunk is None else stage_id(trunk))


def branch_of(spec: StageSpec, trunk: StageSpec) -> StageSpec:
    return changed(spec, trunk=stage_id(trunk))


@pytest.mark.parametrize("schedule", [{"schedule": "step", "gamma": 0.1}, {"schedule": "wsd"}], ids=["step", "wsd"])
def test_a_branch_equals_an_unshared_run_bit_for_bit(schedule: dict[str, Any], make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """Killed in the first trunk, in the second, which goes on from the first, and twice in the
    branch.
    """
    spec = make_spec("pretrain", steps=STEPS, **RECIPE, **schedule)
    alone = run(spec, tmp_path / "alone", leaves_store)
    short = trunk_of(spec, 6)
    long = trunk_of(spec, 12, short)
    branch = branch_of(spec, long)
    assert stage_id(branch) == stage_id(spec)
    root = tmp_path / "shared"
    for stage, kills in (
        (short, [killed_in_step(3)]),
        (long, [killed_in_step(8)]),
        (branch, [killed_in_step(13), killed_while_writing("state-15-")]),
    ):
        for killed in kills:
            with killed, pytest.raises(Killed):
                run(stage, root, leaves_store)
        run(stage, root, leaves_store)
    assert read_result(folder_of(branch, root)) == alone
    unshared = run(trunk_of(spec, 12), tmp_path / "alone", leaves_store)
    assert unshared == read_result(folder_of(long, root))
    assert unshared["metrics"].keys() == {"val_mim_loss", "train_mim_loss", "train_eval_mim_loss"}
    log = (folder_of(branch, root) / "log.txt").read_text()
    assert f"from step 12 of {stage_id(long)}, on" in log
    assert read_json(folder_of(branch, root) / "provenance.json")["first_step"] == 12


MEASURED = ("val_mim_loss", "train_eval_mim_loss")  # at steps of the trunk's own


def test_a_branch_tells_the_whole_story(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", steps=STEPS, schedule="step", gamma=0.1, **RECIPE)
    run(spec, tmp_path / "alone", leaves_store)
    trunk = trunk_of(spec, 12)
    run(trunk, tmp_path, leaves_store)
    run(branch_of(spec, trunk), tmp_path, leaves_store)
    branch, alone = lines(spec, tmp_path), lines(spec, tmp_path / "alone")
    assert branch[: len(lines(trunk, tmp_path))] == lines(trunk, tmp_path)
    assert [line["step"] for line in branch] == [line["step"] for line in alone] == list(range(STEPS + 1))
    for line, other in zip(branch, alone, strict=True):
        assert {k: v for k, v in line.items() if k not in MEASURED} == {k: v for k, v in other.items() if k not in MEASURED}
    assert [line["step"] for line in branch if "val_mim_loss" in line] == [0, 4, 8, 12, 16]


def test_a_branch_without_its_trunk_says_so_and_never_starts_from_nothing(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", steps=STEPS, schedule="wsd", **RECIPE)
    trunk = trunk_of(spec, 12)
    branch, folder = branch_of(spec, trunk), folder_of(trunk, tmp_path)
    with pytest.raises(StageError, match=r"The trunk trunk-\w+ is not done: launch the grid again to run it first\."):
        run(branch, tmp_path, leaves_store)
    run(trunk, tmp_path, leaves_store)
    with killed_in_step(14), pytest.raises(Killed):
        run(branch, tmp_path, leaves_store)
    path = trunk_state_path(folder)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert trunk_fault(folder) is None
    other = changed(branch, steps=20)
    with pytest.raises(StageError, match=r"is not what trunk-\w+ finished with: delete .*result\.json and launch again to train trunk-\w+ anew"):
        run(other, tmp_path, leaves_store)
    path.write_bytes(data)
    result = folder / "result.json"
    finished = result.read_text()
    result.write_text(json.dumps(json.loads(finished) | {"steps": math.inf}))
    with pytest.raises(StageError, match=r"is no training state .*infinity to integer\): delete .*result\.json and launch again"):
        load_trunk_state(folder)
    with pytest.raises(StageError, match=r"names no steps: delete .*result\.json and launch again"):
        run(other, tmp_path, leaves_store)
    result.write_text(finished)
    path.unlink()
    assert "no longer has its training state" in (trunk_fault(folder) or "")
    with pytest.raises(StageError, match=r"trunk-\w+ no longer has its training state .*: delete .*result\.json and launch again"):
        run(other, tmp_path, leaves_store)
    # one that has passed the trunk no longer needs it
    assert run(branch, tmp_path, leaves_store) == run(spec, tmp_path / "alone", leaves_store)


def test_a_trunk_of_another_training_is_refused(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", steps=STEPS, schedule="wsd", **RECIPE)
    trunk = trunk_of(spec, 12)
    run(trunk, tmp_path, leaves_store)
    with pytest.raises(InputError, match=r"ends at step 12, but 14 steps share only their first 10 with longer ones: plan the grid again"):
        run(changed(branch_of(spec, trunk), steps=14), tmp_path, leaves_store)
    with pytest.raises(InputError, match=r"does not train as this stage does: its spec\.json differs in more than length and decay"):
        run(changed(branch_of(spec, trunk), seed=1), tmp_path, leaves_store)
    with pytest.raises(InputError, match="A trunk needs schedule step or wsd, not cosine: lengths with that schedule share nothing"):
        run(changed(trunk, recipe=dataclasses.replace(spec.recipe, schedule="cosine")), tmp_path, leaves_store)


def test_an_attempt_without_the_trunk_goes_on_from_it_once_it_is_further(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", steps=STEPS, schedule="wsd", **RECIPE)
    whole = run(spec, tmp_path / "alone", leaves_store)
    with killed_in_step(5), pytest.raises(Killed):
        run(spec, tmp_path, leaves_store)
    trunk = trunk_of(spec, 12)
    run(trunk, tmp_path, leaves_store)
    assert run(branch_of(spec, trunk), tmp_path, leaves_store) == whole
    assert f"from step 12 of {stage_id(trunk)}" in (folder_of(spec, tmp_path) / "log.txt").read_text()
