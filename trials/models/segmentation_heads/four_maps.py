"""Feature maps of four resolutions from any encoder, for heads that need them."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from trials.models.channel_norm import ChannelNorm
from trials.models.encoder import Encoder

DEPTHS = (1 / 3, 1 / 2, 2 / 3, 1)
"""Where the maps of an encoder of one resolution are taken, as shares of its blocks: after blocks 4,
6, 8 and 12 of ViT-B, as BEiT (Bao et al. 2022) and MAE (He et al. 2022) do.
"""


class FeatureMaps(nn.Module):
    """The maps of an encoder, (B, 3, H, W) -> a list of (B, channels, h, w) from fine to coarse.

    Those of an encoder with stages are its own, each with a LayerNorm where they are sums of
    residual branches, as mmsegmentation has them of Swin and ConvNeXt. Of an encoder of one
    resolution they are taken from four depths and brought to 4, 2, 1 and 1/2 times its grid, by
    transposed convolutions and by pooling, as BEiT and MAE do.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        own = encoder.map_channels
        self.in_stages = len(own) > 1
        self.channels: tuple[int, ...] = own if self.in_stages else (encoder.dim,) * len(DEPTHS)
        self.after = tuple(max(1, round(share * encoder.layers)) for share in DEPTHS)
        if self.in_stages:
            self.scales = nn.ModuleList(ChannelNorm(width) if encoder.raw_maps else nn.Identity() for width in own)
        else:
            dim = encoder.dim
            larger = nn.Sequential(nn.ConvTranspose2d(dim, dim, 2, 2), nn.BatchNorm2d(dim), nn.GELU(), nn.ConvTranspose2d(dim, dim, 2, 2))
            self.scales = nn.ModuleList([larger, nn.ConvTranspose2d(dim, dim, 2, 2), nn.Identity(), nn.MaxPool2d(2)])

    def forward(self, encoder: Encoder, images: Tensor) -> list[Tensor]:
        """The encoder is an argument and not a part, so that its weights are saved once."""
        maps = encoder.feature_maps(images) if self.in_stages else encoder.token_maps(images, self.after)
        return [cast(Tensor, scale(one)) for scale, one in zip(self.scales, maps, strict=True)]
