"""Stages: a chain trains, measures what it should, and fails in one clear sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.trials.conftest import MakeSpec, changed
from tests.trials.cut_off import folder_of
from trials import InputError, StageError, run_stage, stage_id
from trials.recipes.named import get_recipe
from trials.spec import StageSpec
from trials.stage_files import WEIGHTS, read_result, weights_fault


def test_a_chain_hands_its_encoder_on(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    pretrain = make_spec("pretrain")
    run_stage(pretrain, folder_of(pretrain, tmp_path), leaves_store)
    frozen = {"learning_rate": 1e-12, "weight_decay": 0.0}
    child = make_spec("finetune", parent=stage_id(pretrain), **frozen)
    run_stage(child, folder_of(child, tmp_path), leaves_store)
    before, after = (load_file(folder_of(spec, tmp_path) / WEIGHTS) for spec in (pretrain, child))
    shared = [name for name in before if name.startswith("encoder.")]
    assert shared
    for name in shared:
        torch.testing.assert_close(after[name], before[name], atol=1e-9, rtol=0)


def test_training_lowers_the_heldout_loss(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", steps=120, train_images=40, learning_rate=3e-3)
    result = run_stage(spec, folder_of(spec, tmp_path), leaves_store)
    first = json.loads((folder_of(spec, tmp_path) / "metrics.jsonl").read_text().splitlines()[0])
    assert first["step"] == 0
    assert result["metrics"]["val_mim_loss"] < 0.9 * first["val_mim_loss"]


def test_the_heldout_loss_is_of_the_same_images_crops_and_masks_for_every_seed_and_size(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path
) -> None:
    """Two stages given the same weights must measure the same loss to the last digit, whatever they
    train on.
    """
    from trials.data.pictures import open_pictures
    from trials.objectives.masked_image_modelling import MaskedImageModelling
    from trials.objectives.objective import Setting
    from trials.training.precision import choose_compute

    losses = []
    for spec in (make_spec("pretrain"), make_spec("pretrain", seed=1, train_images=40)):
        compute = choose_compute("fp32", gpus=0)
        train, heldout = open_pictures(spec.data, leaves_store, seed=spec.seed, compute=compute)
        stage = MaskedImageModelling(Setting(spec=spec, compute=compute, train=train, heldout=heldout, parent_weights=None))
        with torch.no_grad():
            for number, parameter in enumerate(stage.model.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)) * 0.1)
        losses.append(stage.evaluate()["val_mim_loss"])
    assert losses[0] == losses[1]


def test_a_finished_stage_is_not_trained_again(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("finetune")
    first = run_stage(spec, folder_of(spec, tmp_path), leaves_store)
    stamp = (folder_of(spec, tmp_path) / WEIGHTS).stat().st_mtime_ns
    assert run_stage(spec, folder_of(spec, tmp_path), leaves_store) == first
    assert (folder_of(spec, tmp_path) / WEIGHTS).stat().st_mtime_ns == stamp


def test_a_stage_runs_from_inside_its_own_folder_without_a_cluster(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trials.stage import main
    from trials.stage_files import write_json

    spec = make_spec("finetune", steps=2)
    folder = folder_of(spec, tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "spec.json", spec.to_dict())
    monkeypatch.chdir(folder)
    assert main([".", "--store", str(leaves_store)]) == 0
    assert read_result(folder) is not None
    (folder / "spec.json").write_text("no JSON")
    assert main([".", "--store", str(leaves_store)]) == 2
    assert "is not a stage's spec" in capsys.readouterr().err


def test_altered_parent_weights_are_not_trusted(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    pretrain = make_spec("pretrain", steps=1)
    child = make_spec("finetune", parent=stage_id(pretrain))
    with pytest.raises(StageError, match="is not done: launch the grid again to run it first"):
        run_stage(child, folder_of(child, tmp_path), leaves_store)
    run_stage(pretrain, folder_of(pretrain, tmp_path), leaves_store)
    weights = folder_of(pretrain, tmp_path) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    with pytest.raises(StageError, match=r"weights\.safetensors is not what pretrain-\w+ finished with: delete .*result\.json and launch again"):
        run_stage(child, folder_of(child, tmp_path), leaves_store)
    weights.unlink()
    fault = weights_fault(folder_of(pretrain, tmp_path))
    assert fault is not None
    assert "are missing: delete" in fault
    with pytest.raises(StageError, match=re.escape(fault)):
        run_stage(child, folder_of(child, tmp_path), leaves_store)


def test_other_images_than_planned_are_refused(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    import dataclasses

    spec = make_spec("finetune")
    spec = changed(spec, data=dataclasses.replace(spec.data, train_fingerprint="another"))
    with pytest.raises(InputError, match="was made from other files than the plan"):
        run_stage(spec, folder_of(spec, tmp_path), leaves_store)


def test_an_id_changes_with_what_decides_the_numbers_and_with_nothing_else(make_spec: MakeSpec) -> None:
    spec = make_spec("pretrain")
    assert stage_id(spec) == stage_id(StageSpec.from_dict(json.loads(json.dumps(spec.to_dict()))))
    assert stage_id(changed(spec, eval_points=9)) == stage_id(spec)
    others = [
        changed(spec, seed=1),
        changed(spec, steps=7),
        changed(spec, encoder="nano/4@16"),
        changed(spec, parent="pretrain-0"),
        changed(spec, recipe=get_recipe("pretrain", "ucl-paper")),
        make_spec("pretrain", train_images=21),
        make_spec("pretrain", mask_ratio=0.6),
    ]
    assert len({stage_id(other) for other in [spec, *others]}) == 8


def test_real_pets_beat_all_background(real_data: Path, tmp_path: Path) -> None:
    """A short fine-tuning on real images must already beat the trivial answer by a wide margin
    (mIoU 0.192, data's README).
    """
    from trials.data.store import describe_split
    from trials.prepare import prepare_split
    from trials.spec import DataSpec

    for split in ("train", "heldout"):
        prepare_split("oxford-iiit-pet", real_data, tmp_path / "store", split, 32)
    prints = {split: describe_split("oxford-iiit-pet", real_data, split).fingerprint for split in ("train", "heldout")}
    data = DataSpec(
        source="oxford-iiit-pet",
        image_px=32,
        train_split="train",
        train_fingerprint=prints["train"],
        train_images=400,
        sampling="proportional",
        heldout_split="heldout",
        heldout_fingerprint=prints["heldout"],
        heldout_images=196,
    )
    recipe = get_recipe("finetune", "compact", {"batch_images": 16, "learning_rate": 3e-3})
    spec = StageSpec(
        kind="finetune",
        objective="segmentation",
        encoder="pico/4@32",
        data=data,
        recipe=recipe,
        steps=150,
        eval_points=1,
        seed=0,
        parent=None,
    )
    result = run_stage(spec, folder_of(spec, tmp_path), tmp_path / "store")
    assert result["metrics"]["test_images"] == 196
    assert result["metrics"]["miou"] > 0.30
    assert (folder_of(spec, tmp_path) / "examples" / "index.json").exists()
