"""Sizes of Swin Transformer V2, known without building one."""

from __future__ import annotations

from dataclasses import dataclass

PATCH_PX = 4
IMAGE_OVER_WINDOW = 16
"""The image's side in pixels over that of a window in tokens."""
PRETRAINED_PX = 192
PRETRAINED_WINDOW = PRETRAINED_PX // IMAGE_OVER_WINDOW


@dataclass(frozen=True, kw_only=True)
class SwinSize:
    """Width and depth of one encoder size."""

    channels: int
    """Width of the first stage; each later stage is twice as wide and half as fine."""
    depths: tuple[int, ...] = (2, 2, 18, 2)
    """Blocks of each stage."""
    head_dim: int = 32

    @property
    def stride_px(self) -> int:
        """Side of the square of pixels that an output token stands for."""
        return PATCH_PX * 2 ** (len(self.depths) - 1)


SWIN_SIZES: dict[str, SwinSize] = {
    "pico": SwinSize(channels=16, depths=(2, 2, 2, 2), head_dim=16),  # ours, for tests and CPUs
    "t": SwinSize(channels=96, depths=(2, 2, 6, 2)),  # Liu et al. 2022
    "s": SwinSize(channels=96),  # this and the following: Xie et al., table 1
    "b": SwinSize(channels=128),
    "l": SwinSize(channels=192),
    "h": SwinSize(channels=352),
    "g": SwinSize(channels=448),
}

LAYER_DECAYS = {96: 0.8, 128: 0.75, 192: 0.7, 352: 0.65, 448: 0.6}
"""By the channels of SwinV2-S, B, L (Xie et al., arXiv 2206.04664, for iNaturalist), H and g, for
which the paper says no more than that larger models have a lower one: these two are this project's
choice.
"""
