"""MixUp and layer decay against independent references, and the optimiser's groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, kstest
from torch.nn import functional as F
from torchvision.transforms import v2

from tests.trials.conftest import MakeSpec, changed
from trials import build_encoder, run_stage, stage_id
from trials.models.heads import Classifier
from trials.objectives.mixing import blend, blended_cross_entropy, draw_share
from trials.recipes.named import get_recipe
from trials.training.optimiser import build_optimiser


@given(seed=st.integers(0, 300), share=st.floats(0, 1), smoothing=st.sampled_from([0.0, 0.1]))
def test_mixup_is_torchvisions(seed: int, share: float, smoothing: float) -> None:
    """The same pictures, and the loss of torchvision's blended labels, label smoothing included."""
    random = torch.Generator().manual_seed(seed)
    images, logits = torch.randn(6, 3, 4, 4, generator=random), torch.randn(6, 5, generator=random)
    labels = torch.randint(0, 5, (6,), generator=random)
    theirs = v2.MixUp(alpha=0.8, num_classes=5)
    parameters = {"labels": labels, "batch_size": 6, "lam": share}
    mixed, soft = theirs.transform(images, parameters), theirs.transform(labels, parameters)
    torch.testing.assert_close(blend(images, images.roll(1, 0), (share, 1 - share)), mixed, atol=0, rtol=0)
    ours = blended_cross_entropy(logits, labels, labels.roll(1, 0), (share, 1 - share), smoothing)
    torch.testing.assert_close(ours, F.cross_entropy(logits, soft, label_smoothing=smoothing), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.1, 0.8])
def test_shares_follow_the_beta_distribution_and_the_seed(alpha: float) -> None:
    drawn = np.array([draw_share(alpha, seed=3, step=step) for step in range(1500)])
    assert kstest(drawn, beta(alpha, alpha).cdf).pvalue > 0.001
    assert draw_share(alpha, seed=3, step=7) == drawn[7] != draw_share(alpha, seed=4, step=7)
    assert draw_share(0.0, seed=3, step=7) == 1.0


VIT_LAYER = {  # of pico, which has 4 blocks; from SimMIM's get_vit_layer
    "encoder.cls_token": 0,
    "encoder.positions": 0,
    "encoder.embed.0.weight": 0,
    "encoder.blocks.0.attention.qkv.weight": 1,
    "encoder.blocks.3.feed_forward.contract.bias": 4,
    "encoder.norm.weight": 5,
    "head.weight": 5,
}


def test_the_rate_of_a_vits_layer_is_that_of_the_layer_above_times_the_decay() -> None:
    model = Classifier(build_encoder("pico/4@16"), classes=3, pool="cls")
    recipe = get_recipe("finetune", "simmim-vit")
    optimiser = build_optimiser(model, recipe)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    of = {names[id(p)]: group for group in optimiser.param_groups for p in group["params"]}
    assert set(of) == {name for name, _ in model.named_parameters()}
    for name, layer in VIT_LAYER.items():
        assert of[name]["lr_scale"] == pytest.approx(0.65 ** (5 - layer))
        assert of[name]["lr"] == pytest.approx(5e-3 * 0.65 ** (5 - layer))
    assert {name for name in VIT_LAYER if of[name]["weight_decay"] == 0} == {
        "encoder.cls_token",
        "encoder.positions",
        "encoder.blocks.3.feed_forward.contract.bias",
        "encoder.norm.weight",
    }


SWIN_LAYER = {  # of swinv2-s, depths 2, 2, 18, 2; from SimMIM's get_swin_layer
    "encoder.features.0.0.weight": 0,
    "encoder.features.0.2.bias": 0,
    "encoder.features.1.0.attn.qkv.weight": 1,
    "encoder.features.1.1.mlp.0.weight": 2,
    "encoder.features.2.reduction.weight": 2,
    "encoder.features.3.0.norm1.weight": 3,
    "encoder.features.4.norm.weight": 4,
    "encoder.features.5.17.attn.logit_scale": 22,
    "encoder.features.6.reduction.weight": 22,
    "encoder.features.7.1.attn.cpb_mlp.0.weight": 24,
    "encoder.norm.bias": 25,
    "head.weight": 25,
}


def test_the_rate_of_a_swins_layer_is_that_of_the_layer_above_times_the_decay() -> None:
    with torch.device("meta"):
        model = Classifier(build_encoder("swinv2-s"), classes=3, pool="mean")
    optimiser = build_optimiser(model, get_recipe("finetune", "simmim-swinv2"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    of = {names[id(p)]: group for group in optimiser.param_groups for p in group["params"]}
    assert set(of) == {name for name, _ in model.named_parameters()}
    for name, layer in SWIN_LAYER.items():
        assert of[name]["lr_scale"] == pytest.approx(0.8 ** (25 - layer))  # SwinV2-S's
    # the scale of the cosine attention and what makes its position bias are not decayed, as in
    # Microsoft's code
    free = {name for name in SWIN_LAYER if of[name]["weight_decay"] == 0}
    assert free == {name for name in SWIN_LAYER if name.endswith("bias") or ".norm" in name or "logit_scale" in name or "cpb_mlp" in name}


@pytest.mark.parametrize("name", ["compact", "ucl-paper"])
def test_without_layer_decay_the_groups_are_those_of_before(name: str) -> None:
    model = Classifier(build_encoder("pico/4@16"), classes=3, pool="cls")
    groups = build_optimiser(model, get_recipe("finetune", name)).param_groups
    free = {n for n, p in model.named_parameters() if name == "compact" and (p.ndim <= 1 or n == "encoder.positions")}
    expected = [[p for n, p in model.named_parameters() if n not in free], [p for n, p in model.named_parameters() if n in free]]
    assert [[id(p) for p in group["params"]] for group in groups] == [[id(p) for p in members] for members in expected if members]
    assert all("lr_scale" not in group for group in groups)


def test_a_stage_trains_each_layer_at_its_rate(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """Adam's first step is the rate in each coordinate with a gradient, so one step shows every
    layer's rate.
    """
    from safetensors.torch import load_file

    from tests.trials.test_objectives import objective_of

    still = {"schedule": "multi-step", "weight_decay": 0.0, "clip_norm": 0.0, "layer_decay": 0.5, "learning_rate": 1e-3}
    spec = changed(make_spec("finetune", steps=1, **still), objective="classification")
    folder = tmp_path / "stages" / stage_id(spec)
    run_stage(spec, folder, leaves_store)
    before, after = objective_of(spec, leaves_store).model.state_dict(), load_file(folder / "checkpoint" / "weights.safetensors")
    for name, layer in VIT_LAYER.items():
        if name != "encoder.cls_token":  # which a head on the mean token never feeds
            moved = (after[name] - before[name]).abs().max()
            assert float(moved) == pytest.approx(1e-3 * 0.5 ** (5 - layer), rel=0.02)
