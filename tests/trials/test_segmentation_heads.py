"""Segmentation heads: UPerNet is transformers' to rounding, its maps are those of BEiT and of the
libraries, its dropout is drawn by step, and each head trains on each kind of encoder.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BeitConfig, UperNetConfig
from transformers.models.beit.modeling_beit import BeitFPNNeck
from transformers.models.upernet.modeling_upernet import UperNetFCNHead, UperNetHead

from tests.trials.conftest import MakeSpec, changed
from tests.trials.test_objectives import objective_of
from trials import InputError, build_encoder, run_stage, stage_id
from trials.models.encoder import as_map
from trials.models.segmentation_heads.four_maps import FeatureMaps
from trials.models.segmentation_heads.head import HEADS, ChannelDropout, at_pixels
from trials.models.segmentation_heads.linear_tokens import LinearTokens
from trials.models.segmentation_heads.upernet import FCNHead, UPerHead, UPerNet
from trials.objectives.segmentation import Segmentation
from trials.recipes.fields import FinetuneRecipe
from trials.recipes.named import get_recipe
from trials.spec import StageSpec

WIDTHS = (6, 8, 10, 12)
OF_ONE_RESOLUTION = ("pico/8@32", "timm:vit_tiny_patch16_224@32", "torchvision:vit_b_16@32")
IN_STAGES = (
    "swinv2-pico@64",
    "timm:resnet18@64",
    "timm:convnext_atto@64",
    "timm:swin_tiny_patch4_window7_224@64",
    "torchvision:resnet18@64",
    "torchvision:swin_t@64",
    "torchvision:convnext_tiny@64",
)


def stirred(model: nn.Module, seed: int = 0) -> None:
    """Give every weight and every running mean a value that matters."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in model.state_dict().items():
            if values.dtype.is_floating_point:
                values.copy_(torch.randn(values.shape, generator=draws) * 0.3 + (1 if "var" in name or "norm.weight" in name else 0))
                if "var" in name:
                    values.abs_()


@pytest.mark.parametrize("training", [True, False])
def test_upernet_is_that_of_transformers(training: bool) -> None:
    torch.manual_seed(0)
    maps = [torch.randn(3, width, side, side) for width, side in zip(WIDTHS, (16, 8, 4, 2), strict=True)]
    config = UperNetConfig(hidden_size=14, num_labels=5, auxiliary_channels=7, auxiliary_concat_input=False, auxiliary_num_convs=1)
    pairs: list[tuple[nn.Module, nn.Module, object, object]] = [
        (UPerHead(WIDTHS, channels=14, classes=5, dropout=0.1), UperNetHead(config, WIDTHS), list(maps), list(maps)),
        (FCNHead(WIDTHS[2], channels=7, classes=5, dropout=0.1), UperNetFCNHead(config, WIDTHS), maps[2], list(maps)),
    ]
    for ours, theirs, mine, yours in pairs:
        stirred(ours)
        theirs.load_state_dict(ours.state_dict())
        ours.train(training)
        theirs.train(training)
        torch.testing.assert_close(ours(mine), theirs(yours), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()), atol=1e-5, rtol=1e-5)


def test_a_vits_maps_are_its_tokens_at_four_depths_scaled_as_beits() -> None:
    torch.manual_seed(0)
    encoder = build_encoder("nano/8@32")
    scaled = FeatureMaps(encoder)
    assert scaled.after == (2, 3, 4, 6)  # of 6 blocks
    assert FeatureMaps(build_encoder("viny/16@128")).after == (4, 6, 8, 12)
    theirs = BeitFPNNeck(BeitConfig(hidden_size=encoder.dim))
    names = {"conv_transpose1": "0", "normalization": "1", "conv_transpose2": "3"}
    theirs.load_state_dict(
        {f"fpn1.{name}.{key}": value for name, place in names.items() for key, value in scaled.scales[0][int(place)].state_dict().items()}
        | {f"fpn2.{key}": value for key, value in scaled.scales[1].state_dict().items()}
    )
    images = torch.randn(2, 3, 32, 32)
    after: dict[int, Tensor] = {}
    for number, block in enumerate(encoder.blocks, start=1):
        block.register_forward_hook(lambda _module, _inputs, output, number=number: after.update({number: output}))
    output = encoder(images, cls=False)
    expected = theirs(tuple(as_map(tokens) for tokens in (after[2], after[3], after[4], output)))
    found = scaled(encoder, images)
    torch.testing.assert_close(found, list(expected), atol=1e-6, rtol=1e-5)
    assert [one.shape[-1] for one in found] == [16, 8, 4, 2]


