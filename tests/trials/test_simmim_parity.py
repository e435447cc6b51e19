"""SimMIM against independent implementations with our weights copied over: vit_pytorch's, and
transformers' for ViT and Swin V2.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from vit_pytorch.simmim import SimMIM as ReferenceSimMIM

from tests.trials.test_encoders import reference_vit
from tests.trials.test_swin import scattered
from trials import SimMIM, build_encoder
from trials.models.masking import as_grid, draw_masks, masked_count, refine
from trials.models.swin import SwinV2

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="module")
def transformers() -> Iterator[ModuleType]:
    """The library, kept from asking the network for anything; importing it warns of its own
    dependencies.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
            patch.setenv(name, "1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import transformers

            transformers.Swinv2ForMaskedImageModeling  # noqa: B018  its names are imported when first asked for
            transformers.ViTForMaskedImageModeling  # noqa: B018
        yield transformers


def copy_into(reference: nn.Module, weights: dict[str, Tensor]) -> None:
    """All of the reference's parameters, so that none keeps a value of its own."""
    assert set(weights) == set(dict(reference.named_parameters()))
    reference.load_state_dict({name: value.detach().clone() for name, value in weights.items()}, strict=False)
    reference.eval()


def linear(theirs: str, ours: str, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weight and, where there is one, bias of a layer under another name."""
    return {f"{theirs}.{part}": own[f"{ours}.{part}"] for part in ("weight", "bias") if f"{ours}.{part}" in own}


def test_the_first_papers_form_equals_vit_pytorchs() -> None:
    """Theirs slices positions as if they had three dimensions, so it is given three, and divides
    the mean by the number of masked patches.
    """
    torch.manual_seed(0)
    model = SimMIM(build_encoder("viny/8@32")).eval()
    encoder = reference_vit(model.encoder, 32, 8, classes=2)
    encoder.pos_embedding = nn.Parameter(encoder.pos_embedding[None])
    reference = ReferenceSimMIM(encoder=encoder, masking_ratio=0.5)
    with torch.no_grad():
        reference.mask_token.copy_(model.mask_token)
    reference.to_pixels.load_state_dict(model.decoder.state_dict())
    images = torch.randn(3, 3, 32, 32)
    torch.manual_seed(7)
    theirs = reference(images)
    torch.manual_seed(7)  # which masks they drew
    masked = torch.rand(3, 16).topk(k=8, dim=-1).indices
    torch.testing.assert_close(model(images, masked), theirs * 8, **CLOSE)
    theirs.backward()
    model(images, masked).backward()
    torch.testing.assert_close(model.mask_token.grad, reference.mask_token.grad * 8, **CLOSE)


def compare(model: SimMIM, reference: nn.Module, images: Tensor, masked: Tensor, **options: Tensor) -> None:
    """Loss and all pixels, from masks that each side takes in its own form."""
    side = model.encoder.image_px // model.unit_px
    embedded = refine(masked, side, model.unit_px // model.encoder.embed_px)
    hidden = as_grid(embedded, (model.encoder.image_px // model.encoder.embed_px) ** 2)
    with torch.no_grad():
        said = reference(images, bool_masked_pos=hidden, **options)
        torch.testing.assert_close(model(images, masked), said.loss, **CLOSE)
        rebuilt = model.encoder.to_images(model.decoder(model.encode(images, masked)))
        torch.testing.assert_close(rebuilt, said.reconstruction, **CLOSE)


@pytest.mark.parametrize("unit_px", [8, 16])
def test_a_vit_equals_transformers(transformers: ModuleType, unit_px: int) -> None:
    torch.manual_seed(0)
    encoder = build_encoder("pico/8@32")
    model, size = SimMIM(encoder, unit_px=unit_px).eval(), encoder.size
    config = transformers.ViTConfig(
        hidden_size=size.dim,
        num_hidden_layers=size.depth,
        num_attention_heads=size.heads,
        intermediate_size=size.mlp_dim,
        image_size=32,
        patch_size=8,
        encoder_stride=8,
        qkv_bias=False,
        layer_norm_eps=1e-5,
    )
    own = dict(model.named_parameters())
    # theirs are convolutions: channel, row, column of a patch where ours has row, column, channel
    weights = {
        "vit.embeddings.cls_token": encoder.cls_token[None, None],
        "vit.embeddings.mask_token": model.mask_token[None, None],
        "vit.embeddings.position_embeddings": encoder.positions[None],
        "vit.embeddings.patch_embeddings.projection.weight": own["encoder.embed.0.weight"].view(size.dim, 8, 8, 3).permute(0, 3, 1, 2),
        "vit.embeddings.patch_embeddings.projection.bias": own["encoder.embed.0.bias"],
        "decoder.0.weight": own["decoder.weight"].view(8, 8, 3, -1).permute(2, 0, 1, 3).reshape(192, -1, 1, 1),
        "decoder.0.bias": own["decoder.bias"].view(8, 8, 3).permute(2, 0, 1).flatten(),
    } | linear("vit.layernorm", "encoder.norm", own)
    for layer in range(size.depth):
        there, here = f"vit.layers.{layer}", f"encoder.blocks.{layer}"
        for name, part in zip("qkv", own[f"{here}.attention.qkv.weight"].chunk(3), strict=True):
            weights[f"{there}.attention.{name}_proj.weight"] = part
        weights |= linear(f"{there}.attention.o_proj", f"{here}.attention.project", own)
        weights |= linear(f"{there}.layernorm_before", f"{here}.attention.norm", own)
        weights |= linear(f"{there}.layernorm_after", f"{here}.feed_forward.norm", own)
        weights |= linear(f"{there}.mlp.fc1", f"{here}.feed_forward.expand", own) | linear(f"{there}.mlp.fc2", f"{here}.feed_forward.contract", own)
    reference = transformers.ViTForMaskedImageModeling(config)
    copy_into(reference, weights)
    masked = draw_masks(3, model.units, 0.5, torch.Generator().manual_seed(0))
    # theirs feeds a CLS token; nobody may look at it
    looked_at = torch.cat([torch.zeros(3, 1), torch.ones(3, encoder.patches)], dim=1).long()
    compare(model, reference, torch.randn(3, 3, 32, 32), masked, attention_mask=looked_at)


def swin_weights(model: SimMIM) -> dict[str, Tensor]:
    """Ours under transformers' names."""
    own, size = dict(model.named_parameters()), model.encoder.size
    weights = {
        "swinv2.embeddings.mask_token": model.mask_token[None, None],
        "decoder.0.weight": own["decoder.weight"][..., None, None],
        "decoder.0.bias": own["decoder.bias"],
    }
    weights |= linear("swinv2.embeddings.patch_embeddings.projection", "encoder.features.0.0", own)
    weights |= linear("swinv2.embeddings.norm", "encoder.features.0.2", own) | linear("swinv2.layernorm", "encoder.norm", own)
    for stage, depth in enumerate(size.depths):
        for number in range(depth):
            there, here = f"swinv2.encoder.layers.{stage}.blocks.{number}", f"encoder.features.{1 + 2 * stage}.{number}"
            for name, part in zip(("query", "key", "value"), own[f"{here}.attn.qkv.weight"].chunk(3), strict=True):
                weights[f"{there}.attention.self.{name}.weight"] = part
            weights[f"{there}.attention.self.query.bias"] = own[f"{here}.attn.query_bias"]
            weights[f"{there}.attention.self.value.bias"] = own[f"{here}.attn.value_bias"]
            weights[f"{there}.attention.self.logit_scale"] = own[f"{here}.attn.logit_scale"]
            for layer in (0, 2):
                weights |= linear(f"{there}.attention.self.continuous_position_bias_mlp.{layer}", f"{here}.attn.cpb_mlp.{layer}", own)
            weights |= linear(f"{there}.attention.output.dense", f"{here}.attn.proj", own)
            weights |= linear(f"{there}.layernorm_before", f"{here}.norm1", own) | linear(f"{there}.layernorm_after", f"{here}.norm2", own)
            weights |= linear(f"{there}.intermediate.dense", f"{here}.mlp.0", own) | linear(f"{there}.output.dense", f"{here}.mlp.3", own)
        if stage < len(size.depths) - 1:
            there, here = f"swinv2.encoder.layers.{stage}.downsample", f"encoder.features.{2 + 2 * stage}"
            weights |= linear(f"{there}.reduction", f"{here}.reduction", own) | linear(f"{there}.norm", f"{here}.norm", own)
    return weights


@pytest.mark.parametrize(("image_px", "unit_px"), [(64, 32), (128, 32), (64, 16), (128, 64)])
def test_swinv2_equals_transformers(transformers: ModuleType, image_px: int, unit_px: int) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(f"swinv2-pico@{image_px}")
    assert isinstance(encoder, SwinV2)
    model = SimMIM(scattered(encoder), unit_px=unit_px, token_start="truncated").eval()
    config = transformers.Swinv2Config(
        image_size=image_px,
        patch_size=4,
        embed_dim=encoder.size.channels,
        depths=list(encoder.size.depths),
        num_heads=[1, 2, 4, 8],
        window_size=image_px // 16,
        pretrained_window_sizes=[12, 12, 12, 6],
        encoder_stride=32,
        layer_norm_eps=1e-5,
        drop_path_rate=0.0,
    )
    reference = transformers.Swinv2ForMaskedImageModeling(config)
    copy_into(reference, swin_weights(model))
    masked = draw_masks(2, model.units, 0.6, torch.Generator().manual_seed(0), "up")
    assert masked.shape[1] == masked_count(model.units, 0.6, "up")
    compare(model, reference, torch.randn(2, 3, image_px, image_px), masked)
