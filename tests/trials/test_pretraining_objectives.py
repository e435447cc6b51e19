"""The other ways to pre-train: MAE and labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.trials.conftest import MakeSpec, changed
from tests.trials.test_objectives import objective_of
from trials import run_stage, stage_id
from trials.objectives.objective import scores_of
from trials.spec import StageSpec


@pytest.fixture(params=["mae", "supervised"])
def spec(request: pytest.FixtureRequest, make_spec: MakeSpec) -> StageSpec:
    return changed(make_spec("pretrain"), objective=request.param)


def test_the_parts_of_a_batch_put_together_are_the_batch(spec: StageSpec, leaves_store: Path) -> None:
    objective = objective_of(spec, leaves_store)
    whole = objective.loss(5)
    sizes = [len(one) for one in torch.arange(8).tensor_split(3)]
    parts = [objective.loss(5, (index, 3)) * (size / 8) for index, size in enumerate(sizes)]
    torch.testing.assert_close(torch.stack(parts).sum(), whole)


def test_a_stage_is_measured_and_its_child_starts_from_its_encoder(spec: StageSpec, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    result = run_stage(spec, tmp_path / stage_id(spec), leaves_store)
    assert set(result["metrics"]) == {one.name for one in scores_of("pretrain", spec.objective)}
    lines = [json.loads(line) for line in (tmp_path / stage_id(spec) / "metrics.jsonl").read_text().splitlines()]
    scores = {one.name for one in scores_of("pretrain", spec.objective)[1:]}
    assert scores <= set(lines[0])
    child = make_spec("finetune", parent=stage_id(spec))
    assert "miou" in run_stage(child, tmp_path / stage_id(child), leaves_store)["metrics"]


def test_labels_are_learnt(make_spec: MakeSpec, leaves_store: Path) -> None:
    spec = changed(make_spec("pretrain", batch_images=20, crop_scale_min=1.0, crop_ratio_max=1.0, flip=0.0), objective="supervised")
    objective = objective_of(spec, leaves_store)
    optimiser = torch.optim.AdamW(objective.model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = objective.loss(0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
