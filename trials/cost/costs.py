"""The FLOPs and the disk space of a stage, counted on a model without weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
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
        # batch norm needs more than one image to train on
        normed = any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in model.modules())
        images = torch.empty(2 if normed else 1, 3, side, side)
    counter = FlopCounterMode(display=False)
    with counter:
        example_loss(model, spec, images).backward()
    return StageCost(parameters=sum(one.numel() for one in model.parameters()), train_flops_per_image=counter.get_total_flops() / len(images))


@dataclass(frozen=True, kw_only=True)
class StepWork:
    """What one training step asks of a device, counted on a model without weights."""

    parameters: int
    flops_per_image: float
    """Floating-point operations of one image's forward and backward pass."""
    bytes_per_image: float
    """Bytes that the kernels of one image's forward and backward pass read and write, in float32 and
    with no two kernels fused.
    """
    outputs_bytes_per_image: float
    """Bytes that the forward pass of one image writes, in float32: an upper bound of what is kept
    for the backward pass.
    """
    operations: int
    """Kernels of one forward and backward pass, without the optimiser's."""


def step_work(spec: StageSpec) -> StepWork:
    """Counts the work of a stage's training step."""
    return _work(replace(spec, data=_ANY, steps=0, eval_points=0, seed=0, parent=None, trunk=None))


class _Traffic(TorchDispatchMode):
    """Counts operations, and the bytes of their inputs and outputs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes, self.written_bytes, self.operations = 0, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            read, written = (
                sum(one.numel() * one.element_size() for one in tree_leaves(values) if isinstance(one, torch.Tensor))
                for values in ((args, kwargs), result)
            )
            self.bytes, self.written_bytes, self.operations = self.bytes + read + written, self.written_bytes + written, self.operations + 1
        return result


@lru_cache(maxsize=256)
def _work(spec: StageSpec) -> StepWork:
    """From the difference of three images to two, so that what a step does once does not count."""
    side = encoder_image_px(spec.encoder)
    counted = []
    with torch.device("meta"):
        model = build_fresh(spec)
    for images in (2, 3):  # some heads normalise over the batch, which takes two
        model.zero_grad(set_to_none=True)
        with torch.device("meta"):
            batch = torch.empty(images, 3, side, side)
        flops, traffic = FlopCounterMode(display=False), _Traffic()
        with flops, traffic:
            loss = example_loss(model, spec, batch)
            forward_bytes = traffic.written_bytes
            loss.backward()
        counted.append((flops.get_total_flops(), traffic.bytes, forward_bytes, traffic.operations))
    one, two = counted
    return StepWork(
        parameters=sum(each.numel() for each in model.parameters()),
        flops_per_image=float(two[0] - one[0]),
        bytes_per_image=float(two[1] - one[1]),
        outputs_bytes_per_image=float(two[2] - one[2]),
        operations=one[3],
    )