@pytest.mark.parametrize("name", OF_ONE_RESOLUTION[1:])
def test_depths_of_a_librarys_vit_are_its_blocks_and_its_output(name: str) -> None:
    encoder = build_encoder(name).eval()
    images = torch.randn(2, 3, 32, 32)
    model = encoder.model
    blocks = model.blocks if name.startswith("timm") else model.encoder.layers
    after: dict[int, Tensor] = {}
    for number, block in enumerate(blocks, start=1):
        block.register_forward_hook(lambda _module, _inputs, output, number=number: after.update({number: output}))
    output = encoder(images)
    first, again, last = encoder.token_maps(images, (4, 4, 12))
    assert torch.equal(first, as_map(after[4][:, 1:]))
    assert torch.equal(first, again)
    torch.testing.assert_close(last, as_map(output))


@pytest.mark.parametrize("name", IN_STAGES)
def test_the_maps_of_stages_have_the_channels_that_are_said(name: str) -> None:
    encoder = build_encoder(name)
    maps = FeatureMaps(encoder)(encoder, torch.randn(2, 3, 64, 64))
    expected = [(2, width, 64 // stride, 64 // stride) for width, stride in zip(encoder.map_channels, (4, 8, 16, 32), strict=True)]
    assert [tuple(one.shape) for one in maps] == expected
    if encoder.raw_maps:
        torch.testing.assert_close(maps[0].mean(dim=1), torch.zeros(2, 16, 16), atol=1e-5, rtol=0)


def test_a_recipe_offers_every_head() -> None:
    assert set(get_args(get_type_hints(FinetuneRecipe)["head"])) == set(HEADS)


def test_a_plug_in_adds_a_head_that_a_recipe_can_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Grey(LinearTokens):
        name = "grey"

    recipe = get_recipe("finetune", "compact", {"head": "grey"})
    with pytest.raises(InputError, match="head: there is no segmentation head 'grey'; "):
        Segmentation.check("pico/8@32", recipe)
    monkeypatch.setitem(HEADS._things, "grey", Grey)
    Segmentation.check("pico/8@32", recipe)
    assert type(Segmentation.build(build_encoder("pico/8@32"), recipe, classes=3)) is Grey
    with pytest.raises(InputError, match=r"head must be one of patch-linear, upernet, linear, not '\.\./grey'"):
        get_recipe("finetune", "compact", {"head": "../grey"})


def test_linear_tokens_are_interpolated_between_the_tokens() -> None:
    torch.manual_seed(0)
    model = LinearTokens(build_encoder("pico/8@32"), classes=3).eval()
    model.norm.running_mean.fill_(0.5)
    model.norm.running_var.fill_(4.0)
    images = torch.randn(2, 3, 32, 32)
    tokens = (model.encoder(images, cls=False) - 0.5) / (4 + model.norm.eps) ** 0.5
    coarse = F.linear(tokens, model.head.weight.flatten(1), model.head.bias).transpose(1, 2).unflatten(2, (4, 4))
    expected = F.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=1e-5)


def test_dropped_channels_are_drawn_for_the_whole_batch() -> None:
    whole, part = ChannelDropout(400, 0.25), ChannelDropout(400, 0.25)
    whole.draw(6, slice(0, 6), torch.Generator().manual_seed(3))
    part.draw(6, slice(2, 4), torch.Generator().manual_seed(3))
    values = torch.ones(6, 400, 2, 2)
    dropped = whole(values)
    assert torch.equal(part(values[2:4]), dropped[2:4])
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.04)
    assert torch.equal(dropped[:, :, 0, 0], dropped[:, :, 1, 1])
    assert torch.equal(whole.eval()(values), values)


def upernet_spec(make_spec: MakeSpec, **recipe: object) -> StageSpec:
    return make_spec("finetune", head="upernet", head_channels=8, **recipe)


