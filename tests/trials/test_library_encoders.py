"""Encoders of timm and torchvision: the libraries' own outputs to the bit, timm's layers, and what
cannot be trained is refused in a sentence.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn

from tests.trials.conftest import MakeSpec
from trials import InputError, SimMIM, build_encoder, run_stage
from trials.models.encoders import at_image_px, check_depth, parse_encoder
from trials.models.heads import Classifier
from trials.models.library_encoder import LibraryEncoder, as_tokens
from trials.models.mae import MaskedAutoencoder
from trials.models.stochastic_depth import StochasticDepth
from trials.objectives.objective import OBJECTIVES
from trials.recipes.named import get_recipe
from trials.spec import stage_id
from trials.training.optimiser import build_optimiser

VIT, RESNET, CONVNEXT, SWIN = "timm:vit_tiny_patch16_224@32", "timm:resnet18@64", "timm:convnext_atto@64", "timm:swin_tiny_patch4_window7_224@64"
OF_TIMM = (VIT, RESNET, CONVNEXT, SWIN)
OF_TORCHVISION = ("torchvision:resnet18@64", "torchvision:swin_t@64", "torchvision:convnext_tiny@64", "torchvision:vit_b_16@32")


def images_for(encoder: LibraryEncoder | nn.Module, count: int = 2) -> Tensor:
    side = encoder.image_px
    assert isinstance(side, int)
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", OF_TIMM)
def test_output_is_timms_forward_features_to_the_bit(name: str) -> None:
    encoder = build_encoder(name).eval()
    assert isinstance(encoder, LibraryEncoder)
    images = images_for(encoder)
    model = name.removeprefix("timm:").partition("@")[0]
    sized = {} if "res" in model or "next" in model else {"img_size": encoder.image_px}
    theirs = timm.create_model(model, num_classes=0, **sized).eval()
    theirs.load_state_dict({key.removeprefix("model."): value for key, value in encoder.state_dict().items()})
    expected = as_tokens(theirs.forward_features(images), encoder._parts.output)
    assert torch.equal(encoder(images), expected[:, encoder.prefix_tokens :])
    assert encoder(images).shape == (2, encoder.patches, encoder.dim)
    assert encoder.feature_maps(images)[-1].shape == (2, encoder.dim, encoder.grid_side, encoder.grid_side)
    if parse_encoder(name).has_cls:
        assert torch.equal(encoder(images, cls=True), expected)


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_torchvisions_models_give_their_own_features(name: str) -> None:
    from torchvision import models

    encoder = build_encoder(name).eval()
    assert isinstance(encoder, LibraryEncoder)
    images = images_for(encoder)
    tokens = encoder(images)
    assert tokens.shape == (2, encoder.patches, encoder.dim)
    short = name.removeprefix("torchvision:").partition("@")[0]
    theirs = models.get_model(short, **({"image_size": encoder.image_px} if short.startswith("vit") else {})).eval()
    own = {key.removeprefix("model."): value for key, value in encoder.state_dict().items()}
    assert not theirs.load_state_dict(own, strict=False).unexpected_keys
    if short.startswith("vit"):
        theirs.heads = nn.Identity()
        torch.testing.assert_close(encoder(images, cls=True)[:, 0], theirs(images))
    else:  # the mean of the tokens is what torchvision's head reads
        for head in ("fc", "head", "classifier"):
            if hasattr(theirs, head):
                setattr(theirs, head, nn.Identity())
        torch.testing.assert_close(tokens.mean(dim=1), theirs(images).flatten(1))
    assert encoder.feature_maps(images)[-1].shape[1] == encoder.dim


@pytest.mark.parametrize("name", OF_TIMM)
def test_the_rate_of_each_layer_is_that_of_timm(name: str) -> None:
    """Of timm's model with its head, which is a layer above the last norm."""
    model = Classifier(build_encoder(name), classes=5, pool="mean")
    groups = build_optimiser(model, get_recipe("finetune", "simmim-vit")).param_groups
    ours = {id(parameter): (group["lr_scale"], group["weight_decay"]) for group in groups for parameter in group["params"]}
    short = name.removeprefix("timm:").partition("@")[0]
    theirs = timm.create_model(short, num_classes=5, **({} if "res" in short or "next" in short else {"img_size": int(name[-2:])}))
    listed = getattr(theirs, "no_weight_decay", set)()
    names = {id(parameter): key for key, parameter in theirs.named_parameters()}
    expected = {
        names[id(parameter)]: (group["lr_scale"], group["weight_decay"])
        for group in param_groups_layer_decay(theirs, weight_decay=0.05, no_weight_decay_list=listed, layer_decay=0.65)
        for parameter in group["params"]
    }
    for key, parameter in model.encoder.named_parameters():
        assert ours[id(parameter)] == pytest.approx(expected[key.removeprefix("model.")]), key
    assert ours[id(model.head.weight)][0] == 1.0


@pytest.mark.parametrize("name", [*OF_TIMM, "torchvision:swin_t@64", "torchvision:vit_b_16@32"])
def test_simmim_hides_embeddings_or_pixels(name: str) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(name)
    model = SimMIM(encoder, unit_px=32 if encoder.image_px > 32 else 16).eval()
    images, masked = images_for(encoder), torch.tensor([[0], [0]])
    changed = torch.where(model.hidden_pixels(masked), torch.randn_like(images), images)
    assert torch.equal(model.predict(images, masked), model.predict(changed, masked))  # what is hidden cannot be seen
    loss = model(images, masked)
    loss.backward()
    assert model.mask_token.grad is not None
    assert bool((model.mask_token.grad != 0).any())


