"""Sampling by whole classes: as ImageNet-100 is to ImageNet-1K."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trials.data.subsets import SAMPLINGS, subset, subset_order

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=60).map(np.array)


@given(labels=LABELS, seed=st.integers(0, 9), data=st.data())
@settings(max_examples=100)
def test_every_prefix_holds_whole_classes_but_for_the_last(labels: np.ndarray, seed: int, data: st.DataObject) -> None:
    order = subset_order(labels, seed=seed, sampling="classes")
    assert sorted(order.tolist()) == list(range(len(labels)))
    prefix = order[: data.draw(st.integers(1, len(labels)))]
    drawn, whole = np.bincount(labels[prefix], minlength=7), np.bincount(labels, minlength=7)
    partial = np.flatnonzero((drawn > 0) & (drawn < whole))
    assert len(partial) <= 1
    assert set(partial) <= {labels[prefix[-1]]}


@given(labels=LABELS, seed=st.integers(0, 5), sampling=st.sampled_from(SAMPLINGS), data=st.data())
@settings(max_examples=60)
def test_subsets_are_nested_and_of_the_size_asked_for(labels: np.ndarray, seed: int, sampling: str, data: st.DataObject) -> None:
    large = data.draw(st.integers(1, len(labels)))
    small = data.draw(st.integers(1, large))
    inner, outer = (subset(labels, images=images, seed=seed, sampling=sampling) for images in (small, large))
    assert (len(inner), len(set(outer))) == (small, large)
    assert set(inner) <= set(outer)


def test_seeds_draw_other_classes_and_other_images_of_a_class() -> None:
    labels = np.repeat(np.arange(10), 50)
    of_seed = [subset(labels, images=125, seed=seed, sampling="classes") for seed in range(40)]
    assert all(np.array_equal(of_seed[0], subset(labels, images=125, seed=0, sampling="classes")) for _ in range(2))
    whole = [tuple(np.flatnonzero(np.bincount(labels[one], minlength=10) == 50)) for one in of_seed]
    assert all(len(one) == 2 for one in whole)
    assert len(set(whole)) > 10
    assert {number for one in whole for number in one} == set(range(10))
    halves = [tuple(one[labels[one] == c] % 50) for one in of_seed for c in range(10) if np.sum(labels[one] == c) == 25]
    assert len(set(halves)) == 40


def test_the_other_samplings_draw_what_they_always_drew() -> None:
    labels = np.repeat(np.arange(4), [3, 5, 2, 6])
    assert subset(labels, images=7, seed=1, sampling="uniform").tolist() == [1, 2, 3, 8, 9, 10, 12]
    assert subset(labels, images=7, seed=1, sampling="proportional").tolist() == [2, 3, 5, 8, 11, 13, 15]