def test_the_loss_of_upernet_adds_the_auxiliary_one_at_a_weight_of_04(make_spec: MakeSpec, leaves_store: Path) -> None:
    stage = objective_of(upernet_spec(make_spec, head_dropout=0.0), leaves_store)
    assert isinstance(stage, Segmentation)
    assert isinstance(stage.model, UPerNet)
    images, crops, positions = stage._batches.take(3)
    truth = stage._batches.pictures.masks(positions, crops).long()
    maps = stage.model.maps(stage.model.encoder, images)
    logits = (stage.model.decode_head(maps), stage.model.auxiliary_head(maps[2]))
    main, auxiliary = (F.interpolate(one, size=(16, 16), mode="bilinear") for one in logits)
    expected = F.cross_entropy(main, truth) + 0.4 * F.cross_entropy(auxiliary, truth)
    torch.testing.assert_close(stage.loss(3), expected)


def test_dropout_is_a_function_of_the_step(make_spec: MakeSpec, leaves_store: Path) -> None:
    stage = objective_of(upernet_spec(make_spec, head_dropout=0.5), leaves_store)
    with torch.no_grad():
        first, other, again = (float(stage.loss(step)) for step in (1, 2, 1))
    plain = objective_of(upernet_spec(make_spec, head_dropout=0.0), leaves_store)
    assert first == again
    assert first != other
    assert first != float(plain.loss(1).detach())


@pytest.mark.parametrize("head", ["upernet", "linear"])
def test_a_stage_with_the_head_is_trained_and_scored(head: str, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("finetune", head=head, head_channels=8, layer_decay=0.9, stochastic_depth=0.1)
    assert stage_id(spec) != stage_id(make_spec("finetune", layer_decay=0.9, stochastic_depth=0.1))
    metrics = run_stage(spec, tmp_path / "stages" / stage_id(spec), leaves_store)["metrics"]
    assert 0 < metrics["miou"] < 1
    assert metrics["test_images"] == 16


@pytest.mark.parametrize("name", [*OF_ONE_RESOLUTION[:2], *IN_STAGES[:4], "torchvision:resnet18@64"])
def test_upernet_trains_every_encoder(name: str) -> None:
    """The loss of one batch falls, and reaches every weight of the head."""
    torch.manual_seed(0)
    encoder = build_encoder(name)
    model = UPerNet(encoder, classes=3, channels=16)
    images = torch.randn(2, 3, encoder.image_px, encoder.image_px)
    truth = (images.mean(dim=1) > 0).long()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(4):
        optimiser.zero_grad()
        loss = sum(weight * F.cross_entropy(logits, truth) for weight, logits in model.training_logits(images))
        assert isinstance(loss, Tensor)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(one.grad is not None for part in (model.maps, model.decode_head, model.auxiliary_head) for one in part.parameters())


def test_a_head_that_normalises_over_a_batch_of_one_is_refused() -> None:
    recipe = dataclasses.replace(get_recipe("finetune", "compact"), head="upernet", batch_images=1)  # type: ignore[call-arg]
    with pytest.raises(InputError, match=r"^head: upernet normalises over the images of a batch: set batch_images to 2 or more"):
        Segmentation.check("pico/8@32", recipe)


def test_the_default_head_leaves_ids_as_they_were(make_spec: MakeSpec) -> None:
    spec = make_spec("finetune")
    assert stage_id(changed(spec, recipe=dataclasses.replace(spec.recipe, head="patch-linear", head_channels=512))) == stage_id(spec)  # type: ignore[call-arg]


def test_logits_are_brought_to_the_pixels_in_float32() -> None:
    """Interpolated in bf16 they would take few values between two tokens."""
    coarse = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    expected = F.interpolate(coarse.float(), size=(32, 32), mode="bilinear", align_corners=False)
    assert torch.equal(at_pixels(coarse, torch.zeros(2, 3, 32, 32)), expected)


def test_the_classifiers_of_upernet_begin_as_mmsegmentations_do() -> None:
    torch.manual_seed(0)
    model = UPerNet(build_encoder("pico/8@32"), classes=40, channels=64)
    assert [part.classifier.in_channels for part in (model.decode_head, model.auxiliary_head)] == [64, 32]
    for part in (model.decode_head, model.auxiliary_head):
        assert float(part.classifier.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
        assert not part.classifier.bias.any()
