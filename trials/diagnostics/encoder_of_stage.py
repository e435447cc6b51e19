"""The encoder that a stage finished with, and the one that its chain began with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from trials.errors import StageError
from trials.models.encoder import Encoder
from trials.models.encoders import adapt_weights, at_image_px, build_encoder
from trials.spec import StageSpec
from trials.stage_files import load_parent_weights
from trials.training.seeding import derive_seed

PREFIX = "encoder."


def root_of(identity: str, specs: Mapping[str, StageSpec]) -> StageSpec:
    """The first stage of the chain that leads to a stage, which is where its encoder was drawn."""
    spec = specs[identity]
    while spec.parent is not None:
        spec = specs[spec.parent]
    return spec


def untrained_encoder(spec: StageSpec, image_px: int) -> Encoder:
    """The encoder as `spec`, which has no parent, begins with it: the very draw of its seed,
    adapted to images of that side.

    Global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(spec.seed, "init-encoder"))
        encoder = build_encoder(spec.encoder, positions=spec.recipe.positions)
    return _at_side(spec, encoder.state_dict(), image_px)


def trained_encoder(folder: Path, spec: StageSpec, image_px: int) -> Encoder:
    """The encoder of a finished stage, adapted to images of that side.

    Raises:
        StageError: its weights are missing, altered, or not those of this encoder.
    """
    weights = load_parent_weights(folder)
    try:
        return _at_side(spec, {name.removeprefix(PREFIX): value for name, value in weights.items() if name.startswith(PREFIX)}, image_px)
    except RuntimeError as error:
        raise StageError(f"The weights of {folder.name} are not those of {spec.encoder}: train that stage anew.") from error


def _at_side(spec: StageSpec, weights: dict[str, Tensor], image_px: int) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        encoder = build_encoder(at_image_px(spec.encoder, image_px))
    encoder.load_state_dict(adapt_weights(encoder, weights))
    return encoder.eval()
