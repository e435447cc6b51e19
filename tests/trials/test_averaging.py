"""The average of weights against torch.optim.swa_utils."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import folder_of, run
from trials.stage_files import WEIGHTS
from trials.training.averaging import AveragedWeights


def test_the_average_is_that_of_torch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    ours, theirs = AveragedWeights(model, 0.8), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    theirs.update_parameters(model)  # the first call copies the weights
    for _ in range(5):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        ours.update()
        theirs.update_parameters(model)
    own = {name: value.clone() for name, value in model.state_dict().items()}
    expected = dict(theirs.module.named_parameters())
    with ours.in_place():
        for name, value in model.named_parameters():
            assert torch.equal(value, expected[name])
    assert all(torch.equal(value, own[name]) for name, value in model.state_dict().items())
    again = AveragedWeights(model, 0.8)
    again.restore(ours.state())
    assert all(torch.equal(again.state()[name], value) for name, value in ours.state().items())


def test_the_average_is_measured_and_handed_on(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """After one step the average has moved by a tenth of the step."""
    weights = {}
    for average in (0.0, 0.9):
        spec = make_spec("pretrain", steps=1, average=average)
        run(spec, tmp_path, leaves_store)
        weights[average] = load_file(folder_of(spec, tmp_path) / WEIGHTS)
        lines = [json.loads(line) for line in (folder_of(spec, tmp_path) / "metrics.jsonl").read_text().splitlines()]
        weights[f"start {average}"] = lines[0]["val_mim_loss"]
        weights[f"end {average}"] = lines[-1]["val_mim_loss"]
    assert weights["start 0.0"] == weights["start 0.9"]
    moved = abs(weights["end 0.0"] - weights["start 0.0"])
    assert 0 < abs(weights["end 0.9"] - weights["start 0.9"]) < 0.5 * moved
