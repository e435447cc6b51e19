"""Build a stage's optimiser: which parameters have weight decay, and the rate of each."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from trials.models.encoder import Encoder
from trials.recipes.fields import Recipe
from trials.training.layer_decay import PREFIX, layer_decay, layers_of

# Position tables and tokens are not decayed, by name, since they may have several dimensions. An
# encoder names more such parameters (`Encoder.is_undecayed`).
_UNDECAYED = ("positions", "_token")


def build_optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; without `decay_vectors`, biases, norms, positions and tokens are not decayed.

    Where the recipe has a layer decay, each group of parameters is of one layer and has an
    `lr_scale`: the training loop must set its `lr` to the schedule's rate times that.
    """
    named = list(model.named_parameters())
    scales = [1.0] * len(named)
    decay = layer_decay(model, recipe)
    if decay != 1.0:
        layers, uppermost = layers_of(model, [name for name, _ in named])
        scales = [decay ** (uppermost - layer) for layer in layers]
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for scale in sorted(set(scales)):  # from below: a decay makes the lowest layer's rate the smallest
        for free in (False, True):
            groups[scale, free] = []
    for (name, parameter), scale in zip(named, scales, strict=True):
        groups[scale, _is_undecayed(model, recipe, name, parameter) and not recipe.decay_vectors].append(parameter)
    made: list[dict[str, Any]] = [
        {"params": members, "weight_decay": 0.0 if free else recipe.weight_decay, "lr": recipe.learning_rate * scale, "lr_scale": scale}
        for (scale, free), members in groups.items()
        if members
    ]
    if set(scales) == {1.0}:
        made = [{key: group[key] for key in ("params", "weight_decay")} for group in made]
    return torch.optim.AdamW(made, lr=recipe.learning_rate, betas=(recipe.beta_1, recipe.beta_2), fused=True)


def _is_undecayed(model: nn.Module, recipe: Recipe, name: str, parameter: nn.Parameter) -> bool:
    if parameter.ndim <= 1 or name.endswith(_UNDECAYED):
        return True
    encoder = getattr(model, "encoder", None)
    if recipe.decay_position_bias:
        return False
    return isinstance(encoder, Encoder) and name.startswith(PREFIX) and encoder.is_undecayed(name.removeprefix(PREFIX))
