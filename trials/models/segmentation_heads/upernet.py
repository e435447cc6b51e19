"""`upernet`: UPerNet (Xiao et al. 2018, arXiv 1807.10221) with an auxiliary FCN head, as
mmsegmentation has them and Xie et al. (arXiv 2206.04664) fine-tune on ADE20K.

The names of the parts are those of transformers' `UperNetHead` and `UperNetFCNHead`, to which a test
holds both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trials.models.encoder import Encoder
from trials.models.segmentation_heads.four_maps import FeatureMaps
from trials.models.segmentation_heads.head import ChannelDropout, Segmenter, at_pixels, register, resized

POOL_SIDES = (1, 2, 3, 6)
AUXILIARY_WEIGHT = 0.4


class ConvNorm(nn.Module):
    """Convolution, batch norm and ReLU; the size of the grid stays."""

    def __init__(self, in_channels: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, bias=False)
        self.batch_norm = nn.BatchNorm2d(channels)

    def forward(self, values: Tensor) -> Tensor:
        return torch.relu(self.batch_norm(self.conv(values)))


class UPerHead(nn.Module):
    """Maps from fine to coarse -> (B, classes, h, w) logits on the finest grid.

    The coarsest map is pooled to several sides (pyramid pooling); each is added, upsampled, to the
    one before it (feature pyramid); all are put together on the finest grid.
    """

    def __init__(self, in_channels: tuple[int, ...], *, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.psp_modules = nn.ModuleList(nn.Sequential(nn.AdaptiveAvgPool2d(side), ConvNorm(in_channels[-1], channels, 1)) for side in POOL_SIDES)
        self.bottleneck = ConvNorm(in_channels[-1] + len(POOL_SIDES) * channels, channels, 3)
        self.lateral_convs = nn.ModuleList(ConvNorm(width, channels, 1) for width in in_channels[:-1])
        self.fpn_convs = nn.ModuleList(ConvNorm(channels, channels, 3) for _ in in_channels[:-1])
        self.fpn_bottleneck = ConvNorm(len(in_channels) * channels, channels, 3)
        self.dropout = ChannelDropout(channels, dropout)
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        coarsest = maps[-1]
        pooled = [resized(pool(coarsest), _size(coarsest)) for pool in self.psp_modules]
        levels = [conv(one) for conv, one in zip(self.lateral_convs, maps[:-1], strict=True)]
        levels.append(self.bottleneck(torch.cat([coarsest, *pooled], dim=1)))
        for finer in reversed(range(len(levels) - 1)):
            levels[finer] = levels[finer] + resized(levels[finer + 1], _size(levels[finer]))
        outputs = [conv(one) for conv, one in zip(self.fpn_convs, levels[:-1], strict=True)]
        together = torch.cat([outputs[0], *(resized(one, _size(outputs[0])) for one in [*outputs[1:], levels[-1]])], dim=1)
        return torch.as_tensor(self.classifier(self.dropout(self.fpn_bottleneck(together))))


class FCNHead(nn.Module):
    """One convolution and a classifier on the map before the coarsest (Long et al. 2015)."""

    def __init__(self, in_channels: int, *, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.convs = nn.Sequential(ConvNorm(in_channels, channels, 3))
        self.dropout = ChannelDropout(channels, dropout)
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, values: Tensor) -> Tensor:
        return torch.as_tensor(self.classifier(self.dropout(self.convs(values))))


@register
class UPerNet(Segmenter):
    """UPerNet over the feature maps of any encoder.

    Args:
        encoder: with maps of its own, or of one resolution (`FeatureMaps`).
        classes: of the masks.
        channels: of the head; the auxiliary one has half of them.
        dropout: share of the channels that is dropped before the classes.
    """

    name = "upernet"

    def __init__(self, encoder: Encoder, *, classes: int, channels: int = 512, dropout: float = 0.1) -> None:
        super().__init__(encoder, classes=classes)
        self.maps = FeatureMaps(encoder)
        widths = self.maps.channels
        self.decode_head = UPerHead(widths, channels=channels, classes=classes, dropout=dropout)
        self.auxiliary_head = FCNHead(widths[-2], channels=max(1, channels // 2), classes=classes, dropout=dropout)
        for module in (self.decode_head, self.auxiliary_head):
            nn.init.normal_(module.classifier.weight, std=0.01)
            nn.init.zeros_(module.classifier.bias)  # type: ignore[arg-type]

    @classmethod
    def make(cls, encoder: Encoder, *, classes: int, channels: int, dropout: float) -> UPerNet:
        return cls(encoder, classes=classes, channels=channels, dropout=dropout)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes, H, W) logits in float32."""
        return at_pixels(self.decode_head(self.maps(self.encoder, images)), images)

    def training_logits(self, images: Tensor) -> list[tuple[float, Tensor]]:
        maps = self.maps(self.encoder, images)
        auxiliary = at_pixels(self.auxiliary_head(maps[-2]), images)
        return [(1.0, at_pixels(self.decode_head(maps), images)), (AUXILIARY_WEIGHT, auxiliary)]


def _size(values: Tensor) -> tuple[int, int]:
    height, width = values.shape[-2:]
    return height, width
