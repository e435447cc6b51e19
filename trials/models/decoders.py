"""What turns an encoder's output tokens into pixels in masked image modelling: three sizes, for the
axis that Xie et al. (arXiv 2206.04664) name.

SimMIM's is one linear layer. The larger ones leave less of the work to the encoder: `two-layer`
puts a GELU between two at the encoder's width; `transformer` is MAE's (He et al. 2022) at half the
encoder's width, with four blocks in place of eight, on all tokens.
"""

from __future__ import annotations

from torch import Tensor, nn

from trials.models.encoder import Encoder
from trials.models.vit import Attention, FeedForward, ViTSize, sincos_positions

BLOCKS = 4
HEAD_DIM = 32  # as MAE's decoder: 512 wide, 16 heads


class TransformerDecoder(nn.Module):
    """MAE's decoder: narrow blocks with positions of their own, which start as sines and cosines
    and are trained.
    """

    def __init__(self, *, dim: int, values: int, side: int) -> None:
        """
        Args:
            dim: width of the encoder's tokens.
            values: numbers predicted from each token.
            side: of the grid of tokens.
        """
        super().__init__()
        width = dim // 2
        size = ViTSize(dim=width, depth=BLOCKS, heads=max(width // HEAD_DIM, 1), head_dim=HEAD_DIM, mlp_dim=4 * width)
        self.narrow = nn.Linear(dim, width)
        self.positions = nn.Parameter(sincos_positions(side, width))
        self.blocks = nn.ModuleList(nn.ModuleDict({"attention": Attention(size), "feed_forward": FeedForward(size)}) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(width)
        self.values = nn.Linear(width, values)

    def forward(self, tokens: Tensor, chosen: Tensor | None) -> Tensor:
        """(B, N, dim), (B, M) positions -> (B, M, values); (B, N, values) where none are chosen."""
        tokens = self.narrow(tokens) + self.positions
        for block in self.blocks:
            assert isinstance(block, nn.ModuleDict)
            tokens = tokens + block["attention"](tokens)
            tokens = tokens + block["feed_forward"](tokens)
        return self.values(self.norm(pick(tokens, chosen)))


def pick(tokens: Tensor, chosen: Tensor | None) -> Tensor:
    """(B, N, d) tokens, (B, M) positions -> (B, M, d); all where none are chosen."""
    return tokens if chosen is None else tokens.gather(1, chosen[..., None].expand(-1, -1, tokens.shape[-1]))


def build_decoder(kind: str, encoder: Encoder) -> nn.Module:
    """The decoder that a recipe names, for that encoder, initialised from torch's current random
    state.
    """
    if kind == "transformer":
        return TransformerDecoder(dim=encoder.dim, values=encoder.patch_values, side=encoder.grid_side)
    last = nn.Linear(encoder.dim, encoder.patch_values)
    return nn.Sequential(nn.Linear(encoder.dim, encoder.dim), nn.GELU(), last) if kind == "two-layer" else last


def decode(decoder: nn.Module, tokens: Tensor, chosen: Tensor | None) -> Tensor:
    """(B, N, dim) tokens -> what the decoder says of those at the (B, M) chosen positions, or of
    all: (B, M or N, values).
    """
    if isinstance(decoder, TransformerDecoder):
        return decoder(tokens, chosen)
    return decoder(pick(tokens, chosen))
