"""What the second paper's code does beside its text, against the formulas of its files, step by step
and parameter by parameter.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.trials.conftest import MakeSpec, changed
from trials import RECIPES, build_encoder
from trials.models.heads import Classifier
from trials.models.mim_targets import WINDOW_PX, window_statistics
from trials.models.simmim import simmim
from trials.recipes.fields import PretrainRecipe
from trials.recipes.schedules import learning_rate
from trials.training.layer_decay import layer_decay
from trials.training.optimiser import build_optimiser


@pytest.mark.parametrize(("name", "prefix"), [("simmim-vit", False), ("simmim-swinv2", True)])
def test_the_cosine_of_each_repository_at_every_step(name: str, prefix: bool, make_spec: MakeSpec) -> None:
    """timm's CosineLRScheduler, as lr_scheduler.py of microsoft/SimMIM calls it, and that of
    microsoft/Swin-Transformer with `warmup_prefix` and as many steps fewer: from 1e-6 up to 5e-3 and
    down to 1e-6 again.
    """
    steps, warm = 500, 100
    spec = changed(make_spec("finetune", steps=steps), recipe=RECIPES["finetune"][name])
    for step in range(warm, steps):
        done = (step - warm) / (steps - warm) if prefix else step / steps
        theirs = 1e-6 + 0.5 * (5e-3 - 1e-6) * (1 + math.cos(math.pi * done))
        assert learning_rate(spec, step) == pytest.approx(theirs, rel=1e-12)
    for step in range(warm):
        assert learning_rate(spec, step) == pytest.approx(1e-6 + (5e-3 - 1e-6) * step / warm, rel=1e-12)
    after = learning_rate(spec, warm) / 5e-3
    assert after == pytest.approx(1.0 if prefix else 0.9045, abs=1e-4)


def test_the_step_schedule_of_pretraining_at_every_step(make_spec: MakeSpec) -> None:
    """Warm-up from 2e-6 over 6,250 steps, then the base rate until 7/8 of the steps, then a tenth."""
    spec = changed(make_spec("pretrain", steps=20_000, train_images=128_117), recipe=RECIPES["pretrain"]["simmim-swinv2"])
    rates = np.array([learning_rate(spec, step) for step in range(20_000)])
    assert rates[:6_250] == pytest.approx(2e-6 + (4e-4 - 2e-6) * np.arange(6_250) / 6_250, rel=1e-12)
    assert (rates[6_250:17_500] == 4e-4).all()
    assert rates[17_500:] == pytest.approx(4e-5)


def decayed(model: nn.Module, kind: str, **fields: object) -> set[str]:
    recipe = dataclasses.replace(RECIPES[kind]["simmim-swinv2"], **fields)  # type: ignore[arg-type]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)] for group in build_optimiser(model, recipe).param_groups if group["weight_decay"] > 0 for p in group["params"]}


def test_pretraining_decays_the_position_bias_and_finetuning_does_not() -> None:
    recipe = RECIPES["pretrain"]["simmim-swinv2"]
    assert isinstance(recipe, PretrainRecipe)
    with torch.device("meta"):
        model = simmim(recipe, build_encoder("swinv2-s"))
        classifier = Classifier(build_encoder("swinv2-s"), classes=3, pool="mean")

    def of_bias(names: set[str]) -> set[str]:
        return {name for name in names if "cpb_mlp" in name or name.endswith("logit_scale")}

    every = {name for name, p in model.named_parameters() if p.ndim > 1 and ("cpb_mlp" in name or name.endswith("logit_scale"))}
    assert len(every) == 24 * 3  # two layers and a scale in each block
    assert of_bias(decayed(model, "pretrain")) == every
    assert of_bias(decayed(model, "pretrain", decay_position_bias=False)) == set()  # what the authors meant
    assert of_bias(decayed(classifier, "finetune")) == set()
    assert not {name for name in decayed(model, "pretrain") if name.endswith(("_token", ".bias")) or ".norm" in name}


@pytest.mark.parametrize(("encoder", "expected"), [("swinv2-s", 0.8), ("swinv2-b", 0.75), ("swinv2-l", 0.7), ("pico/4@16", 0.75)])
def test_the_layer_decay_falls_with_the_size(encoder: str, expected: float) -> None:
    with torch.device("meta"):
        model = Classifier(build_encoder(encoder), classes=3, pool="mean")
    recipe = RECIPES["finetune"]["simmim-swinv2"]
    assert layer_decay(model, recipe) == expected
    assert layer_decay(model, dataclasses.replace(recipe, layer_decay_by_size=False, layer_decay=0.9)) == 0.9  # type: ignore[call-arg]
    assert layer_decay(model, RECIPES["pretrain"]["simmim-swinv2"]) == 1.0


@pytest.mark.parametrize("sigma", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("offset", [0.0, 2.5])
def test_statistics_of_nearly_flat_windows_are_right(sigma: float, offset: float) -> None:
    """Against float64 over each window: float32 sums were off by up to .3 of the deviation at 1e-3."""
    images = (offset + sigma * torch.randn(1, 3, 60, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).float()
    mean, deviation = window_statistics(images)
    exact = images.double().numpy()[0]
    reach = WINDOW_PX // 2
    for y, x in ((0, 0), (5, 59), (30, 30), (59, 17)):
        window = exact[:, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].reshape(3, -1)
        assert mean[0, :, y, x].numpy() == pytest.approx(window.mean(axis=1), abs=1e-6)
        assert deviation[0, :, y, x].numpy() == pytest.approx(np.sqrt(window.var(axis=1, ddof=1) + 1e-6), rel=1e-5)
