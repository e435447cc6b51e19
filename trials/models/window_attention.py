"""Swin V2's attention within windows (Liu et al. 2022, arXiv 2111.09883): scaled cosines and a
continuous relative position bias.

The parameters are those of torchvision's block, which is built with this in place of its own
attention, for four reasons. Keys have no bias, as in Microsoft's code; torchvision keeps one and
multiplies it away, so its models count it. The bias is a function of places whose scale is fixed
(`coordinates`), so that weights serve at any image side. The mask of shifted windows is made once,
not in each pass. And a GPU gets a fused kernel. No window is ever padded: its side divides that of
the feature map.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torchvision.models.swin_transformer import ShiftedWindowAttentionV2, SwinTransformerBlockV2

from trials.models.full_precision import full_precision
from trials.models.stochastic_depth import DropBranch

MASKED = -100.0
"""Added to the logits of two places that only a cyclic shift has brought together, as Microsoft's
code does.
"""


def to_windows(grid: Tensor, side: int) -> Tensor:
    """(B, H, W, C) -> (B, windows, side * side, C), windows row by row, places in a window row by
    row.
    """
    batch, height, width, channels = grid.shape
    cut = grid.view(batch, height // side, side, width // side, side, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(batch, -1, side * side, channels)


def from_windows(windows: Tensor, side: int, height: int) -> Tensor:
    """The inverse of `to_windows` for a square grid of that height."""
    batch, _, _, channels = windows.shape
    cut = windows.view(batch, height // side, height // side, side, side, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, height, channels)


def coordinates(side: int, unit: int) -> Tensor:
    """(1, 2 * side - 1, 2 * side - 1, 2) offsets within a window of that side, log-spaced (Liu et
    al. 2022, equation 4).

    An offset of `unit` - 1 places is 8 before the logarithm: `unit` is the side of the window that
    the encoder was pre-trained with.
    """
    offsets = torch.arange(-(side - 1), side, dtype=torch.float32) * (8 / (unit - 1))
    spaced = torch.sign(offsets) * torch.log2(offsets.abs() + 1) / math.log2(8)
    return torch.stack(torch.meshgrid(spaced, spaced, indexing="ij"), dim=-1)[None]


def shift_mask(height: int, side: int, shift: int) -> Tensor:
    """Attention mask (windows, side^2, side^2) of 0 and `MASKED` for a grid rolled by `shift`."""
    place = torch.arange(height)
    region = (place >= height - side).int() + (place >= height - shift).int()  # 0, 1 or 2 along one axis
    regions = to_windows((3 * region[:, None] + region)[None, :, :, None], side)[0, ..., 0]
    return torch.where(regions[:, :, None] == regions[:, None, :], 0.0, MASKED)


TRAINED_WITH = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""What torch chooses among where the bias is trained. Without gradients it would take cuDNN's kernel
first, whose numbers differ, and which may refuse a bias whose rows are no multiple of 16 bytes.
"""


def biased_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, *, fused: bool) -> Tensor:
    """softmax(query key' + bias) value over (B, windows, heads, N, head_dim), the bias (1 or
    windows, heads, N, N).

    `fused` is for GPUs. A CPU's fused kernel takes no bias that is trained and falls back to
    products as written here.
    """
    if not fused:
        return (query @ key.transpose(-1, -2) + bias).softmax(dim=-1).to(value.dtype) @ value
    # windows alike join the batch; windows unlike join the heads, so that the bias is repeated over
    # images alone
    first = 0 if len(bias) == 1 else 1
    flat = bias if len(bias) == 1 else bias.flatten(0, 1)[None]
    query_, key_, value_ = (x.flatten(first, first + 1) for x in (query, key, value))
    with contextlib.nullcontext() if torch.is_grad_enabled() else sdpa_kernel(TRAINED_WITH):
        return F.scaled_dot_product_attention(query_, key_, value_, attn_mask=flat.to(value.dtype), scale=1.0).view_as(query)


class WindowAttention(ShiftedWindowAttentionV2):
    """Multi-head attention within windows of a square grid, (B, H, W, dim) -> the same, without
    norm and residual.
    """

    def __init__(self, dim: int, *, heads: int, grid: int, window: int, shift: int, unit: int) -> None:
        """
        Args:
            dim: width of a token.
            heads: attention heads.
            grid: side of the feature map, in tokens.
            window: side of a window, in tokens; divides the grid.
            shift: places by which windows are shifted, 0 where one window is the whole grid.
            unit: see `coordinates`.
        """
        super().__init__(dim, [window, window], [shift, shift], heads, qkv_bias=False)
        self.grid, self.window, self.shift = grid, window, shift
        self.query_bias = nn.Parameter(torch.zeros(dim))
        self.value_bias = nn.Parameter(torch.zeros(dim))
        # functions of the image side and not of training: they stay out of the weights, which
        # another image side may read
        self.register_buffer("relative_coords_table", coordinates(window, unit), persistent=False)
        self.register_buffer("relative_position_index", self.relative_position_index, persistent=False)
        self.register_buffer("shift_mask", shift_mask(grid, window, shift)[:, None] if shift else None, persistent=False)

    def bias(self) -> Tensor:
        """(1 or windows, heads, N, N) what is added to the logits: the relative position bias, and
        the mask where windows are shifted.
        """
        with full_precision(self.proj.weight.device):  # in bf16 a bias of up to 16 would be off by up to 0.03
            relative = self.get_relative_position_bias()
        return relative if self.shift_mask is None else relative + self.shift_mask

    def query_key_value(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H, W, dim) -> three of (B, windows, heads, N, head_dim); products of the first two
        are scaled cosines.
        """
        if self.shift:
            tokens = tokens.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = to_windows(tokens, self.window)
        bias = torch.cat([self.query_bias, torch.zeros_like(self.query_bias), self.value_bias])
        split = F.linear(windows, self.qkv.weight, bias).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 1, 4, 2, 5)
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp()
        # unit length in float32: a bf16 norm would move every cosine
        query, key = (F.normalize(x.float(), dim=-1) for x in split[:2])
        return (query * scale).to(split.dtype), key.to(split.dtype), split[2]

    def weights(self, tokens: Tensor) -> Tensor:
        """(B, H, W, dim) tokens as they enter -> (B, windows, heads, N, N) softmax weights."""
        query, key, _ = self.query_key_value(tokens)
        return (query @ key.transpose(-1, -2) + self.bias()).softmax(dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.query_key_value(tokens)
        mixed = biased_attention(query, key, value, self.bias(), fused=tokens.is_cuda)
        mixed = self.proj(mixed.transpose(2, 3).flatten(3))
        grid = from_windows(mixed, self.window, self.grid)
        return grid.roll((self.shift, self.shift), dims=(1, 2)) if self.shift else grid


class WindowBlock(SwinTransformerBlockV2):
    """torchvision's block, whose two residual branches images can drop each on its own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.drops = nn.ModuleList((DropBranch(), DropBranch()))

    def forward(self, tokens: Tensor) -> Tensor:
        first, second = self.drops
        tokens = tokens + first(self.norm1(self.attn(tokens)))
        return tokens + second(self.norm2(self.mlp(tokens)))
