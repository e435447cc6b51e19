"""MAE against transformers' ViTMAE: the same loss and gradients on the same weights and masks."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from trials import InputError, build_encoder
from trials.models.encoder import patchify
from trials.models.mae import MaskedAutoencoder, check_dropping, masked_autoencoder
from trials.models.vit import ViT
from trials.objectives.objective import OBJECTIVES
from trials.recipes.fields import PretrainRecipe
from trials.recipes.named import get_recipe

TOP = {
    "encoder.cls_token": "vit.embeddings.cls_token",
    "encoder.positions": "vit.embeddings.position_embeddings",
    "encoder.embed.0.weight": "vit.embeddings.patch_embeddings.projection.weight",
    "encoder.embed.0.bias": "vit.embeddings.patch_embeddings.projection.bias",
    "encoder.norm": "vit.layernorm",
    "mask_token": "decoder.mask_token",
    "narrow": "decoder.decoder_embed",
    "norm": "decoder.decoder_norm",
    "values": "decoder.decoder_pred",
}
IN_A_BLOCK = {
    "attention.norm": "layernorm_before",
    "attention.project": "attention.o_proj",
    "feed_forward.norm": "layernorm_after",
    "feed_forward.expand": "mlp.fc1",
    "feed_forward.contract": "mlp.fc2",
}


def theirs(name: str, value: Tensor, patch_px: int) -> dict[str, Tensor]:
    """A weight or gradient of ours as transformers names and shapes it."""
    block = re.match(r"(encoder\.)?blocks\.(\d+)\.(.+)", name)
    if block is not None:
        prefix = f"{'vit.layers' if block[1] else 'decoder.decoder_layers'}.{block[2]}."
        if block[3] == "attention.qkv.weight":
            return {f"{prefix}attention.{one}_proj.weight": part for one, part in zip("qkv", value.chunk(3), strict=True)}
        part, _, kind = block[3].rpartition(".")
        return {f"{prefix}{IN_A_BLOCK[part]}.{kind}": value}
    if name in ("encoder.cls_token", "encoder.positions", "mask_token"):
        return {TOP[name]: value.reshape(1, -1, value.shape[-1])}
    if name == "encoder.embed.0.weight":
        return {TOP[name]: value.view(-1, patch_px, patch_px, 3).permute(0, 3, 1, 2)}
    if name in TOP:
        return {TOP[name]: value}
    part, _, kind = name.rpartition(".")
    return {f"{TOP[part]}.{kind}": value}


def reference_of(model: MaskedAutoencoder) -> ViTMAEForPreTraining:
    """ViTMAE with our weights."""
    encoder = model.encoder
    assert isinstance(encoder, ViT)
    width = model.narrow.out_features
    config = ViTMAEConfig(
        image_size=encoder.image_px,
        patch_size=encoder.patch_px,
        hidden_size=encoder.dim,
        num_hidden_layers=encoder.layers,
        num_attention_heads=encoder.size.heads,
        intermediate_size=encoder.size.mlp_dim,
        decoder_hidden_size=width,
        decoder_num_hidden_layers=len(model.blocks),
        decoder_num_attention_heads=width // 32,
        decoder_intermediate_size=4 * width,
        mask_ratio=0.75,
        norm_pix_loss=model.by_patch,
        qkv_bias=False,
        layer_norm_eps=1e-5,
    )
    reference = ViTMAEForPreTraining(config).eval()
    copied: dict[str, Tensor] = {}
    for name, value in model.named_parameters():
        copied |= theirs(name, value.detach().clone(), encoder.patch_px)
    copied["decoder.decoder_pos_embed"] = torch.cat([torch.zeros(1, width), model.decoder_positions])[None]
    reference.load_state_dict(copied)
    return reference


@pytest.mark.parametrize("by_patch", [True, False])
def test_loss_and_gradients_are_those_of_vitmae(by_patch: bool) -> None:
    torch.manual_seed(3)
    encoder = build_encoder("pico/8@32")
    model = MaskedAutoencoder(encoder, masked=12, by_patch=by_patch, width=64, blocks=2)
    reference = reference_of(model)
    reference.vit.embeddings.position_embeddings.requires_grad_(True)
    images, order = torch.randn(5, 3, 32, 32), torch.stack([torch.randperm(16) for _ in range(5)])
    ranks = torch.zeros(5, 16).scatter_(1, order, torch.arange(15, -1, -1.0).expand(5, -1))  # ViTMAE shows the places of the lowest noise

    loss = model(images, order)
    expected = reference(images, noise=ranks).loss
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    loss.backward()
    expected.backward()
    of_theirs = dict(reference.named_parameters())
    compared = 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        for their_name, gradient in theirs(name, parameter.grad, 8).items():
            found = of_theirs[their_name].grad
            assert found is not None
            torch.testing.assert_close(gradient, found, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
            compared += 1
    assert compared == sum(1 for _ in reference.named_parameters()) - 1  # all but the decoder's fixed positions


def test_the_loss_of_each_image_is_its_own() -> None:
    torch.manual_seed(0)
    model = masked_autoencoder(PretrainRecipe(learning_rate=1e-3, weight_decay=0.0), build_encoder("pico/8@32"))
    assert model.masked == 12
    images, order = torch.randn(4, 3, 32, 32), torch.stack([torch.randperm(16) for _ in range(4)])
    every = model(images, order, per_image=True)
    torch.testing.assert_close(every.mean(), model(images, order))
    torch.testing.assert_close(every[2], model(images[2:3], order[2:3]))


def test_what_is_hidden_cannot_be_seen_and_what_is_shown_is_kept() -> None:
    torch.manual_seed(0)
    model = MaskedAutoencoder(build_encoder("pico/8@32"), masked=12)
    images, order = torch.randn(2, 3, 32, 32), torch.stack([torch.randperm(16) for _ in range(2)])
    hidden = model.hidden_pixels(order)
    assert int(hidden.sum()) == 2 * 12 * 64
    changed = torch.where(hidden, torch.randn_like(images), images)
    torch.testing.assert_close(model.predict(changed, order), model.predict(images, order))
    rebuilt = model.reconstruct(images, order)
    shown = ~hidden.expand_as(images)
    assert torch.equal(rebuilt[shown], images[shown])
    # a patch has the prediction's values with the true patch's mean and deviation
    first = patchify(rebuilt, 8)[0, order[0, 0]]
    true = patchify(images, 8)[0, order[0, 0]]
    torch.testing.assert_close(first, model.predict(images, order)[0, 0] * (true.var() + 1e-6).sqrt() + true.mean())


def test_an_encoder_that_needs_all_of_an_image_is_refused_in_a_sentence() -> None:
    recipe = get_recipe("pretrain", "compact")
    with pytest.raises(InputError, match=r"mae leaves the hidden patches out, and swinv2-pico@64 needs all of an image: take a ViT"):
        OBJECTIVES["mae"].check("swinv2-pico@64", recipe)
    check_dropping("pico/8@32")
    with pytest.raises(InputError, match=r"SwinV2 needs all of an image"):
        build_encoder("swinv2-pico@64").encode_shown(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, dtype=torch.long))


def test_draws_are_permutations_and_repeat_with_their_generator() -> None:
    model = MaskedAutoencoder(build_encoder("pico/8@32"), masked=12)
    recipe = PretrainRecipe(learning_rate=1e-3, weight_decay=0.0)
    one, two = (model.draw_masks(3, recipe, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(one.sort(dim=1).values, torch.arange(16).expand(3, -1))
