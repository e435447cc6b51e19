"""Vision transformers: a table of sizes, and the headless encoder that is built from one.

All sizes have pre-norm blocks, GELU, queries, keys and values without bias, learned positions and
CLS token, a final LayerNorm and no dropout. `viny` is numerically equal to `vit_pytorch.ViT` (a
test holds the two together), which puts a LayerNorm on either side of the patch embedding. The
first of them takes each patch's brightness and contrast away before the encoder sees it, though
SimMIM asks for raw pixels back; the other sizes embed patches as ViT does (Dosovitskiy et al.
2021), with a linear layer alone, and learn several times faster (`benchmarks/README.md`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.errors import InputError
from trials.models.encoder import AttentionMap, Encoder, as_map, patchify
from trials.models.encoders import SIDE, EncoderName, Family, no_such_size, register
from trials.models.full_precision import full_precision
from trials.models.stochastic_depth import DropBranch


@dataclass(frozen=True, kw_only=True)
class ViTSize:
    """Width, depth and attention shape of one encoder size."""

    dim: int
    depth: int
    heads: int
    head_dim: int
    mlp_dim: int
    patch_norms: bool = False
    """LayerNorm before and after the patch embedding."""


# Parameters grow down the table, 0.2M to 86M; viny, tiny, small and base are the field's own sizes,
# the rest fill the ladder.
VIT_SIZES: dict[str, ViTSize] = {
    "pico": ViTSize(dim=64, depth=4, heads=4, head_dim=16, mlp_dim=256),
    "nano": ViTSize(dim=96, depth=6, heads=4, head_dim=24, mlp_dim=384),
    "micro": ViTSize(dim=128, depth=6, heads=4, head_dim=32, mlp_dim=512),
    "milli": ViTSize(dim=160, depth=8, heads=5, head_dim=32, mlp_dim=640),
    "viny": ViTSize(dim=128, depth=12, heads=8, head_dim=64, mlp_dim=512, patch_norms=True),  # Bridge, Sun et al.: inner width 512
    "tiny": ViTSize(dim=192, depth=12, heads=3, head_dim=64, mlp_dim=768),  # ViT-Ti/16, Touvron et al. 2021
    "mini": ViTSize(dim=288, depth=12, heads=6, head_dim=48, mlp_dim=1152),
    "small": ViTSize(dim=384, depth=12, heads=6, head_dim=64, mlp_dim=1536),  # ViT-S/16, Touvron et al. 2021
    "medium": ViTSize(dim=512, depth=12, heads=8, head_dim=64, mlp_dim=2048),
    "base": ViTSize(dim=768, depth=12, heads=12, head_dim=64, mlp_dim=3072),  # ViT-B/16, Dosovitskiy et al. 2021
}


def drawn(*shape: int) -> Tensor:
    """N(0, 1) from torch's random state; empty on the meta device, where drawing would import a
    symbolic algebra system for nothing.
    """
    empty = torch.empty(*shape)
    return empty if empty.is_meta else empty.normal_()


def in_autocast_form(tokens: Tensor) -> Tensor:
    """Tokens in the number format that autocast computes products in, where it is on: half the memory
    traffic between blocks, and no conversion before and after each layer.
    """
    kind = tokens.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return tokens.to(torch.get_autocast_dtype(kind))
    return tokens


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention over (B, heads, N, head_dim).

    On a CPU in bf16 the fused kernel's backward pass is several times slower than plain matrix
    products at these sizes (`benchmarks/attention.py`), so the products are written out there.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        weights = (query @ key.transpose(-1, -2)).mul(query.shape[-1] ** -0.5).softmax(dim=-1)
        return weights @ value
    return F.scaled_dot_product_attention(query, key, value)


class TokenNorm(nn.LayerNorm):
    """LayerNorm of tokens, (B, N, dim) -> the same. bf16 tokens stay bf16.

    Autocast would convert them to float32 and back. Means and variances are float32 sums either way.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.dtype != torch.bfloat16:
            return super().forward(tokens)
        with full_precision(tokens.device):
            return F.layer_norm(tokens, self.normalized_shape, self.weight.to(tokens.dtype), self.bias.to(tokens.dtype), self.eps)


