"""The registry of segmentation heads: models that give logits of each class for each pixel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.models.encoder import Encoder
from trials.registry import Registry, modules_in


class ChannelDropout(nn.Module):
    """Dropout of whole channels (Tompson et al. 2015) before a head's last layer. What is dropped is
    drawn by `draw` for the whole batch, so that parts of a batch and resumed stages see the same
    draws; it does nothing in evaluation, and until something is drawn.
    """

    def __init__(self, channels: int, rate: float) -> None:
        super().__init__()
        self.channels, self.rate = channels, rate
        self._scales: Tensor | None = None

    def draw(self, images: int, rows: slice, generator: torch.Generator) -> None:
        """Draw for a batch of so many images, of which these rows are trained on next."""
        drawn = torch.rand(images, self.channels, generator=generator, device=generator.device)
        self._scales = ((drawn >= self.rate) / (1 - self.rate))[rows]

    def forward(self, values: Tensor) -> Tensor:
        """(B, channels, H, W) -> the same, with channels of 0 and the others scaled up."""
        if not self.training or self._scales is None:
            return values
        return values * self._scales.to(values.dtype)[..., None, None]


class Segmenter(nn.Module, ABC):
    """An encoder with a head for pixels. Register a subclass with `register`."""

    name: ClassVar[str]
    """What a recipe's `head` calls it."""

    def __init__(self, encoder: Encoder, *, classes: int) -> None:
        super().__init__()
        self.encoder, self.classes = encoder, classes

    @classmethod
    @abstractmethod
    def make(cls, encoder: Encoder, *, classes: int, channels: int, dropout: float) -> Segmenter:
        """The model for a recipe's `head_channels` and `head_dropout`, where a head reads them."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes, H, W) logits in float32."""

    def training_logits(self, images: Tensor) -> list[tuple[float, Tensor]]:
        """The logits whose cross-entropies, times these weights, add up to the training loss."""
        return [(1.0, self(images))]

    def dropouts(self) -> list[ChannelDropout]:
        """What is to be drawn for each batch."""
        return [module for module in self.modules() if isinstance(module, ChannelDropout) and module.rate > 0]


HEADS: Registry[type[Segmenter]] = Registry(
    "segmentation head", group="scaling_laws.segmentation_heads", modules=modules_in("trials.models.segmentation_heads")
)
"""Every head by name."""

Registered = TypeVar("Registered", bound=type[Segmenter])


def register(head: Registered) -> Registered:
    """Class decorator: add a head to `HEADS` under its `name`."""
    HEADS.register(head.name, head)
    return head


def resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) -> (B, C, *size), bilinearly, corners not aligned, as mmsegmentation does."""
    return F.interpolate(values, size=size, mode="bilinear", align_corners=False)


def at_pixels(logits: Tensor, images: Tensor) -> Tensor:
    """(B, classes, h, w) logits of a coarser grid -> (B, classes, H, W) at the pixels of the images,
    in float32.
    """
    height, width = images.shape[-2:]
    return resized(logits.float(), (height, width))