def test_maes_encoder_with_every_patch_shown_is_the_whole_encoder() -> None:
    encoder = build_encoder(VIT).eval()
    images, every = images_for(encoder), torch.arange(4).expand(2, -1)
    torch.testing.assert_close(encoder.encode_shown(images, every), encoder(images, cls=True))
    assert MaskedAutoencoder(encoder, masked=3)(images, every).isfinite()


def test_stochastic_depth_reaches_the_librarys_blocks() -> None:
    for name, blocks in ((VIT, 12), (RESNET, 8), ("torchvision:swin_t@64", 12)):
        encoder = build_encoder(name)
        assert len(encoder.branches()) == blocks
        images = images_for(encoder, 4)
        if "resnet" not in name:  # whose batch norm differs between training and evaluation
            before = encoder.train()(images)
            StochasticDepth(encoder.branches(), 0.9).draw(4, slice(0, 4), torch.Generator().manual_seed(1))
            assert name.startswith("torchvision") or not torch.equal(encoder(images), before)
    check_depth(VIT, 0.1)
    with pytest.raises(InputError, match=r"stochastic_depth: torchvision:resnet18@64 has no residual branches"):
        check_depth("torchvision:resnet18@64", 0.1)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("timm:vit_tiny_patch16_224", r"must read timm:NAME@SIDE with the side of the images in px"),
        ("timm:resnet19@64", r"timm has no model 'resnet19'; near ones are resnet"),
        ("timm:vit_tiny_patch16_224@40", r"'timm:vit_tiny_patch16_224@40'.*"),
        ("timm:resnet18@40", r"the image's side must be a multiple of 32 px, at least 64, not 40"),
        ("timm:mobilenetv3_small_100@64", r"is a MobileNetV3, and of timm only ViT, Swin, ConvNeXt, ResNet models can be used"),
        ("torchvision:resnet19@64", r"torchvision has no model 'resnet19'; near ones are resnet"),
        ("torchvision:alexnet@64", r"is a AlexNet, and of torchvision only"),
        ("timm:resnet18@64+nowhere.safetensors", r"pretrained must be a .safetensors file, and there is none at 'nowhere.safetensors'"),
    ],
)
def test_a_wrong_name_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as raised:
        parse_encoder(name)
    assert "\n" not in str(raised.value)


def test_a_convolutional_encoder_cannot_leave_patches_out() -> None:
    with pytest.raises(InputError, match=r"mae leaves the hidden patches out, and timm:resnet18@64 needs all of an image"):
        OBJECTIVES["mae"].check(RESNET, get_recipe("pretrain", "compact"))
    with pytest.raises(InputError, match=r"pool: cls needs a CLS token, and timm:resnet18@64 has none"):
        OBJECTIVES["classification"].check(RESNET, get_recipe("finetune", "compact", {"pool": "cls"}))


def test_a_file_of_weights_is_read_and_its_contents_are_in_the_id(tmp_path: Path, make_spec: MakeSpec) -> None:
    weights = {key.removeprefix("model."): value + 1 for key, value in build_encoder(VIT).state_dict().items()}
    ids = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        save_file(weights | {"head.weight": torch.zeros(10, 192)}, tmp_path / place / "vit.safetensors")
        name = parse_encoder(f"{VIT}+{tmp_path / place / 'vit.safetensors'}").canonical
        encoder = build_encoder(name)
        assert all(torch.equal(encoder.state_dict()[f"model.{key}"], value) for key, value in weights.items())
        assert parse_encoder(at_image_px(name, 64)).image_px == 64
        ids.append(stage_id(dataclasses.replace(make_spec("finetune"), encoder=name)))
    larger = build_encoder(at_image_px(name, 64))
    assert larger.adapt(encoder.state_dict())["model.pos_embed"].shape == (1, 17, 192)
    assert ids[0] == ids[1] != stage_id(dataclasses.replace(make_spec("finetune"), encoder=VIT))
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"lacks .* of the .* weights of the encoder, such as cls_token: it is of another model"):
        build_encoder(f"{VIT}+{tmp_path / 'other.safetensors'}")
    save_file(weights | {"norm.weight": torch.zeros(1)}, tmp_path / "one" / "vit.safetensors")
    with pytest.raises(InputError, match=r"is not the file that the stage was planned with"):
        parse_encoder(name.replace("/two/", "/one/"))


@pytest.mark.parametrize(("objective", "head"), [("segmentation", "patch-linear"), ("segmentation", "upernet"), ("classification", "patch-linear")])
@pytest.mark.parametrize("name", [VIT, "torchvision:resnet18@64"])
def test_a_stage_trains_a_librarys_encoder(name: str, objective: str, head: str, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """Images of 16 px are enlarged to the side of the encoder."""
    spec = make_spec("finetune", steps=2, head=head, head_channels=8, layer_decay=0.9)
    data = dataclasses.replace(spec.data, image_px=parse_encoder(name).image_px, store_px=16)
    spec = dataclasses.replace(spec, encoder=name, objective=objective, data=data)
    metrics = run_stage(spec, tmp_path / "stages" / stage_id(spec), leaves_store)["metrics"]
    assert 0 <= metrics["miou" if objective == "segmentation" else "accuracy"] <= 1
    assert metrics["train_loss"] > 0
