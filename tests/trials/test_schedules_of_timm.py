"""Cosine with a start and a final rate, and its warm-up, against timm's scheduler."""

from __future__ import annotations

import pytest
import torch
from timm.scheduler import CosineLRScheduler

from tests.trials.conftest import MakeSpec
from trials.recipes.schedules import learning_rate, linear, rise


def test_the_cosine_with_its_warm_up_is_timms(make_spec: MakeSpec) -> None:
    """As Swin-Transformer's code fine-tunes: the cosine begins where the warm-up ends."""
    steps, warm, base = 50, 10, 5e-3
    optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=base)
    theirs = CosineLRScheduler(
        optimiser, t_initial=steps - warm, lr_min=1e-6, warmup_t=warm, warmup_lr_init=2e-6, warmup_prefix=True, t_in_epochs=False
    )
    spec = make_spec("finetune", steps=steps, schedule="cosine", warmup=warm / steps, learning_rate=base, warmup_rate=2e-6, final_rate=1e-6)
    for step in range(steps):
        theirs.step_update(step)
        assert learning_rate(spec, step) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9), step


def test_the_linear_schedule_is_torchs(make_spec: MakeSpec) -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.PolynomialLR(optimiser, total_iters=40, power=1.0)
    for step in range(40):
        assert linear(step, steps=40, warmup=0.0) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()
    assert linear(39, steps=40, warmup=0.5, final=0.1) == pytest.approx(0.1 + 0.9 / 20)
    spec = make_spec("finetune", steps=40, schedule="linear", warmup=0.25, learning_rate=0.01)
    assert learning_rate(spec, 10) == pytest.approx(0.01)


def test_a_warm_up_without_a_start_rate_is_what_it_was() -> None:
    assert [rise(step, warmup_steps=4) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [rise(step, warmup_steps=4, start=0.2) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_step_schedule_warms_up_too(make_spec: MakeSpec) -> None:
    """As Mask R-CNN's: a few hundred steps up, then a tenth at each milestone."""
    rates = {"learning_rate": 1.0, "warmup_rate": 0.001, "warmup_length": "10 steps"}
    spec = make_spec("finetune", steps=100, schedule="multi-step", milestones=[0.75], gamma=0.1, **rates)
    assert learning_rate(spec, 0) == pytest.approx(0.001)
    assert learning_rate(spec, 5) == pytest.approx(0.001 + 0.999 / 2)
    assert learning_rate(spec, 10) == 1.0
    assert learning_rate(spec, 75) == pytest.approx(0.1)
