"""Subsets are nested and fair; the order of images is a pure function of the step and shows each
equally often.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trials import InputError
from trials.data.subsets import subset
from trials.training.seeding import BLOCK_STEPS, EpochOrder, derive_seed, generator

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)


@given(labels=LABELS, seed=st.integers(0, 5), sampling=st.sampled_from(["uniform", "proportional"]), data=st.data())
@settings(max_examples=60)
def test_a_smaller_subset_lies_inside_a_larger_one(labels: np.ndarray, seed: int, sampling: str, data: st.DataObject) -> None:
    large = data.draw(st.integers(1, len(labels)))
    small = data.draw(st.integers(1, large))
    inner = subset(labels, images=small, seed=seed, sampling=sampling)
    outer = subset(labels, images=large, seed=seed, sampling=sampling)
    assert len(set(inner)) == small
    assert set(inner) <= set(outer)


@given(classes=st.integers(1, 6), each=st.integers(1, 12), images=st.integers(1, 40), seed=st.integers(0, 5))
def test_uniform_subsets_hold_equally_many_of_each_class(classes: int, each: int, images: int, seed: int) -> None:
    labels = np.repeat(np.arange(classes), each)
    chosen = subset(labels, images=min(images, len(labels)), seed=seed, sampling="uniform")
    counts = np.bincount(labels[chosen], minlength=classes)
    assert counts.max() - counts.min() <= 1


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=5), share=st.floats(0.05, 1), seed=st.integers(0, 5))
def test_proportional_subsets_keep_the_classes_shares(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    images = max(1, round(share * len(labels)))
    chosen = subset(labels, images=images, seed=seed, sampling="proportional")
    expected = np.array(counts) * images / len(labels)
    assert np.abs(np.bincount(labels[chosen], minlength=len(counts)) - expected).max() <= len(counts)


def test_another_seed_draws_another_subset() -> None:
    labels = np.repeat(np.arange(10), 100)
    first, again, other = (subset(labels, images=100, seed=seed, sampling="uniform") for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_more_images_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="A subset of 6 images was asked for, but there are 5"):
        subset(np.zeros(5, int), images=6, seed=0, sampling="uniform")


@given(images=st.integers(1, 30), batch=st.integers(1, 40), steps=st.integers(1, 30), seed=st.integers(0, 9))
def test_every_image_is_shown_equally_often(images: int, batch: int, steps: int, seed: int) -> None:
    order = EpochOrder(images=images, batch_images=batch, seed=seed)
    shown = torch.cat([order.batch(step) for step in range(steps)])
    counts = torch.bincount(shown, minlength=images)
    assert len(shown) == steps * batch
    assert int(counts.max() - counts.min()) <= 1


def test_a_batch_does_not_depend_on_what_was_asked_before() -> None:
    walked = EpochOrder(images=7, batch_images=5, seed=3)
    batches = [walked.batch(step) for step in range(20)]
    assert torch.equal(EpochOrder(images=7, batch_images=5, seed=3).batch(13), batches[13])


def test_streams_are_apart() -> None:
    seeds = {derive_seed(seed, purpose, step) for seed in range(5) for purpose in ("order", "mask") for step in range(100)}
    assert len(seeds) == 1000
    assert torch.equal(torch.rand(3, generator=generator(1, "mask", 2)), torch.rand(3, generator=generator(1, "mask", 2)))


def test_a_block_of_steps_is_read_twice_without_drawing_an_epoch_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured steps read their positions and their crops of a block one after the other."""
    drawn: list[int] = []
    draw = torch.randperm

    def counted(images: int, **options: Any) -> torch.Tensor:
        drawn.append(images)
        return draw(images, **options)

    monkeypatch.setattr(torch, "randperm", counted)
    order = EpochOrder(images=10, batch_images=4, seed=1)
    first, again = (order.batches(range(64, 64 + BLOCK_STEPS)) for _ in range(2))
    assert torch.equal(first, again)
    assert len(drawn) == 14  # positions 256 to 383 lie in epochs 25 to 38 of 10 images
