"""Objectives with labels: a batch in parts is the batch, scores are what they say, and images
without trimaps are refused.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.trials.conftest import MakeSpec, changed
from trials import InputError, run_stage, stage_id
from trials.data.augmentation import InputForm, normalise
from trials.data.pictures import open_pictures
from trials.data.sources import no_masks
from trials.diagnostics.probe import majority_classes
from trials.objectives.classification import Classification, top_accuracy
from trials.objectives.objective import OBJECTIVES, Objective, Setting
from trials.objectives.patch_classification import SpatialSupervision, patch_majority
from trials.objectives.segmentation import over_pixels
from trials.recipes.named import get_recipe
from trials.spec import StageSpec
from trials.training.precision import choose_compute


def setting_of(spec: StageSpec, store: Path) -> Setting:
    compute = choose_compute("fp32", gpus=0)
    train, heldout = open_pictures(spec.data, store, seed=spec.seed, compute=compute)
    return Setting(spec=spec, compute=compute, train=train, heldout=heldout, parent_weights=None)


def objective_of(spec: StageSpec, store: Path) -> Objective:
    return OBJECTIVES[spec.objective](setting_of(spec, store))


@pytest.fixture(params=["intermediate classification", "intermediate spatial", "finetune segmentation", "finetune classification"])
def labelled(request: pytest.FixtureRequest, make_spec: MakeSpec) -> StageSpec:
    kind, objective = request.param.split()
    mixed = {"mixup": 0.8, "label_smoothing": 0.1} if objective == "classification" else {}
    return changed(make_spec(kind, **mixed), objective=objective)


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_the_parts_of_a_batch_put_together_are_the_batch(labelled: StageSpec, leaves_store: Path, parts: int) -> None:
    """8 images in 3 parts are 3, 3 and 2: the mean over all is that of the parts, each weighted by
    its images; so are the gradients.
    """
    objective = objective_of(labelled, leaves_store)
    whole = objective.loss(5)
    whole.backward()
    gradients = [p.grad.clone() for p in objective.model.parameters() if p.grad is not None]
    objective.model.zero_grad()
    sizes = [len(one) for one in torch.arange(8).tensor_split(parts)]
    losses = [objective.loss(5, (index, parts)) * (size / 8) for index, size in enumerate(sizes)]
    total = torch.stack(losses).sum()
    torch.testing.assert_close(total, whole, atol=2e-6, rtol=1e-5)
    total.backward()
    again = [p.grad for p in objective.model.parameters() if p.grad is not None]
    torch.testing.assert_close(again, gradients, atol=2e-6, rtol=1e-4)


@given(batch=st.integers(1, 70), count=st.integers(1, 70))
def test_parts_are_those_of_tensor_split(batch: int, count: int) -> None:
    from trials.objectives.objective import Batches

    batches = Batches.__new__(Batches)
    batches._recipe = dataclasses.replace(get_recipe("finetune", "compact"), batch_images=batch)
    rows = torch.arange(batch)
    for index, part in enumerate(rows.tensor_split(count)):
        assert torch.equal(rows[batches.rows((index, count))], part)


def test_a_trunk_begins_as_its_pretraining_does(make_spec: MakeSpec, leaves_store: Path) -> None:
    spec = make_spec("pretrain")
    models = [objective_of(changed(spec, kind=kind), leaves_store).model.state_dict() for kind in ("pretrain", "trunk")]
    torch.testing.assert_close(models[0], models[1], atol=0, rtol=0)


@given(seed=st.integers(0, 200), patch=st.sampled_from([1, 2, 4]))
def test_majority_classes_are_those_of_the_probe_ties_included(seed: int, patch: int) -> None:
    masks = torch.randint(0, 3, (5, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    assert torch.equal(patch_majority(masks, patch), majority_classes(masks, patch, 3))


def test_a_tied_patch_is_of_the_lower_class() -> None:
    assert patch_majority(torch.tensor([[[2, 1], [1, 2]], [[2, 0], [1, 2]], [[0, 2], [2, 0]]]), 2).flatten().tolist() == [1, 2, 0]


def test_spatial_scores_are_of_heldout_patches_beside_what_needs_no_look_at_the_image(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path
) -> None:
    spec = changed(make_spec("intermediate", steps=3), objective="spatial")
    folder = tmp_path / "stages" / stage_id(spec)
    metrics = run_stage(spec, folder, leaves_store)["metrics"]
    assert set(metrics) == {"val_accuracy", "train_loss", "majority_accuracy", "place_accuracy"}
    train, heldout = open_pictures(spec.data, leaves_store, seed=0, compute=choose_compute("fp32", gpus=0))
    seen, truth = (majority_classes(one.masks(torch.arange(len(one))), 4, 3) for one in (train, heldout))
    assert metrics["majority_accuracy"] == pytest.approx(max((truth == c).double().mean().item() for c in range(3)))
    at_place = torch.stack([(seen == c).sum(dim=0) for c in range(3)]).argmax(dim=0)
    assert metrics["place_accuracy"] == pytest.approx((truth == at_place).double().mean().item())
    index = json.loads((folder / "examples" / "index.json").read_text())
    assert index["columns"] == ["image", "truth", "prediction"]


@pytest.mark.parametrize(
    ("kind", "objective", "purpose"), [("intermediate", "spatial", "spatial supervision"), ("finetune", "segmentation", "segmentation")]
)
def test_images_without_trimaps_are_refused(kind: str, objective: str, purpose: str, make_spec: MakeSpec, leaves_store: Path) -> None:
    spec = make_spec(kind)
    setting = setting_of(spec, leaves_store)
    other = changed(spec, objective=objective, data=dataclasses.replace(spec.data, source="cifar10"))
    with pytest.raises(InputError, match=rf"{kind}: cifar10 carries no masks of classes, so it cannot be used for {purpose}; these do: .*leaves"):
        OBJECTIVES[objective](dataclasses.replace(setting, spec=other))


def test_a_folder_without_masks_is_told_where_they_go() -> None:
    assert no_masks("folder:mine", "segmentation").endswith("leaves-objects. A folder of yours does with masks in masks/ beside images/.")
    assert no_masks("cifar10", "segmentation").endswith("leaves-objects.")


@given(seed=st.integers(0, 500), most=st.integers(1, 5))
def test_top_accuracy_counts_the_classes_ahead_of_the_true_one(seed: int, most: int) -> None:
    random = torch.Generator().manual_seed(seed)
    logits, labels = torch.randn(40, 7, generator=random), torch.randint(0, 7, (40,), generator=random)
    expected = (logits.topk(most, dim=1).indices == labels[:, None]).any(dim=1).double().mean()
    assert top_accuracy(logits, labels, most) == pytest.approx(float(expected))


def test_of_equal_logits_the_lower_class_comes_first() -> None:
    assert top_accuracy(torch.zeros(3, 4), torch.tensor([0, 1, 3]), 1) == pytest.approx(1 / 3)
    assert top_accuracy(torch.zeros(3, 4), torch.tensor([0, 1, 3]), 2) == pytest.approx(2 / 3)


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_a_fine_tuning_to_classes_is_scored_on_its_fixed_test_set(pool: str, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    spec = changed(make_spec("finetune", steps=4, pool=pool, mixup=0.2), objective="classification")
    folder = tmp_path / "stages" / stage_id(spec)
    metrics = run_stage(spec, folder, leaves_store)["metrics"]
    stage = Classification(setting_of(spec, leaves_store))
    stage.model.load_state_dict(load_file(folder / "checkpoint" / "weights.safetensors"))
    logits, labels = stage.heldout_logits()
    assert metrics["test_images"] == 16
    assert metrics["accuracy"] == float((logits.argmax(dim=1) == labels).double().mean())
    assert metrics["accuracy"] <= metrics["top5_accuracy"] <= 1
    assert metrics["test_loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-6)
    index = json.loads((folder / "examples" / "index.json").read_text())
    assert index["columns"] == ["image"]
    ranked = {item["rank"]: item for item in index["items"] if "rank" in item}
    assert ranked["best"]["probability"] >= ranked["median"]["probability"] >= ranked["worst"]["probability"]
    assert (ranked["best"]["place"], ranked["worst"]["place"], ranked["worst"]["of"]) == (1, 16, 16)
    assert {item["truth"] for item in index["items"]} <= set(stage.classes)


def test_training_to_classes_and_to_places_learns(make_spec: MakeSpec, leaves_store: Path) -> None:
    """Twenty images seen for 60 steps: the loss on the training batches falls below that of a
    guess.
    """
    for kind, objective in (("finetune", "classification"), ("intermediate", "spatial")):
        spec = changed(make_spec(kind, steps=60, learning_rate=3e-3), objective=objective)
        stage = objective_of(spec, leaves_store)
        optimiser = torch.optim.AdamW(stage.model.parameters(), lr=3e-3)
        losses = []
        for step in range(60):
            loss = stage.loss(step)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


def released_segmentation_loss(logits: torch.Tensor, truth: torch.Tensor, patch: int) -> torch.Tensor:
    """The first paper's code, written anew from models/finetune.py: patch by patch, log-softmax
    over all pixels, cross-entropy.
    """
    batch, classes, side, _ = logits.shape
    rows = side // patch
    per_patch = logits.reshape(batch, classes, rows, patch, rows, patch).permute(0, 1, 2, 4, 3, 5).reshape(batch, classes, -1)
    target = truth.reshape(batch, rows, patch, rows, patch).permute(0, 1, 3, 2, 4).reshape(batch, -1)
    return torch.nn.CrossEntropyLoss()(torch.nn.functional.log_softmax(per_patch, dim=-1), target)


@given(seed=st.integers(0, 100))
def test_the_pixel_loss_of_the_released_code(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    logits, truth = torch.randn(3, 3, 8, 8, generator=random) * 4, torch.randint(0, 3, (3, 8, 8), generator=random)
    expected = released_segmentation_loss(logits, truth, 4)
    torch.testing.assert_close(F.cross_entropy(over_pixels(logits), truth), expected, atol=1e-5, rtol=0)


def test_the_compatibility_recipe_trains_and_tests_as_the_released_code_does(make_spec: MakeSpec, leaves_store: Path) -> None:
    recipe: Any = get_recipe("finetune", "ucl-code", {"batch_images": 8, "precision": "fp32"})
    stage: Any = objective_of(changed(make_spec("finetune"), recipe=recipe), leaves_store)
    images = stage._batches.pictures.images(stage._batches.positions(2))
    inputs = InputForm(recipe)(images)
    torch.testing.assert_close(inputs, images.permute(0, 3, 1, 2) / 255)
    assert torch.equal(InputForm(get_recipe("finetune", "compact"))(images), normalise(images))
    flipped = dataclasses.replace(recipe, flip=0.0)
    stage = objective_of(changed(make_spec("finetune"), recipe=flipped), leaves_store)
    truth = stage._batches.pictures.masks(stage._batches.positions(2)).long()
    torch.testing.assert_close(stage.loss(2), released_segmentation_loss(stage.model(inputs), truth, 4), atol=1e-4, rtol=0)


def test_spatial_supervision_is_an_objective_of_the_intermediate_stage(make_spec: MakeSpec, leaves_store: Path) -> None:
    assert isinstance(objective_of(changed(make_spec("intermediate"), objective="spatial"), leaves_store), SpatialSupervision)
