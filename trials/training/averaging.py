"""Exponential moving average of a model's weights, which is measured and handed on in their place.

The average starts as the weights are before the first update, and after each it moves towards them
by the share 1 - decay, as timm's ModelEma does. Buffers are the model's own. A test holds it to
torch.optim.swa_utils.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class AveragedWeights:
    """The average of a model's trainable weights."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._names, self._weights = map(list, zip(*((name, p) for name, p in model.named_parameters() if p.requires_grad), strict=True))
        self._average = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights; waits for nothing on the device."""
        torch._foreach_lerp_(self._average, self._weights, 1 - self._decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """A context in which the model has the average as its weights."""
        with torch.no_grad():
            own = [weight.detach().clone() for weight in self._weights]
            torch._foreach_copy_(self._weights, self._average)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._weights, own)

    def state(self) -> dict[str, Tensor]:
        """The average by the weight's name."""
        return dict(zip(self._names, self._average, strict=True))

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take the average from `state`.

        Raises:
            KeyError: a weight is not in it.
        """
        with torch.no_grad():
            for name, average in zip(self._names, self._average, strict=True):
                average.copy_(state[name])