class Attention(nn.Module):
    """Pre-norm multi-head self-attention, (B, N, dim) -> (B, N, dim), without the residual."""

    def __init__(self, size: ViTSize) -> None:
        super().__init__()
        inner = size.heads * size.head_dim
        self.heads = size.heads
        self.norm = TokenNorm(size.dim)
        self.qkv = nn.Linear(size.dim, 3 * inner, bias=False)
        self.project = nn.Linear(inner, size.dim)

    def query_key_value(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, dim) -> three of (B, heads, N, head_dim).

        They are views along a middle dimension: the backward pass then stacks their gradients once,
        in the layout that the product reads, where a leading dimension would have them copied again.
        """
        batch, count, _ = tokens.shape
        query, key, value = self.qkv(self.norm(tokens)).view(batch, count, 3, self.heads, -1).unbind(2)
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)

    def weights(self, tokens: Tensor) -> Tensor:
        """(B, N, dim) tokens as they enter the layer -> (B, heads, N, N) softmax weights. Computed
        anew, so that training keeps its fused attention.
        """
        query, key, _ = self.query_key_value(tokens)
        return (query @ key.transpose(-1, -2)).mul(query.shape[-1] ** -0.5).softmax(dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, _ = tokens.shape
        query, key, value = self.query_key_value(tokens)
        mixed = attention(query, key, value).transpose(1, 2).reshape(batch, count, -1)
        return self.project(mixed)


class FeedForward(nn.Module):
    """Pre-norm MLP, (B, N, dim) -> (B, N, dim), without the residual."""

    def __init__(self, size: ViTSize) -> None:
        super().__init__()
        self.norm = TokenNorm(size.dim)
        self.expand = nn.Linear(size.dim, size.mlp_dim)
        self.contract = nn.Linear(size.mlp_dim, size.dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.contract(F.gelu(self.expand(self.norm(tokens))))


class Block(nn.Module):
    """Attention and MLP, each with its residual, (B, N, dim) -> (B, N, dim)."""

    def __init__(self, size: ViTSize) -> None:
        super().__init__()
        self.attention = Attention(size)
        self.feed_forward = FeedForward(size)
        self.drop_attention, self.drop_feed_forward = DropBranch(), DropBranch()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.drop_attention(self.attention(tokens))
        return tokens + self.drop_feed_forward(self.feed_forward(tokens))


_BLOCK = re.compile(r"blocks\.(\d+)\.")
_EMBEDDING = ("embed.", "positions", "cls_token")


class ViT(Encoder):
    """A headless vision transformer for square images; input and output tokens are the same
    patches.
    """

    def __init__(self, size: ViTSize, *, patch_px: int, image_px: int) -> None:
        super().__init__()
        self.size, self.patch_px, self.image_px = size, patch_px, image_px
        self.dim = self.embed_dim = size.dim
        self.embed_px = self.stride_px = patch_px
        self.layers = size.depth
        self.prefix_tokens = 1
        embed = nn.Linear(self.patch_values, size.dim)
        norms = (nn.LayerNorm(self.patch_values), nn.LayerNorm(size.dim))
        self.embed = nn.Sequential(norms[0], embed, norms[1]) if size.patch_norms else nn.Sequential(embed)
        self.cls_token = nn.Parameter(drawn(size.dim))
        self.positions = nn.Parameter(drawn(self.patches + 1, size.dim))  # position 0 is the CLS token's
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.depth))
        self.norm = nn.LayerNorm(size.dim)

    def transform(self, tokens: Tensor) -> Tensor:
        """The blocks and the final LayerNorm on embedded tokens that carry their positions, (B, N,
        dim) -> (B, N, dim).
        """
        tokens = in_autocast_form(tokens)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def repeated_blocks(self) -> list[nn.Module]:
        return list(self.blocks)

    def forward(self, images: Tensor, *, cls: bool = True) -> Tensor:
        """(B, 3, H, W) normalised images -> (B, 1 + N, dim) tokens, CLS first; without CLS, as in
        SimMIM, (B, N, dim).
        """
        tokens = self.embed(patchify(images, self.patch_px)) + self.positions[1:]
        if cls:
            first = (self.cls_token + self.positions[0]).expand(len(images), 1, -1)
            tokens = torch.cat([first.to(tokens.dtype), tokens], dim=1)
        return self.transform(tokens)

    def encode_masked(self, images: Tensor, hidden: Tensor, mask_token: Tensor) -> Tensor:
        """(B, N, dim) tokens, no CLS fed, where the (dim,) mask token stands for the embeddings of
        the patches that (B, N) `hidden` names.
        """
        tokens = self.embed(patchify(images, self.patch_px))
        tokens = torch.where(hidden[..., None], mask_token.to(tokens.dtype), tokens)
        return self.transform(tokens + self.positions[1:])

    def encode_shown(self, images: Tensor, shown: Tensor) -> Tensor:
        tokens = self.embed(patchify(images, self.patch_px)) + self.positions[1:]
        tokens = tokens.gather(1, shown[..., None].expand(-1, -1, self.dim))
        first = (self.cls_token + self.positions[0]).expand(len(images), 1, -1)
        return self.transform(torch.cat([first.to(tokens.dtype), tokens], dim=1))

    def token_maps(self, images: Tensor, after: Sequence[int]) -> list[Tensor]:
        tokens = self.embed(patchify(images, self.patch_px)) + self.positions[1:]
        maps, tokens = {}, in_autocast_form(tokens)
        for number, block in enumerate(self.blocks, start=1):
            tokens = block(tokens)
            maps[number] = as_map(self.norm(tokens) if number == self.layers else tokens.float())
        return [maps[number] for number in after]

    def layer_of(self, name: str) -> int:
        """0 to depth + 1, as SimMIM's `get_vit_layer`."""
        block = _BLOCK.match(name)
        if block is not None:
            return int(block[1]) + 1
        return 0 if name.startswith(_EMBEDDING) else self.layers + 1

    def branches(self) -> list[tuple[DropBranch, ...]]:
        """Attention and feed-forward layer of each block."""
        return [(block.drop_attention, block.drop_feed_forward) for block in self.blocks if isinstance(block, Block)]

    def attention_maps(self, images: Tensor) -> Iterator[AttentionMap]:
        """Each block's attention between patches; CLS is not fed."""
        tokens = in_autocast_form(self.embed(patchify(images, self.patch_px)) + self.positions[1:])
        for block in self.blocks:
            assert isinstance(block, Block)
            yield AttentionMap(weights=block.attention.weights(tokens)[:, None], place_px=self.patch_px)
            tokens = block(tokens)

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of this encoder at any image side -> fit for this one: positions are resampled
        bicubically, as Touvron et al. 2021 do.
        """
        positions = weights.get("positions")
        if positions is None or positions.shape == self.positions.shape or positions.ndim != 2:
            return weights
        old, new = math.isqrt(len(positions) - 1), self.image_px // self.patch_px
        if old**2 != len(positions) - 1:
            return weights  # of no square image: loading them says so
        grid = positions[1:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
        resampled = grid.permute(0, 2, 3, 1).reshape(new * new, -1).to(positions.dtype)
        return weights | {"positions": torch.cat([positions[:1], resampled])}


def sincos_positions(side: int, dim: int) -> Tensor:
    """(side * side, dim) positions: sines and cosines of the row in one half, of the column in the
    other (He et al. 2022, MAE).

    Near places start alike, so attention can look at neighbours from the first step; from N(0, 1),
    SimMIM first spends most of a short training on learning which places are near
    (`benchmarks/README.md`). They are trained like any others.
    """
    frequencies = 10_000 ** -(torch.arange(dim // 4) / (dim // 4))
    angles = torch.arange(side)[:, None] * frequencies
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows = line[:, None].expand(side, side, -1)
    columns = line[None, :].expand(side, side, -1)
    return torch.cat([rows, columns], dim=2).reshape(side * side, dim)


class ViTFamily(Family):
    """`size/patch@image`, such as 'viny/16@128'."""

    name = "vit"
    sizes = tuple(VIT_SIZES)
    pattern = f"({'|'.join(VIT_SIZES)})/{SIDE}@{SIDE}"
    reads = "size/patch@image, such as 'viny/16@128'"

    def parse(self, name: str) -> EncoderName | None:
        match = re.fullmatch(rf"([a-z]+)/({SIDE})@({SIDE})", name)
        if match is None:
            return None
        size, patch_px, image_px = match[1], int(match[2]), int(match[3])
        if size not in VIT_SIZES:
            raise no_such_size(name, size, self.sizes)
        if image_px % patch_px or image_px < 2 * patch_px:
            raise InputError(f"Encoder {name!r}: a patch of {patch_px} px does not divide an image of {image_px} px into at least 2 x 2 patches.")
        return EncoderName(
            family=self,
            size=VIT_SIZES[size],
            size_name=size,
            embed_px=patch_px,
            stride_px=patch_px,
            image_px=image_px,
            has_cls=True,
            drops_tokens=True,
            has_branches=True,
        )

    def spell(self, of: EncoderName, image_px: int) -> str:
        return f"{of.size_name}/{of.embed_px}@{image_px}"

    def build(self, of: EncoderName, *, positions: str) -> ViT:
        encoder = ViT(of.size, patch_px=of.embed_px, image_px=of.image_px)
        if positions == "sincos":
            with torch.no_grad():
                encoder.positions[1:] = sincos_positions(encoder.grid_side, of.size.dim)
        return encoder


register(ViTFamily())
