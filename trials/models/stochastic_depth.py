"""Stochastic depth (Huang et al. 2016, arXiv 1603.09382): images drop residual branches in training.

The rate rises linearly from 0 at the first block to the recipe's at the last. Which image drops
which branch is drawn for the whole batch at each step from a generator of the step, so that parts
of a batch, resumed stages and captured steps see the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class DropBranch(nn.Module):
    """A residual branch passes through it: (B, ...) -> the same, 0 for the images that drop it and
    scaled up for the others. Does nothing in evaluation, and until something is drawn.

    Args:
        uses: how often a forward pass calls it: one module may stand for several branches.
    """

    def __init__(self, uses: int = 1) -> None:
        super().__init__()
        self.uses = uses
        self._kept: list[Tensor] = []
        self._turn = 0

    def keep(self, scales: list[Tensor]) -> None:
        """Take the (B,) scales of each use, 0 for the images that drop the branch."""
        assert len(scales) == self.uses
        self._kept, self._turn = scales, 0

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or not self._kept:
            return branch
        scale = self._kept[self._turn % self.uses]
        if self.uses > 1:
            self._turn += 1
        return branch * scale.to(branch.dtype).view(-1, *[1] * (branch.ndim - 1))


class StochasticDepth:
    """Draws for all branches of an encoder.

    Args:
        blocks: the branches of each block, from the input up.
        rate: share of the images that drop a branch of the last block.
    """

    def __init__(self, blocks: Sequence[Sequence[DropBranch]], rate: float) -> None:
        last = max(len(blocks) - 1, 1)
        self._branches = [branch for block in blocks for branch in block]
        self._kept: Tensor | None = None
        self.rates = [rate * place / last for place, block in enumerate(blocks) for branch in block for _ in range(branch.uses)]

    def draw(self, images: int, rows: slice, generator: torch.Generator) -> None:
        """Draw for a batch of so many images, of which these rows are trained on next."""
        if self._kept is None:  # once: a captured step copies nothing to the device
            self._kept = 1 - torch.tensor(self.rates, device=generator.device)[:, None]
        drawn = torch.rand(len(self.rates), images, generator=generator, device=generator.device)
        scales = list(((drawn < self._kept) / self._kept)[:, rows].unbind(0))
        for branch in self._branches:
            branch.keep(scales[: branch.uses])
            del scales[: branch.uses]
