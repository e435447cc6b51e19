"""Segmentation scores by hand, and where the first paper's differs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trials.objectives.segmentation_scores import class_ious, confusion_per_image, miou, miou_ucl_per_image, pixel_accuracy


def test_scores_of_a_picture_counted_by_hand() -> None:
    truth = torch.tensor([[[0, 0], [1, 2]]])
    prediction = torch.tensor([[[0, 1], [1, 2]]])
    counts = confusion_per_image(truth, prediction, 3).numpy()
    assert counts.tolist() == [[[1, 1, 0], [0, 1, 0], [0, 0, 1]]]
    assert class_ious(counts[0]).tolist() == [0.5, 0.5, 1.0]
    assert miou(counts[0]) == pytest.approx(2 / 3)
    assert pixel_accuracy(counts[0]) == 0.75


def test_a_perfect_prediction_without_one_class_scores_two_thirds_in_the_papers_measure() -> None:
    truth = torch.tensor([[[0, 0], [1, 1]]])
    counts = confusion_per_image(truth, truth, 3).numpy()
    assert miou_ucl_per_image(counts).tolist() == pytest.approx([2 / 3])
    assert miou(counts[0]) == 1.0


def test_counts_of_a_batch_are_those_of_its_images() -> None:
    random = torch.Generator().manual_seed(0)
    truth, prediction = torch.randint(0, 3, (2, 5, 6, 6), generator=random)
    counts = confusion_per_image(truth, prediction, 3)
    for image in range(5):
        expected = np.zeros((3, 3), int)
        np.add.at(expected, (truth[image].flatten().numpy(), prediction[image].flatten().numpy()), 1)
        assert np.array_equal(counts[image].numpy(), expected)
