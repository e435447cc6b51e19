"""The interface of every encoder: all that heads, SimMIM, layer decay and diagnostics rely on.

`trials/models/encoders.py` registers encoders by name.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from trials.errors import InputError
from trials.models.stochastic_depth import DropBranch

CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class AttentionMap:
    """The attention of one layer, within each window of a square grid of places."""

    weights: Tensor
    """(B, windows, heads, N, N) from queries (rows) to keys; rows sum to 1. One window of all places
    where attention is global.
    """
    place_px: int
    """Side of the square of pixels that a place stands for."""
    mask: Tensor | None = None
    """(1 or windows, 1, N, N) added to the logits, very negative where a query cannot see a key.
    None: attention is global, every query sees every place of the image.
    """


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
    layers: int
    """Number of blocks, as layer decay counts them."""
    prefix_tokens: int = 0
    """Tokens that `encode_shown` puts before those of patches, such as CLS."""
    raw_maps: bool = False
    """Whether `feature_maps` gives sums of residual branches as they are, which a head normalises."""

    @property
    def grid_side(self) -> int:
        """Output tokens along one side of the image."""
        return self.image_px // self.stride_px

    @property
    def patches(self) -> int:
        """Number of output tokens, without CLS."""
        return self.grid_side**2

    @property
    def patch_values(self) -> int:
        """Numbers in the pixels that an output token stands for."""
        return self.stride_px**2 * CHANNELS

    @abstractmethod
    def forward(self, images: Tensor, *, cls: bool = False) -> Tensor:
        """(B, 3, H, W) normalised images -> (B, N, dim) output tokens, or (B, 1 + N, dim) with a
        CLS token first.
        """

    @abstractmethod
    def encode_masked(self, images: Tensor, hidden: Tensor, mask_token: Tensor) -> Tensor:
        """(B, N, dim) output tokens, without CLS; the (embed_dim,) mask token replaces the input
        tokens that (B, n) bool `hidden` names.
        """

    def encode_shown(self, images: Tensor, shown: Tensor) -> Tensor:
        """(B, prefix_tokens + K, dim) tokens of an encoder that is fed the patches at the (B, K)
        places `shown` alone, as MAE does. `EncoderName.drops_tokens` says who can.
        """
        raise InputError(f"{type(self).__name__} needs all of an image, so it cannot be pre-trained by mae: take a ViT, or simmim.")

    @abstractmethod
    def layer_of(self, name: str) -> int:
        """Layer of the encoder's parameter of that name: 0 for the embedding, 1 to `layers` for the
        blocks from the input up, `layers` + 1 for what follows them.
        """

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised images -> (B, C, h, w) maps, from the finest to the coarsest. One
        map of the output tokens, as here, for an encoder of one resolution.
        """
        return [as_map(self(images, cls=False))]

    @property
    def map_channels(self) -> tuple[int, ...]:
        """Channels of each of the `feature_maps`."""
        return (self.dim,)

    def token_maps(self, images: Tensor, after: Sequence[int]) -> list[Tensor]:
        """(B, 3, H, W) normalised images -> the (B, dim, h, w) maps of tokens after each of these
        blocks, counted from 1; that of the last block as `feature_maps` has it. Here every map is
        the last: an encoder with more blocks to show says so itself.
        """
        return self.feature_maps(images)[-1:] * len(after)

    def branches(self) -> list[tuple[DropBranch, ...]]:
        """The residual branches of each block, from the input up, for stochastic depth. Empty, as
        here, for an encoder without.
        """
        return []

    @property
    def usual_layer_decay(self) -> float | None:
        """The layer decay that a model of this size is fine-tuned with by its authors; None, as here,
        where they name none.
        """
        return None

    def is_undecayed(self, name: str) -> bool:
        """Whether the parameter of that name gets no weight decay although it is a matrix. Biases,
        norms, `positions` and `..._token` get none anyway.
        """
        return False

    def attention_maps(self, images: Tensor) -> Iterator[AttentionMap] | None:
        """The attention of each layer on (B, 3, H, W) normalised images, from the input up. None,
        as here, for an encoder without attention.
        """
        return None

    def repeated_blocks(self) -> list[nn.Module]:
        """The blocks that torch.compile compiles one by one: those alike in shape are compiled once.
        None, as here, compiles the whole model.
        """
        return []

    def to_patches(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, N, patch_values): what a decoder predicts from each output token.

        The order is row, column, channel, unless an encoder family has its own.
        """
        return patchify(images, self.stride_px)

    def to_images(self, patches: Tensor) -> Tensor:
        """The inverse of `to_patches`."""
        return unpatchify(patches, self.stride_px)

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of this encoder at any image side -> weights that fit at this one. As they are,
        where no weight depends on the image side.
        """
        return weights


def as_map(tokens: Tensor) -> Tensor:
    """(B, N, C) tokens of a square grid, row by row -> (B, C, side, side)."""
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)


def patchify(images: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) -> (B, H/p * W/p, p*p*C); within a patch the order is row, column, channel."""
    batch, channels, height, width = images.shape
    rows, columns = height // patch, width // patch
    grid = images.reshape(batch, channels, rows, patch, columns, patch)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, patch * patch * channels)


def unpatchify(patches: Tensor, patch: int, channels: int = CHANNELS) -> Tensor:
    """(B, N, p*p*C) -> (B, C, H, W) for a square image: the inverse of `patchify`."""
    batch, count, _ = patches.shape
    side = round(count**0.5)
    grid = patches.reshape(batch, side, side, patch, patch, channels)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, side * patch, side * patch)
