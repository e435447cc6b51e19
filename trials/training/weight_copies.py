"""One bf16 copy of a transformer's weights a step, made by a few kernels for all of them.

Autocast converts each weight when it is first used, and each gradient back, one kernel each. The
numbers are the same to the bit: a product's gradient is computed in bf16 and converted to the
float32 of the weight either way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trials.models.vit import Attention, Block, FeedForward


class WeightCopies:
    """bf16 copies of the weights and biases of every attention and feed-forward layer of a model, with
    the norms of blocks, whose tokens are bf16.
    """

    def __init__(self, model: nn.Module) -> None:
        self._places: list[tuple[nn.Module, str]] = []
        for module in model.modules():
            copied: list[nn.Module] = [module.qkv, module.project] if isinstance(module, Attention) else []
            copied += [module.expand, module.contract] if isinstance(module, FeedForward) else []
            copied += [module.attention.norm, module.feed_forward.norm] if isinstance(module, Block) else []
            self._places += [(one, name) for one in copied for name, values in one.named_parameters() if values.requires_grad]
        self._weights: list[nn.Parameter] = [getattr(module, name) for module, name in self._places]
        self._copies = [nn.Parameter(one.detach().to(torch.bfloat16)) for one in self._weights]

    def __len__(self) -> int:
        return len(self._copies)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """A context in which fresh copies stand for the weights. Run the forward pass in it."""
        with torch.no_grad():
            torch._foreach_copy_(self._copies, self._weights)  # type: ignore[arg-type]
        for one in self._copies:
            one.grad = None
        self._put(self._copies)
        try:
            yield
        finally:
            self._put(self._weights)

    def _put(self, values: list[nn.Parameter]) -> None:
        for (module, name), one in zip(self._places, values, strict=True):
            module._parameters[name] = one

    def hand_gradients(self) -> None:
        """After the backward pass: give the weights the gradients of their copies, in float32.

        The weights must have none yet.
        """
        weights: list[Tensor] = []
        gradients: list[Tensor] = []
        for weight, copy in zip(self._weights, self._copies, strict=True):
            if copy.grad is not None:
                weight.grad = torch.empty_like(weight)
                weights.append(weight.grad)
                gradients.append(copy.grad)
                copy.grad = None
        if weights:
            torch._foreach_copy_(weights, gradients)
