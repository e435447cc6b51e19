"""Feature pyramids: maps of one width at several strides, from any encoder's feature maps.

An encoder with maps of several strides gets the feature pyramid network of Lin et al. 2017 (arXiv
1612.03144), torchvision's. One with a single map, such as a ViT, gets the simple feature pyramid of
Li et al. 2022 (ViTDet, arXiv 2203.16527, section 3): each level is made from the last map alone, by
transposed convolutions or pooling. Both add a coarser level by taking every second place of the last.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.errors import InputError
from trials.models.channel_norm import ChannelNorm
from trials.models.encoder import CHANNELS, Encoder
from trials.models.encoders import parse_encoder

FINEST_PX = 4
"""Stride of the finest level of a simple feature pyramid."""
COARSEST_PX = 32
"""Stride of its coarsest level, where the encoder's own stride is not coarser."""
_MOST_FINER = 4  # how many times finer than the encoder's map a level may be: two transposed convolutions


def check_stride(encoder: str) -> None:
    """Whether boxes can be found over the maps of the encoder of that name; nothing is built.

    Raises:
        InputError: its stride is no power of two, so that regions cannot be aligned with its maps.
    """
    stride = parse_encoder(encoder).stride_px
    if stride & (stride - 1):
        raise InputError(f"{encoder} has output tokens of {stride} px: detection needs a power of two, such as 8 or 16.")


class SimplePyramid(nn.Module):
    """ViTDet's simple feature pyramid: (B, dim, h, w) -> maps of one width, the finest first."""

    def __init__(self, *, dim: int, stride_px: int, width: int) -> None:
        """
        Args:
            dim: channels of the encoder's map. stride_px: its stride, a power of two.
        """
        super().__init__()
        self.levels = nn.ModuleList(self._level(dim, stride, stride_px, width) for stride in level_strides(stride_px))

    @staticmethod
    def _level(dim: int, stride: int, stride_px: int, width: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        channels = dim
        if stride < stride_px:
            for number in range(round(math.log2(stride_px / stride))):
                layers += [ChannelNorm(channels), nn.GELU()] if number else []
                layers.append(nn.ConvTranspose2d(channels, channels // 2, 2, 2))
                channels //= 2
        elif stride > stride_px:
            layers.append(nn.MaxPool2d(stride // stride_px))
        return nn.Sequential(
            *layers,
            nn.Conv2d(channels, width, 1, bias=False),
            ChannelNorm(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            ChannelNorm(width),
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """[(B, dim, h, w)] -> a map a level."""
        return [level(maps[-1]) for level in self.levels]


def level_strides(stride_px: int) -> list[int]:
    """Strides of the levels of a simple pyramid over a map of that stride: ViTDet's 4, 8, 16 and 32 px
    over patches of 16.
    """
    finest = min(stride_px, max(FINEST_PX, stride_px // _MOST_FINER))
    return [2**power for power in range(finest.bit_length() - 1, max(COARSEST_PX, stride_px).bit_length())]


class NetworkPyramid(nn.Module):
    """torchvision's feature pyramid network over maps of several strides."""

    def __init__(self, *, channels: list[int], width: int, normed: bool) -> None:
        """
        Args:
            channels: of each of the encoder's maps, the finest first.
            normed: whether each map has a LayerNorm first, as mmdetection has it of Swin.
        """
        super().__init__()
        from torchvision.ops import FeaturePyramidNetwork  # takes seconds to import

        self.norms = nn.ModuleList(ChannelNorm(one) if normed else nn.Identity() for one in channels)
        self.network = FeaturePyramidNetwork(channels, width)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps of the encoder, the finest first -> as many of `width` channels."""
        return list(self.network({str(number): norm(one) for number, (norm, one) in enumerate(zip(self.norms, maps, strict=True))}).values())


class Pyramid(nn.Module):
    """The pyramid that suits an encoder, with one more level than maps.

    Attributes:
        strides: of each level in pixels, the finest first; the last is the extra level's.
    """

    def __init__(self, encoder: Encoder, *, width: int) -> None:
        super().__init__()
        channels, strides = _maps_of(encoder)
        self.levels: nn.Module
        if len(channels) == 1:
            strides = [one for one in level_strides(strides[0]) if encoder.image_px >= one]
            self.levels = SimplePyramid(dim=channels[0], stride_px=encoder.stride_px, width=width)
            self.levels.levels = self.levels.levels[: len(strides)]
        else:
            self.levels = NetworkPyramid(channels=channels, width=width, normed=encoder.raw_maps)
        self.strides = [*strides, 2 * strides[-1]]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """An encoder's feature maps -> (B, width, h, w) maps, one for each of `strides`."""
        made = self.levels(maps)
        return [*made, F.max_pool2d(made[-1], 1, 2)]


@torch.no_grad()
def _maps_of(encoder: Encoder) -> tuple[list[int], list[int]]:
    """Channels and strides of the encoder's feature maps, from a black image."""
    training = encoder.training
    encoder.eval()
    like = next(encoder.parameters())
    maps = encoder.feature_maps(torch.zeros(1, CHANNELS, encoder.image_px, encoder.image_px, dtype=like.dtype, device=like.device))
    encoder.train(training)
    return [one.shape[1] for one in maps], [round(encoder.image_px / one.shape[2]) for one in maps]
