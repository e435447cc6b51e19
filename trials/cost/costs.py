"""The FLOPs and the disk space of a stage, counted on a model without weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from trials.models.encoders import encoder_image_px
from trials.objectives.objective import build_fresh, example_loss
from trials.spec import DataSpec, StageSpec

BYTES = 4  # of a float32


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """The cost of one stage, on any machine."""

    parameters: int
    """Parameters of the whole model, with its head or decoder."""
    train_flops_per_image: float
    """Floating-point operations of one image's forward and backward pass; a multiply-add is two."""

    @property
    def weights_bytes(self) -> int:
        """Bytes of the finished stage's weights."""
        return BYTES * self.parameters

    @property
    def state_bytes(self) -> int:
        """Bytes of a training state: weights and AdamW's two moments."""
        return 3 * BYTES * self.parameters


def stage_cost(spec: StageSpec) -> StageCost:
    """The cost of a stage, from its objective, encoder and recipe. Classification counts a head of
    1,000 classes.
    """
    return _cost(replace(spec, data=_ANY, steps=0, eval_points=0, seed=0, parent=None, trunk=None))  # what leaves the cost as it is


_ANY = DataSpec(
    source="",
    image_px=0,
    train_split="",
    train_fingerprint="",
    train_images=0,
    sampling="",
    heldout_split="",
    heldout_fingerprint="",
    heldout_images=0,
)


@lru_cache(maxsize=256)
def _cost(spec: StageSpec) -> StageCost:
    side = encoder_image_px(spec.encoder)
    with torch.device("meta"):
        model = build_fresh(spec)
        images = torch.empty(1, 3, side, side)
    counter = FlopCounterMode(display=False)
    with counter:
        example_loss(model, spec, images).backward()
    return StageCost(parameters=sum(one.numel() for one in model.parameters()), train_flops_per_image=float(counter.get_total_flops()))
