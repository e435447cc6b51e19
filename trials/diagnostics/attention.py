"""How far attention reaches, in pixels, from the maps that an encoder gives of itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trials.models.encoder import AttentionMap, Encoder

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


def reach_of_layers(sums: list[Tensor], images: int, uniform: list[float]) -> Reach:
    """Sums over images, one per layer -> layer (from 1), the mean of its heads, each head, and
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


def reach_px(layer: AttentionMap) -> Tensor:
    """The (heads,) attention distance of a layer in pixels, summed over images."""
    distances = place_distances_px(layer.weights.shape[-1], layer.place_px).to(layer.weights.device)
    return weighted_distance(layer.weights.flatten(0, 1), distances) / layer.weights.shape[1]


def uniform_reach_of_layers(encoder: Encoder, images: Tensor) -> list[float]:
    """For each layer the distance of attention that weighs all that a query can see alike."""
    return [_uniform_reach(layer, encoder) for layer in encoder.attention_maps(images[:1]) or ()]


def _uniform_reach(layer: AttentionMap, encoder: Encoder) -> float:
    if layer.mask is None:
        return uniform_reach_px(encoder)
    weights = layer.mask.cpu().double().softmax(dim=-1)
    return float(weighted_distance(weights, place_distances_px(weights.shape[-1], layer.place_px)) / len(weights))


@torch.no_grad()
def encode(encoder: Encoder, images: Tensor, *, batch: int = 64) -> tuple[Tensor, Reach]:
    """(M, 3, S, S) normalised images on the encoder's device -> (M, N, dim) tokens and the
    attention distance of each layer; no layers where the encoder has no attention.
    """
    tokens, sums = [], []
    for part in images.split(batch):
        tokens.append(encoder(part, cls=False))
        sums.append([reach_px(layer) for layer in encoder.attention_maps(part) or ()])
    totals = [sum(parts[1:], parts[0]) for parts in zip(*sums, strict=True)]
    return torch.cat(tokens), reach_of_layers(totals, len(images), uniform_reach_of_layers(encoder, images))
