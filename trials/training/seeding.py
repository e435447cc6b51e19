"""Randomness as a pure function of (seed, purpose, counter).

Each use of randomness (initialisation, subset, order, augmentation, masks) has its own stream, and
each step its own generator, so that no stream shifts another and a resumed stage needs no generator
state to go on bit for bit.
"""

from __future__ import annotations

import hashlib

import torch

BLOCK_STEPS = 32
"""Steps whose inputs are made at once, where steps are captured."""


def derive_seed(seed: int, purpose: str, counter: int = 0) -> int:
    """A 63-bit seed, well mixed, from a study seed, the name of a use and a counter."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{counter}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, counter: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator on `device` for one use at one step."""
    result = torch.Generator(device=device)
    result.manual_seed(derive_seed(seed, purpose, counter))
    return result


class EpochOrder:
    """The order in which a stage shows its images: permutations of the subset, one after another,
    cut into batches.

    A batch may reach over the end of an epoch into the next, so every image is shown equally often
    (to within one) at any step, whatever the batch size, and batches are never short. With
    `short_last_batch` the last batch of an epoch holds what is left of it.
    """

    def __init__(self, *, images: int, batch_images: int, seed: int, short_last_batch: bool = False) -> None:
        self.images = images
        self.batch_images = batch_images
        self.seed = seed
        self.short_last_batch = short_last_batch
        self._epochs: dict[int, torch.Tensor] = {}
        self._kept = 1 + BLOCK_STEPS * batch_images // images

    def _epoch(self, epoch: int) -> torch.Tensor:
        if epoch not in self._epochs:
            # a block of steps is read several times over, for positions and for crops
            self._epochs = {e: p for e, p in self._epochs.items() if e >= epoch - self._kept}
            self._epochs[epoch] = torch.randperm(self.images, generator=generator(self.seed, "order", epoch))
        return self._epochs[epoch]

    def batch(self, step: int) -> torch.Tensor:
        """Positions within the subset of the batch at `step` (0-based), shape (batch_images,),
        int64; fewer in a short batch.
        """
        if self.short_last_batch:
            epoch, place = divmod(step, -(-self.images // self.batch_images))
            return self._epoch(epoch)[place * self.batch_images : (place + 1) * self.batch_images]
        start, stop = step * self.batch_images, (step + 1) * self.batch_images
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self.images)
            take = min(stop - start, self.images - offset)
            parts.append(self._epoch(epoch)[offset : offset + take])
            start += take
        return torch.cat(parts)

    def batches(self, steps: range) -> torch.Tensor:
        """(steps, batch_images) positions of several batches, which must have one length."""
        return torch.stack([self.batch(step) for step in steps])
