"""Normalising is undone exactly; recipes hold their sources' numbers and refuse what cannot be."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import jsonschema
import pytest
import torch

from trials import RECIPES, InputError, get_recipe
from trials.data.augmentation import denormalise, normalise
from trials.recipes.__main__ import recipes_page
from trials.recipes.checks import field_schema, recipe_fields, recipe_from_dict
from trials.recipes.fields import KINDS, NEUTRAL, FinetuneRecipe, IntermediateRecipe


def test_normalising_is_undone_exactly() -> None:
    pixels = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    assert torch.equal(denormalise(normalise(pixels)), pixels)


def test_the_papers_recipes_hold_the_papers_numbers() -> None:
    paper, code = RECIPES["pretrain"]["ucl-paper"], RECIPES["pretrain"]["ucl-code"]
    assert (paper.learning_rate, paper.weight_decay, paper.gamma, paper.milestones, paper.batch_images) == (
        1e-4,
        0.05,
        0.1,
        (0.5, 0.85),
        64,
    )
    assert (code.learning_rate, code.gamma) == (1e-3, 0.5)
    assert RECIPES["finetune"]["ucl-paper"].milestones == (0.7, 0.9, 0.95)
    assert RECIPES["intermediate"]["ucl-paper"].milestones == (0.9, 0.95)


def test_the_stages_with_labels_hold_their_sources_numbers() -> None:
    paper, code = RECIPES["finetune"]["ucl-paper"], RECIPES["finetune"]["ucl-code"]
    assert isinstance(code, FinetuneRecipe)
    assert (code.pixel_loss, code.normalise_inputs, code.crop_scale_min, code.crop_ratio_max) == ("ucl-code", False, 1.0, 1.0)
    same = {"pixel_loss": "per-pixel", "normalise_inputs": True, "crop_scale_min": paper.crop_scale_min, "crop_ratio_max": paper.crop_ratio_max}
    assert dataclasses.replace(code, **same) == paper
    middle = RECIPES["intermediate"]["ucl-code"]
    assert isinstance(middle, IntermediateRecipe)
    assert (middle.mixup, middle.pool, middle.learning_rate, middle.weight_decay) == (0.1, "cls", 8e-4, 0.0)
    swin = RECIPES["finetune"]["simmim-swinv2"]
    assert isinstance(swin, FinetuneRecipe)
    assert swin.learning_rate == 1.25e-3 * swin.batch_images / 512
    assert (swin.layer_decay, swin.warmup, swin.clip_norm, swin.label_smoothing, swin.mixup) == (0.75, 20 / 100, 5.0, 0.1, 0.8)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"learning_rat": 1}, "no recipe field 'learning_rat'; did you mean 'learning_rate'"),
        ({"learning_rate": "1e-3"}, "YAML reads 1e-3 as text: write 1.0e-3"),
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"batch_images": 1.5}, "batch_images must be a whole number"),
        ({"mask_ratio": 1.2}, "mask_ratio is a share"),
        ({"schedule": "exponential"}, "schedule must be one of multi-step, cosine"),
        ({"milestones": [50, 85]}, "milestones must be a list of fractions"),
        ({"decay_vectors": 1}, "decay_vectors must be true or false"),
        ({"crop_ratio_max": 0.5}, "at least 1"),
    ],
)
def test_a_wrong_recipe_is_refused_in_a_sentence(overrides: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        get_recipe("pretrain", "compact", overrides)


def test_an_unknown_recipe_lists_what_exists() -> None:
    with pytest.raises(InputError, match="no recipe 'zzz'; known: compact, mae-vit, simmim-swinv2, simmim-vit, ucl-code, ucl-paper"):
        get_recipe("pretrain", "zzz")
    with pytest.raises(InputError, match="finetune: the recipe 'mae-vit' is for pretrain; did you mean 'simmim-vit'"):
        get_recipe("finetune", "mae-vit")


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described_and_its_schema_agrees_with_the_check(kind: str) -> None:
    numbers = {"learning_rate": 0.1, "weight_decay": 0.0}
    for name, (of, about) in recipe_fields(kind).items():
        assert about.description
        for value in (-1, 0, 0.5, 1, 2, 2.5, 99_999, 10**6, True, "", "10 epochs", "10 weeks", "cosine", "bf16", [0.5], [2], None, "1e-3"):
            if jsonschema.Draft202012Validator(field_schema(of, about)).is_valid(value):
                recipe_from_dict(kind, numbers | {name: value})
            else:
                with pytest.raises(InputError, match=name):
                    recipe_from_dict(kind, numbers | {name: value})


@pytest.mark.parametrize("kind", KINDS)
def test_a_spec_written_before_a_field_existed_is_read_with_its_neutral_value(kind: str) -> None:
    recipe = vars(recipe_from_dict(kind, {"learning_rate": 0.1, "weight_decay": 0.0}))
    assert {name: recipe[name] for name in NEUTRAL[kind]} == NEUTRAL[kind]


def test_fields_of_the_first_studies_have_no_neutral_value() -> None:
    first = ["learning_rate", "weight_decay", "batch_images", "schedule", "milestones", "gamma", "warmup", "clip_norm", "mask_ratio"]
    assert not {name for kind in KINDS for name in NEUTRAL[kind]} & set(first)
    assert "pool" in NEUTRAL["finetune"]
    assert "pool" not in NEUTRAL["intermediate"]  # the first studies had it


def test_the_page_of_recipes_is_the_one_of_the_code() -> None:
    page = Path(__file__).parents[2] / "docs" / "recipes.md"
    assert page.read_text(encoding="utf-8") == recipes_page(), "print it again: python -m trials.recipes > docs/recipes.md"
    assert not re.search(r"\| *\|", page.read_text(encoding="utf-8"))  # no empty cell
