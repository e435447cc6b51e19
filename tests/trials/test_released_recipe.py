"""The first paper as its code runs it: split, transforms, batches and resizing against torch and
torchvision, which that code calls.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, random_split
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from tests.trials.conftest import MakeSpec, changed
from trials import RECIPES, InputError, open_store, parse_length, run_stage, stage_id
from trials.data import pictures
from trials.data.augmentation import InputForm, change_contrast, whole_images
from trials.data.pictures import open_pictures, released_order
from trials.data.resampling import crop_on_cpu
from trials.objectives.objective import OBJECTIVES, Batches, Setting
from trials.recipes.fields import FinetuneRecipe
from trials.training.precision import choose_compute
from trials.training.seeding import EpochOrder

CPU = choose_compute("fp32", gpus=0)
RELEASED = {"contrast": 0.3, "resize": "nearest", "transforms": "frozen", "crop_scale_min": 1.0, "crop_ratio_max": 1.0, "test_transforms": True}


def batches_of(spec: Any, store: Path) -> Batches:
    train, heldout = open_pictures(spec.data, store, seed=spec.seed, compute=CPU, recipe=spec.recipe)
    return Batches(Setting(spec=spec, compute=CPU, train=train, heldout=heldout, parent_weights=None))


def test_the_split_is_that_of_random_split_with_seed_42() -> None:
    for train in (250, 600):
        theirs = random_split(range(1693), [train, 1000, 1693 - train - 1000], generator=torch.Generator().manual_seed(42))  # type: ignore[arg-type]
        order = released_order(1693)
        assert order[:train].tolist() == theirs[0].indices
        assert order[train : train + 1000].tolist() == theirs[1].indices


def test_the_released_split_takes_both_parts_and_its_test_set_changes_with_the_labels(make_spec: MakeSpec, leaves_store: Path) -> None:
    every = [open_store(leaves_store, "leaves", f"finetune-{part}", 16) for part in ("train-0", "heldout")]
    labels = np.concatenate([one.labels for one in every])
    seen = []
    for count in (20, 30):
        spec = make_spec("finetune", train_images=count, split="ucl-code")
        train, test = open_pictures(spec.data, leaves_store, seed=0, compute=CPU, recipe=spec.recipe)
        order = released_order(80)
        assert train.labels(torch.arange(count)).tolist() == labels[order[:count]].tolist()
        assert test.labels(torch.arange(16)).tolist() == labels[order[count : count + 16]].tolist()
        first = every[0].images[int(order[0])] if order[0] < 40 else every[1].images[int(order[0]) - 40]
        assert np.array_equal(train.images(torch.tensor([0]))[0].numpy(), first)
        seen.append(test.images(torch.arange(16)))
    assert not torch.equal(seen[0], seen[1])


def test_a_fixed_subset_is_the_same_for_every_seed(make_spec: MakeSpec, leaves_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "get_source", lambda name: SimpleNamespace(generated=False))  # else all of a prefix are taken

    def labelled(seed: int, **recipe: Any) -> list[int]:
        spec = make_spec("finetune", train_images=20, **recipe)
        train, _ = open_pictures(spec.data, leaves_store, seed=seed, compute=CPU, recipe=spec.recipe)
        return train._indices.tolist()  # type: ignore[no-any-return]

    assert labelled(0, subset_seed="fixed") == labelled(1, subset_seed="fixed") == labelled(0)
    assert sorted(labelled(0)) != sorted(labelled(1))


@pytest.mark.parametrize(("images", "batch"), [(250, 64), (64, 64), (65, 64), (7, 3)])
def test_batches_are_a_data_loaders(images: int, batch: int) -> None:
    order = EpochOrder(images=images, batch_images=batch, seed=3, short_last_batch=True)
    theirs = [len(one) for one in DataLoader(torch.arange(images), batch_size=batch, shuffle=True)]  # type: ignore[arg-type]
    for epoch in range(2):
        ours = [order.batch(epoch * len(theirs) + step) for step in range(len(theirs))]
        assert [len(one) for one in ours] == theirs
        assert sorted(torch.cat(ours).tolist()) == list(range(images))


def test_a_length_in_passes_takes_whole_steps(make_spec: MakeSpec) -> None:
    length = parse_length("100 epochs")
    assert length.steps(subset_images=250, batch_images=64) == 391
    assert length.steps(subset_images=250, batch_images=64, short_last_batch=True) == 400
    recipe = dataclasses.replace(RECIPES["finetune"]["ucl-released"])
    spec = changed(make_spec("finetune", steps=400, train_images=250), recipe=recipe)
    assert spec.image_passes == 25_000
    assert changed(spec, steps=401).image_passes == 25_064


def test_contrast_is_torchvisions() -> None:
    pixels = torch.rand(4, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    factors = torch.tensor([0.7, 1.0, 1.3, 1.12])
    ours = change_contrast(pixels, factors)
    for image, factor, changed_image in zip(pixels, factors.tolist(), ours, strict=True):
        torch.testing.assert_close(changed_image, TF.adjust_contrast(image, factor), atol=1e-6, rtol=0)


def test_nearest_pixels_are_those_of_torchvisions_resize_of_tensors() -> None:
    """Images and masks alike, from sizes that are no multiples of the side."""
    from tests.trials.test_crops import SIZES, packed

    for images in (packed(SIZES), packed(SIZES, masks=True)):
        ours = crop_on_cpu(images, np.arange(len(SIZES)), whole_images(SIZES), 16, nearest=True)
        for image, resized in zip(images, ours, strict=True):
            tensor = torch.from_numpy(image.copy()).reshape(*image.shape[:2], -1).permute(2, 0, 1).float() / 255
            theirs = TF.resize(tensor, [16, 16], interpolation=InterpolationMode.NEAREST)
            assert torch.equal(theirs.permute(1, 2, 0), resized.reshape(16, 16, -1).float() / 255)


def test_frozen_transforms_show_an_image_in_one_way_and_fresh_ones_in_several(make_spec: MakeSpec, leaves_store: Path) -> None:
    def shown(transforms: str) -> dict[int, set[bytes]]:
        spec = make_spec("finetune", train_images=8, **(RELEASED | {"transforms": transforms, "crop_scale_min": 0.5}))
        batches, found = batches_of(spec, leaves_store), {place: set[bytes]() for place in range(8)}
        for step in range(6):
            images, _, positions = batches.take(step)
            for image, place in zip(images, positions.tolist(), strict=True):
                found[place].add(image.numpy().tobytes())
        return found

    assert {len(views) for views in shown("frozen").values()} == {1}
    assert {len(views) for views in shown("fresh").values()} == {6}


def test_the_contrasts_drawn_are_uniform_within_the_recipes(make_spec: MakeSpec, leaves_store: Path) -> None:
    batches = batches_of(make_spec("finetune", train_images=20, **(RELEASED | {"transforms": "fresh"})), leaves_store)
    factors = torch.cat([batches._draw_contrast(range(step, step + 1))[0] for step in range(500)])
    assert 0.7 <= float(factors.min()) < 0.702
    assert 1.298 < float(factors.max()) <= 1.3
    assert abs(float(factors.mean()) - 1) < 0.01
    images, crops, positions = batches.take(3)
    plain = InputForm(batches._recipe)(batches.pictures.images(positions, crops, nearest=True))
    assert not torch.equal(images, plain)
    pixels, contrast = batches.pictures.images(positions, crops, nearest=True), batches._draw_contrast(range(3, 4))[0]
    torch.testing.assert_close(images, InputForm(batches._recipe)(pixels, contrast))


def test_test_images_are_transformed_once_for_each_seed_and_left_alone_otherwise(make_spec: MakeSpec, leaves_store: Path) -> None:
    def crops(seed: int, **recipe: Any) -> torch.Tensor:
        spec = changed(make_spec("finetune", **recipe), seed=seed)
        train, test = open_pictures(spec.data, leaves_store, seed=0, compute=CPU, recipe=spec.recipe)
        stage: Any = OBJECTIVES.find("segmentation")(Setting(spec=spec, compute=CPU, train=train, heldout=test, parent_weights=None))
        return torch.cat([stage._test_crops.values.double(), stage._test_contrast[:, None]], dim=1)

    assert torch.equal(crops(0, **RELEASED), crops(0, **RELEASED))
    assert not torch.equal(crops(0, **RELEASED), crops(1, **RELEASED))
    assert crops(0).unique(dim=0).tolist() == [[0, 0, 16, 16, 0, 1]]


def test_a_stage_of_the_released_recipe_resumes_bit_for_bit_and_refuses_parts(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPES["finetune"]["ucl-released"], batch_images=8, store_px=0)
    assert isinstance(recipe, FinetuneRecipe)
    spec = changed(make_spec("finetune", steps=9, train_images=20), recipe=recipe)  # batches of 8, 8 and 4
    whole = run_stage(spec, tmp_path / "a" / stage_id(spec), leaves_store)["metrics"]
    asked = SimpleNamespace(steps=0)

    def stop() -> bool:
        asked.steps += 1
        return asked.steps == 5

    folder = tmp_path / "b" / stage_id(spec)
    with pytest.raises(Exception, match="was asked to stop after step 4"):
        run_stage(spec, folder, leaves_store, stop=stop)
    assert run_stage(spec, folder, leaves_store)["metrics"] == whole
    with pytest.raises(InputError, match="short_last_batch takes batches whole"):
        run_stage(spec, tmp_path / "c" / stage_id(spec), leaves_store, micro_batches=2)
