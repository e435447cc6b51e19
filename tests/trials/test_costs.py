"""Costs counted on models without weights agree with counts by hand and with models that have
weights.
"""

from __future__ import annotations

import pytest

from tests.trials.conftest import MakeSpec, changed
from trials import build_encoder, count_parameters
from trials.cost.costs import stage_cost
from trials.objectives.objective import build_fresh, example_loss


@pytest.mark.parametrize(
    ("kind", "objective"), [("pretrain", "simmim"), ("intermediate", "classification"), ("intermediate", "spatial"), ("finetune", "segmentation")]
)
def test_parameters_are_those_of_a_model_with_weights(make_spec: MakeSpec, kind: str, objective: str) -> None:
    spec = changed(make_spec(kind), objective=objective)
    assert stage_cost(spec).parameters == count_parameters(build_fresh(spec)) > count_parameters(build_encoder(spec.encoder))
    assert stage_cost(spec).state_bytes == 3 * stage_cost(spec).weights_bytes


def test_arithmetic_is_that_of_the_matrix_products(make_spec: MakeSpec) -> None:
    """pico/4@16: 16 tokens of 64; two operations a multiply-add, the backward pass twice the
    forward, but not back into the pixels.
    """
    spec = make_spec("finetune")
    tokens, dim, inner, mlp, depth, patch = 16, 64, 64, 256, 4, 48
    block = tokens * dim * (3 * inner + inner + 2 * mlp) + 2 * tokens * tokens * inner
    forward = depth * block + tokens * dim * (4 * 4 * 3)
    embed = tokens * patch * dim
    assert stage_cost(spec).train_flops_per_image == pytest.approx(2 * (3 * forward + 2 * embed), rel=0.01)


def test_what_does_not_change_a_stage_does_not_change_its_cost(make_spec: MakeSpec) -> None:
    spec = make_spec("pretrain")
    assert stage_cost(spec) is stage_cost(changed(spec, seed=1, steps=99, parent="pretrain-0"))
    assert stage_cost(changed(spec, encoder="nano/4@16")).parameters > stage_cost(spec).parameters


def test_an_example_loss_trains_every_parameter_that_is_read(make_spec: MakeSpec) -> None:
    import torch

    spec = changed(make_spec("pretrain"))
    model = build_fresh(spec)
    example_loss(model, spec, torch.randn(2, 3, 16, 16)).backward()
    unread = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert unread == {"encoder.cls_token"}
