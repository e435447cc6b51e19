"""Sampling by whole classes: as ImageNet-100 is to ImageNet-1K."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trials.data.leaves import PATTERNS
from trials.data.pictures import open_pictures
from trials.data.store import open_store
from trials.data.subsets import SAMPLINGS, WHOLE_CLASSES, stream_images, subset, subset_order
from trials.prepare import prepare_split
from trials.spec import DataSpec
from trials.training.precision import choose_compute

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


def test_whole_classes_of_a_generated_stream_are_a_quarter_of_its_classes(tmp_path: Path) -> None:
    for split, images in (("pretrain-train-0", 4 * 16), ("pretrain-heldout", 8)):
        prepare_split("leaves", tmp_path, tmp_path / "store", split, 16, images=images)
    data = DataSpec(
        source="leaves",
        image_px=16,
        train_split="pretrain-train-0",
        train_fingerprint=open_store(tmp_path / "store", "leaves", "pretrain-train-0", 16).fingerprint,
        train_images=16,
        sampling="classes",
        heldout_split="pretrain-heldout",
        heldout_fingerprint=open_store(tmp_path / "store", "leaves", "pretrain-heldout", 16).fingerprint,
        heldout_images=8,
    )
    compute = choose_compute("fp32", gpus=0)
    of = {}
    for sampling in ("classes", "uniform"):
        train, _ = open_pictures(replace(data, sampling=sampling), tmp_path / "store", seed=0, compute=compute)
        of[sampling] = train.labels(torch.arange(16)).numpy()
    assert np.bincount(of["uniform"], minlength=len(PATTERNS)).tolist() == [2] * 8
    assert sorted(np.bincount(of["classes"], minlength=len(PATTERNS)).tolist()) == [0] * 6 + [8, 8]


def test_only_whole_classes_are_drawn_from_a_longer_stream() -> None:
    assert [stream_images(50, sampling) for sampling in SAMPLINGS] == [50, 50, 50 * WHOLE_CLASSES]


def test_a_class_of_most_images_ends_before_the_next_begins() -> None:
    labels = np.repeat(np.arange(3), [20, 3, 2])
    for seed in range(6):
        drawn = labels[subset_order(labels, seed=seed, sampling="classes")]
        assert np.count_nonzero(np.diff(drawn)) == 2
