"""What every encoder has and does, whatever it is made of: all that heads, SimMIM and diagnostics
rely on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A headless encoder of square images, which it cuts into input tokens and turns into output
    tokens, row by row.
    """

    image_px: int
    embed_px: int
    """Side of the square that one input token embeds."""
    embed_dim: int
    """Width of an input token, and so of a mask token."""
    stride_px: int
    """Side of the square that one output token stands for."""
    dim: int
    """Width of an output token."""
    patches: int
    """How many output tokens there are, without CLS."""
    patch_values: int
    """Numbers in the pixels that an output token stands for."""

    @abstractmethod
    def forward(self, images: Tensor, *, cls: bool = False) -> Tensor:
        """(B, 3, H, W) normalised images -> (B, N, dim) output tokens, or (B, 1 + N, dim) with a
        CLS token first.
        """

    @abstractmethod
    def encode_masked(self, images: Tensor, hidden: Tensor, mask_token: Tensor) -> Tensor:
        """(B, N, dim) output tokens, no CLS fed, where the (embed_dim,) mask token stands for the
        input tokens that (B, n) bool `hidden` names.
        """

    @abstractmethod
    def to_patches(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, N, patch_values): what a decoder predicts from each output token, in
        the order of this family's decoders.
        """

    @abstractmethod
    def to_images(self, patches: Tensor) -> Tensor:
        """The inverse of `to_patches`."""

    @abstractmethod
    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of this encoder at any image side -> those that fit at this one."""
