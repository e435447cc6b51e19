"""How far attention reaches: queries and keys computed once more, so that training keeps its fused
attention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trials.models.encoder import Encoder
from trials.models.vit import Attention, ViT, patchify

if TYPE_CHECKING:  # torchvision's models take seconds to import
    from trials.models.swin import SwinV2
    from trials.models.window_attention import WindowAttention

Reach = list[dict[str, Any]]


def place_distances_px(patches: int, patch_px: int) -> Tensor:
    """(patches, patches) float64 Euclidean distances of places on the square grid, in pixels."""
    side = round(patches**0.5)
    places = torch.stack([torch.arange(patches) // side, torch.arange(patches) % side], dim=1).double()
    return torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist") * patch_px


def weighted_distance(weights: Tensor, distances: Tensor) -> Tensor:
    """(images, heads, N, N) attention from queries (rows) to keys, (N, N) distances -> (heads,)
    distance summed over images, mean over queries.
    """
    return torch.einsum("bhqk,qk->h", weights.double(), distances) / weights.shape[2]


def attention_weights(layer: Attention, tokens: Tensor) -> Tensor:
    """(B, N, dim) tokens as they enter the layer -> (B, heads, N, N) softmax weights."""
    batch, count, _ = tokens.shape
    qkv = layer.qkv(layer.norm(tokens)).view(batch, count, 3, layer.heads, -1).permute(2, 0, 3, 1, 4)
    return (qkv[0] @ qkv[1].transpose(-1, -2)).mul(qkv.shape[-1] ** -0.5).softmax(dim=-1)


def tokens_and_reach(encoder: Encoder, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """(B, 3, S, S) normalised images -> (B, N, dim) final tokens, and for each layer the (heads,)
    attention distance summed over images.
    """
    return _of_vit(encoder, images) if isinstance(encoder, ViT) else _of_swin(_swin(encoder), images)


def _swin(encoder: Encoder) -> SwinV2:
    from trials.models.swin import SwinV2

    assert isinstance(encoder, SwinV2)
    return encoder


def _of_vit(encoder: ViT, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    distances = place_distances_px(encoder.patches, encoder.patch_px).to(images.device)
    tokens = encoder.embed(patchify(images, encoder.patch_px)) + encoder.positions[1:]
    reach = []
    for block in encoder.blocks:
        layer, feed_forward = block["attention"], block["feed_forward"]  # type: ignore[index]
        reach.append(weighted_distance(attention_weights(layer, tokens), distances))
        tokens = tokens + layer(tokens)
        tokens = tokens + feed_forward(tokens)
    return encoder.norm(tokens), reach


def _of_swin(encoder: SwinV2, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    reach = []
    for layer, tokens, token_px in encoder.attentions(images):
        distances = place_distances_px(layer.window**2, token_px).to(images.device)
        weights = layer.weights(tokens)
        reach.append(weighted_distance(weights.flatten(0, 1), distances) / weights.shape[1])
    return encoder(images), reach


def reach_of_layers(sums: list[Tensor], images: int, uniform: list[float]) -> Reach:
    """Sums over images, a layer each -> layer (from 1), the mean of its heads, each head, and
    uniform attention's distance, in pixels.
    """
    means = [(total / images).tolist() for total in sums]
    return [
        {"layer": number, "mean": sum(heads) / len(heads), "heads": heads, "uniform": alike}
        for number, (heads, alike) in enumerate(zip(means, uniform, strict=True), start=1)
    ]


def uniform_reach_px(encoder: Encoder) -> float:
    """The distance of attention that weighs every place of the image alike, in pixels, between
    output tokens.
    """
    return float(place_distances_px(encoder.patches, encoder.stride_px).mean())


def uniform_reach_of_layers(encoder: Encoder, images: Tensor) -> list[float]:
    """For each layer the distance of attention that weighs alike all that it can see: everything in
    a ViT, a window's part in SwinV2.
    """
    if isinstance(encoder, ViT):
        return [uniform_reach_px(encoder)] * len(encoder.blocks)
    return [_uniform_in_window(layer, token_px) for layer, _, token_px in _swin(encoder).attentions(images[:1])]


def _uniform_in_window(layer: WindowAttention, token_px: int) -> float:
    distances = place_distances_px(layer.window**2, token_px)
    seen = torch.zeros(1, 1, *distances.shape) if layer.shift_mask is None else layer.shift_mask.cpu()
    weights = seen.double().softmax(dim=-1)
    return float(weighted_distance(weights, distances) / len(weights))


@torch.no_grad()
def encode(encoder: Encoder, images: Tensor, *, batch: int = 64) -> tuple[Tensor, Reach]:
    """(M, 3, S, S) normalised images on the encoder's device -> (M, N, dim) tokens and the
    attention distance of each layer.
    """
    tokens, sums = [], None
    for part in images.split(batch):
        one, reach = tokens_and_reach(encoder, part)
        tokens.append(one)
        sums = reach if sums is None else [a + b for a, b in zip(sums, reach, strict=True)]
    assert sums is not None, "no images to encode"
    return torch.cat(tokens), reach_of_layers(sums, len(images), uniform_reach_of_layers(encoder, images))
