"""Sizes of Swin Transformer V2, known without building one."""

from __future__ import annotations

from dataclasses import dataclass

PATCH_PX = 4
PRETRAINED_PX = 192
PRETRAINED_WINDOW = 12
LARGEST_AT_16_PX = 384


def window_side(image_px: int) -> int:
    """Side of a window in tokens: 1/16 of the image's in pixels, 12 at 192 px, 14 at 224 px and 24 at
    384 px; 1/32 of larger ones, 16 at 512 px and 20 at 640 px (Liu et al. 2022; Xie et al.).
    """
    return image_px // (16 if image_px <= LARGEST_AT_16_PX else 32)


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
