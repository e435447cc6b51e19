"""A step that is recorded once and replayed trains as eager steps do.

On a CPU the replay is the recorded step run again with the number it was recorded with, so that a
step which reads anything else than its held inputs would give other numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file

from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import Killed, folder_of, killed_in_step, lines, run
from trials import InputError
from trials.objectives.masked_image_modelling import MaskedImageModelling
from trials.objectives.objective import OBJECTIVES
from trials.stage_files import WEIGHTS
from trials.training.captured import WARM_UP_STEPS, choose_capture
from trials.training.seeding import BLOCK_STEPS, derive_seed
from trials.training.step_inputs import NotCapturableError, StepInputs

STEPS = WARM_UP_STEPS + 6


def provenance(spec: Any, root: Path) -> dict[str, Any]:
    return json.loads((folder_of(spec, root) / "provenance.json").read_text())


@pytest.mark.parametrize("kind", ["pretrain", "intermediate", "finetune"])
def test_replayed_steps_train_as_eager_ones_to_the_bit(kind: str, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec(kind, steps=STEPS, clip_norm=1.0)
    eager = run(spec, tmp_path / "eager", leaves_store)
    replayed = run(spec, tmp_path / "replayed", leaves_store, capture="on")
    assert replayed == eager
    assert lines(spec, tmp_path / "replayed") == lines(spec, tmp_path / "eager")
    first, second = (load_file(folder_of(spec, tmp_path / name) / WEIGHTS) for name in ("eager", "replayed"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert provenance(spec, tmp_path / "replayed")["captured"]
    assert provenance(spec, tmp_path / "eager")["reason_not_captured"] == "there is no GPU"


def test_a_rate_for_each_layer_is_read_at_each_replay(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("finetune", steps=STEPS, layer_decay=0.5)
    assert run(spec, tmp_path / "replayed", leaves_store, capture="on") == run(spec, tmp_path / "eager", leaves_store)


@pytest.mark.parametrize("step", [1, WARM_UP_STEPS, WARM_UP_STEPS + 3])
def test_a_stage_that_was_killed_resumes_to_the_bit(step: int, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """Whether it was killed while it warmed up, as it recorded, or at a replay."""
    spec = make_spec("pretrain", steps=STEPS)
    whole = run(spec, tmp_path / "whole", leaves_store, capture="on")
    with pytest.raises(Killed), killed_in_step(step):
        run(spec, tmp_path, leaves_store, capture="on")
    assert run(spec, tmp_path, leaves_store, capture="on") == whole


def test_a_loss_that_reads_the_step_elsewhere_gives_other_numbers(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """Else the tests above could not fail."""
    spec, loss = make_spec("pretrain", steps=STEPS), MaskedImageModelling.loss

    def by_step(self: MaskedImageModelling, step: int, part: tuple[int, int] = (0, 1)) -> torch.Tensor:
        return loss(self, step, part) * (1 + step)

    with mock.patch.object(MaskedImageModelling, "loss", by_step):
        assert run(spec, tmp_path / "replayed", leaves_store, capture="on") != run(spec, tmp_path / "eager", leaves_store)


def test_a_step_that_cannot_be_captured_is_taken_eagerly(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec, loss = make_spec("pretrain", steps=STEPS), MaskedImageModelling.loss

    def draws_twice(self: MaskedImageModelling, step: int, part: tuple[int, int] = (0, 1)) -> torch.Tensor:
        self._inputs.generator("mask", step)
        return loss(self, step, part)

    eager = run(spec, tmp_path / "eager", leaves_store)
    with mock.patch.object(MaskedImageModelling, "loss", draws_twice):
        assert run(spec, tmp_path, leaves_store, capture="on") == eager
    reason = "capturing failed: NotCapturableError: random draws for 'mask' are taken twice while the step is captured"
    assert provenance(spec, tmp_path)["reason_not_captured"] == reason
    assert f"goes on without a captured step: {reason}" in (folder_of(spec, tmp_path) / "log.txt").read_text()


def test_an_error_in_training_is_no_failed_capture(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec, loss = make_spec("pretrain", steps=STEPS), MaskedImageModelling.loss

    def broken(self: MaskedImageModelling, step: int, part: tuple[int, int] = (0, 1)) -> torch.Tensor:
        if step == 1:
            raise ValueError("no such thing")
        return loss(self, step, part)

    with mock.patch.object(MaskedImageModelling, "loss", broken), pytest.raises(Exception, match="ValueError: no such thing"):
        run(spec, tmp_path, leaves_store, capture="on")


@pytest.mark.parametrize("changes", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}], ids=["mixup", "cutmix", "both"])
def test_mixed_batches_are_captured(changes: dict[str, float], make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("intermediate", steps=STEPS, **{"mixup": 0.0, **changes})
    eager = run(spec, tmp_path / "eager", leaves_store)
    assert run(spec, tmp_path / "replayed", leaves_store, capture="on") == eager
    assert provenance(spec, tmp_path / "replayed")["captured"]


def test_a_stage_longer_than_a_block_of_drawn_steps_trains_as_eager_steps_do(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", steps=2 * BLOCK_STEPS + 5, batch_images=2)
    assert run(spec, tmp_path / "replayed", leaves_store, capture="on") == run(spec, tmp_path / "eager", leaves_store)


def test_batches_in_parts_are_taken_eagerly(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    parts = make_spec("pretrain")
    run(parts, tmp_path, leaves_store, capture="on", micro_batches=2)
    assert provenance(parts, tmp_path)["reason_not_captured"] == "batches are taken in parts"


def test_reasons_not_to_capture() -> None:
    gpu, cpu = torch.device("cuda"), torch.device("cpu")

    def reason(mode: Any = "auto", device: torch.device = gpu, processes: int = 1, micro_batches: int = 1, resident: bool = True) -> str:
        return choose_capture(mode, device=device, processes=processes, micro_batches=micro_batches, resident=resident, reason_against="")

    assert reason() == ""
    assert reason("off") == "it was not asked for"
    assert reason(device=cpu) == "there is no GPU"
    assert reason("on", device=cpu) == ""
    assert reason(processes=2) == "several processes share the stage"
    assert reason(micro_batches=2) == "batches are taken in parts"
    assert reason(resident=False) == "the images do not fit into the GPU's memory"
    with pytest.raises(InputError, match="capture must be one of auto, off, on, not 'yes'"):
        reason("yes")


def test_a_plug_in_objective_is_captured_only_if_it_says_so(make_spec: MakeSpec) -> None:
    assert OBJECTIVES.find("simmim").reason_not_captured(make_spec("pretrain").recipe) == ""
    from trials.objectives.objective import Objective

    assert "does not say" in Objective.reason_not_captured.__func__(Objective, make_spec("pretrain").recipe)  # type: ignore[attr-defined]


def test_held_inputs_are_those_of_the_prepared_step() -> None:
    inputs = StepInputs(seed=3, device=torch.device("cpu"))
    fresh = torch.Generator().manual_seed(derive_seed(3, "mask", 7))
    expected = torch.rand(4, generator=fresh)
    assert torch.equal(torch.rand(4, generator=inputs.generator("mask", 7)), expected)
    assert inputs.tensor("place", torch.tensor, 5).item() == 5
    inputs.hold()
    held = inputs.tensor("place", torch.tensor, 5)
    inputs.prepare(7)
    inputs.start_recording()
    assert torch.equal(torch.rand(4, generator=inputs.generator("mask", 0)), expected)
    assert inputs.tensor("place", torch.tensor, 0) is held
    assert held.item() == 7
    with pytest.raises(NotCapturableError, match="'mask' are taken twice"):
        inputs.generator("mask", 0)
    with pytest.raises(NotCapturableError, match="'other' are first taken"):
        inputs.generator("other", 0)
    with pytest.raises(NotCapturableError, match="the input 'late' is first read"):
        inputs.tensor("late", torch.tensor, 0)
    inputs.stop_recording()
    inputs.release()
    assert inputs.tensor("place", torch.tensor, 1).item() == 1


def test_generators_are_made_anew_after_a_recording_was_given_up() -> None:
    """torch up to 2.11 lets those of a failed recording draw no more; the numbers are the same."""
    inputs = StepInputs(seed=3, device=torch.device("cpu"))
    before = inputs.generator("mask", 7)
    drawn = torch.rand(4, generator=before)
    inputs.hold()
    inputs.release()
    after = inputs.generator("mask", 7)
    assert after is not before
    assert torch.equal(torch.rand(4, generator=after), drawn)


def test_a_held_input_is_that_of_any_step_within_its_block_after_it_and_before_it() -> None:
    inputs = StepInputs(seed=3, device=torch.device("cpu"))
    inputs.hold()
    held = inputs.tensor("step", lambda steps: torch.tensor(list(steps)), 40)
    for step in (40, 40 + BLOCK_STEPS - 1, 40 + BLOCK_STEPS, 45, 39, 3, 39):
        inputs.prepare(step)
        assert held.item() == step
