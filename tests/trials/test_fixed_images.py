"""Held-out images are measured in the same crops each time, by calls that are captured once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import folder_of, lines, run
from trials.data.augmentation import Crops
from trials.objectives.fixed_images import EVAL_BATCH, MOST_PARTS, FixedImages, RepeatedCalls


class Counted:
    """A call that says how often it ran."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Tensor:
        self.times += 1
        return torch.tensor(self.times)


def test_a_call_runs_once_is_captured_at_its_second_time_and_replayed_from_then_on() -> None:
    calls, body, replayed = RepeatedCalls(torch.device("cpu")), Counted(), torch.tensor(-1)
    calls.allow()
    with mock.patch.object(RepeatedCalls, "_captured", return_value=lambda: replayed):
        assert [int(calls("heldout", body, parts=2)) for _ in range(4)] == [1, -1, -1, -1]
        assert [int(calls("training", body, parts=2)) for _ in range(2)] == [2, -1]
        assert [int(calls("large", body, parts=MOST_PARTS + 1)) for _ in range(3)] == [3, 4, 5]
        calls.release()
        assert [int(calls("heldout", body, parts=2)) for _ in range(3)] == [6, 7, 8]


def test_a_call_that_cannot_be_captured_runs_as_it_is_and_the_reason_is_kept() -> None:
    calls, body = RepeatedCalls(torch.device("cpu")), Counted()
    calls.allow()
    with mock.patch.object(RepeatedCalls, "_captured", side_effect=RuntimeError("operation not permitted\nmore")) as tried:
        assert [int(calls("heldout", body, parts=1)) for _ in range(4)] == [1, 2, 3, 4]
    assert tried.call_count == 1
    assert calls.failed == {"heldout": "RuntimeError: operation not permitted"}


def test_a_stage_measures_through_captured_calls_what_it_measures_without(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    for kind in ("pretrain", "intermediate"):
        spec = dataclasses.replace(make_spec(kind, steps=8), eval_points=4)
        plain = run(spec, tmp_path / "plain", leaves_store)
        with mock.patch.object(RepeatedCalls, "_captured", autospec=True, side_effect=lambda self, body: body) as captured:
            assert run(spec, tmp_path / "captured", leaves_store, capture="on") == plain
        assert captured.call_count == (2 if kind == "pretrain" else 1)
        assert lines(spec, tmp_path / "captured") == lines(spec, tmp_path / "plain")
        with mock.patch.object(RepeatedCalls, "_captured", side_effect=RuntimeError("no")):
            assert run(spec, tmp_path / "failed", leaves_store, capture="on") == plain
        assert "images was not captured: RuntimeError: no" in (folder_of(spec, tmp_path / "failed") / "log.txt").read_text()


def test_a_call_of_the_most_parts_is_captured() -> None:
    calls, body, replayed = RepeatedCalls(torch.device("cpu")), Counted(), torch.tensor(-1)
    calls.allow()
    with mock.patch.object(RepeatedCalls, "_captured", return_value=lambda: replayed):
        assert [int(calls("heldout", body, parts=MOST_PARTS)) for _ in range(3)] == [1, -1, -1]


def test_every_image_is_in_one_part_and_taken_as_the_recipe_resizes_it() -> None:
    asked: list[tuple[Tensor, bool]] = []

    class Pictures:
        resident, device = False, torch.device("cpu")

        def images(self, positions: Tensor, crops: Crops, *, nearest: bool = False) -> Tensor:
            assert torch.equal(crops.values[:, 0], positions + 1)
            asked.append((positions, nearest))
            return positions

    positions = torch.randperm(2 * EVAL_BATCH + 88, generator=torch.Generator().manual_seed(0))
    crops = Crops((positions + 1)[:, None].repeat(1, 5))
    for nearest in (False, True):
        asked.clear()
        fixed = FixedImages(Pictures(), positions, crops, nearest=nearest)  # type: ignore[arg-type]
        for part in fixed.parts():
            fixed.images(part)
        assert [len(taken) for taken, _ in asked] == [EVAL_BATCH, EVAL_BATCH, 88]
        assert torch.equal(torch.cat([taken for taken, _ in asked]), positions)
        assert {how for _, how in asked} == {nearest}
