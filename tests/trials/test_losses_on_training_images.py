"""Losses and reconstructions on training images: measured as those on held-out ones are, and without
a change of what is trained.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import folder_of
from trials import run_stage
from trials.data.pictures import open_pictures
from trials.objectives.masked_image_modelling import TRAIN_EXAMPLES, MaskedImageModelling
from trials.objectives.objective import Setting
from trials.stage_files import WEIGHTS
from trials.training.precision import choose_compute


def measured_on(make_spec: MakeSpec, store: Path, **fields: int) -> tuple[MaskedImageModelling, Setting]:
    spec, compute = make_spec("pretrain", **fields), choose_compute("fp32", gpus=0)
    train, heldout = open_pictures(spec.data, store, seed=spec.seed, compute=compute)
    setting = Setting(spec=spec, compute=compute, train=train, heldout=heldout, parent_weights=None)
    return MaskedImageModelling(setting), setting


def test_training_is_bit_for_bit_what_it_is_without_the_extra_measurement(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec("pretrain", steps=7, train_images=20)
    extra = run_stage(spec, folder_of(spec, tmp_path / "with"), leaves_store)
    monkeypatch.setattr(MaskedImageModelling, "evaluate", lambda self: {self.heldout_loss.name: self._error("heldout", self._heldout)})
    plain = run_stage(spec, folder_of(spec, tmp_path / "without"), leaves_store)
    assert "train_eval_mim_loss" not in plain["metrics"]
    assert extra["metrics"].pop("train_eval_mim_loss") > 0
    assert extra == plain
    weights = [load_file(folder_of(spec, tmp_path / name) / WEIGHTS) for name in ("with", "without")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    texts = [(folder_of(spec, tmp_path / name) / "metrics.jsonl").read_text() for name in ("with", "without")]
    lines = [[json.loads(line) for line in text.splitlines()] for text in texts]
    for one, other in zip(*lines, strict=True):
        assert {key: value for key, value in one.items() if key not in ("train_eval_mim_loss", "images_per_s")} == {
            key: value for key, value in other.items() if key != "images_per_s"
        }
        assert ("train_eval_mim_loss" in one) == ("val_mim_loss" in one)


def test_the_same_images_with_the_same_crops_and_masks_have_the_same_loss(make_spec: MakeSpec, leaves_store: Path) -> None:
    """Where the training images are the held-out ones, the two losses are one."""
    stage, setting = measured_on(make_spec, leaves_store)
    both = Setting(spec=setting.spec, compute=setting.compute, train=setting.heldout, heldout=setting.heldout, parent_weights=None)
    torch.manual_seed(0)
    found = MaskedImageModelling(both).evaluate()
    assert found["train_eval_mim_loss"] == found["val_mim_loss"]
    own = stage.evaluate()
    assert own["train_eval_mim_loss"] != own["val_mim_loss"]


def test_as_many_training_images_are_measured_as_held_out_ones_or_all(make_spec: MakeSpec, leaves_store: Path) -> None:
    many, _ = measured_on(make_spec, leaves_store, train_images=40)
    assert many._trained.images.positions.tolist() == torch.linspace(0, 39, 16).round().tolist()
    few, _ = measured_on(make_spec, leaves_store, train_images=8)
    assert few._trained.images.positions.tolist() == list(range(8))
    assert torch.equal(few._trained.masks, few._heldout.masks[:8])


def test_training_images_are_reconstructed_beside_held_out_ones(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", steps=2, train_images=20)
    run_stage(spec, folder_of(spec, tmp_path), leaves_store)
    indices = {name: json.loads((folder_of(spec, tmp_path) / name / "index.json").read_text()) for name in ("examples", TRAIN_EXAMPLES)}
    assert indices["examples"]["columns"] == indices[TRAIN_EXAMPLES]["columns"] == ["image", "masked", "reconstruction"]
    assert all(item["caption"].startswith("training image ") for item in indices[TRAIN_EXAMPLES]["items"])
    assert all(item["caption"].startswith("held-out image ") for item in indices["examples"]["items"])
    assert (folder_of(spec, tmp_path) / TRAIN_EXAMPLES / "0.png").stat().st_size > 100
