"""Masks: exactly as many in each image, whole units, fixed by their generator; and what cannot be
masked is said.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trials import InputError, SimMIM, build_encoder, get_recipe
from trials.models.masking import as_grid, check_masking, draw_masks, masked_count, refine
from trials.recipes.fields import PretrainRecipe


@given(
    images=st.integers(1, 5),
    side=st.integers(2, 9),
    ratio=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
    rounding=st.sampled_from(["nearest", "up"]),
)
def test_every_image_has_the_same_number_of_distinct_masked_units(images: int, side: int, ratio: float, seed: int, rounding: str) -> None:
    units = side**2
    masks = draw_masks(images, units, ratio, torch.Generator().manual_seed(seed), rounding)
    assert masks.shape == (images, masked_count(units, ratio, rounding))
    assert all(len(set(row)) == len(row) for row in masks.tolist())
    assert 1 <= masks.shape[1] < units
    assert int(masks.max()) < units
    assert torch.equal(masks, draw_masks(images, units, ratio, torch.Generator().manual_seed(seed), rounding))


def test_the_papers_counts_of_masked_units() -> None:
    assert masked_count(64, 0.5) == 32
    assert masked_count(36, 0.6, "up") == 22
    assert masked_count(36, 0.61, "nearest") == 22
    assert masked_count(100, 0.07, "up") == 7  # 100 x 0.07 is more than 7 in floating point
    assert masked_count(49, 0.6, "up") == 30


@given(side=st.integers(1, 6), factor=st.integers(1, 5), count=st.integers(1, 36), seed=st.integers(0, 99))
def test_a_unit_is_masked_as_a_whole(side: int, factor: int, count: int, seed: int) -> None:
    masked = torch.stack([torch.randperm(side**2, generator=torch.Generator().manual_seed(seed + row))[:count] for row in range(2)])
    fine = as_grid(refine(masked, side, factor), (side * factor) ** 2).view(2, side * factor, side * factor)
    coarse = as_grid(masked, side**2).view(2, side, side)
    assert torch.equal(fine, coarse.repeat_interleave(factor, 1).repeat_interleave(factor, 2))


def test_the_mask_of_pixels_is_the_mask_of_units() -> None:
    model = SimMIM(build_encoder("swinv2-pico@64"), unit_px=16)
    assert model.units == 16
    hidden = model.hidden_pixels(torch.tensor([[0, 6]]))
    assert int(hidden.sum()) == 2 * 16 * 16
    assert hidden[0, 0, :16, :16].all()
    assert hidden[0, 0, 16:32, 32:48].all()


def recipe(**fields: object) -> PretrainRecipe:
    made = dataclasses.replace(get_recipe("pretrain", "compact"), **fields)
    assert isinstance(made, PretrainRecipe)
    return made


def test_what_can_be_masked_passes() -> None:
    for name, unit_px in (("pico/8@32", 0), ("pico/8@32", 16), ("swinv2-b", 0), ("swinv2-b", 4), ("swinv2-b@224", 112)):
        check_masking(name, recipe(mask_unit_px=unit_px))


@pytest.mark.parametrize(
    ("name", "unit_px", "sentence"),
    [
        ("viny/16@128", 48, "mask_unit_px: units of 48 px do not divide the 128 px images of viny/16@128 into at least 2 x 2"),
        ("swinv2-b", 192, "units of 192 px do not divide the 192 px images of swinv2-b into at least 2 x 2"),
        ("viny/16@128", 8, "units of 8 px cut through the 16 px patches of viny/16@128: give a multiple of 16."),
        ("swinv2-b", 6, "units of 6 px cut through the 4 px patches of swinv2-b: give a multiple of 4."),
        ("viny/16", 0, "must read size/patch@image"),
    ],
)
def test_what_cannot_be_masked_is_said_before_anything_is_built(name: str, unit_px: int, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_masking(name, recipe(mask_unit_px=unit_px))
