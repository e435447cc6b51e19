"""Swin Transformers V2 (Liu et al. 2022, arXiv 2111.09883) in the form of Xie et al. (arXiv
2206.04664), on torchvision's blocks.

Windows are a sixteenth of the image's side, 12 tokens at 192 px and 14 at 224, and at most the
whole feature map, which is then one window that is not shifted. Microsoft's code does so;
torchvision pads. Parameters are those that the paper counts: 48.96, 86.89, 195.20, 655.21 and
1060.98 million. That leaves no room for the LayerNorm after every six blocks that Liu et al.
describe for their own H and G, and Microsoft's public code has none.

Position biases are functions of offsets measured in windows of 192 px, 12, 12, 12 and 6 tokens,
whatever the image's side. So an encoder pre-trained at 192 px and fine-tuned at 224 is Microsoft's
with `PRETRAINED_WINDOW_SIZES: [12, 12, 12, 6]`; one that is trained at another side from the start
has inputs to its position bias that differ from theirs by a constant factor before the logarithm.

torchvision's models take seconds to import, so this is imported when a Swin Transformer is built;
names and sizes are in `trials/models/swin_sizes.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.swin_transformer import PatchMergingV2
from torchvision.ops import Permute

from trials.models.encoder import CHANNELS, AttentionMap, Encoder
from trials.models.stochastic_depth import DropBranch
from trials.models.swin_sizes import LAYER_DECAYS, PATCH_PX, PRETRAINED_PX, PRETRAINED_WINDOW, SwinSize, window_side
from trials.models.window_attention import WindowAttention, WindowBlock

_PART = re.compile(r"features\.(\d+)\.(\d+|norm|reduction)\.")


class SwinV2(Encoder):
    """A headless Swin Transformer V2 for square images: input tokens of 4 px, output tokens of 32."""

    raw_maps = True

    def __init__(self, size: SwinSize, *, image_px: int) -> None:
        super().__init__()
        self.size, self.image_px = size, image_px
        self.embed_px, self.embed_dim = PATCH_PX, size.channels
        self.stride_px, self.dim = size.stride_px, size.channels * 2 ** (len(size.depths) - 1)
        self.layers = sum(size.depths)
        embed = nn.Sequential(nn.Conv2d(CHANNELS, size.channels, PATCH_PX, PATCH_PX), Permute([0, 2, 3, 1]), nn.LayerNorm(size.channels))
        layers: list[nn.Module] = [embed]
        for stage, depth in enumerate(size.depths):
            layers.append(nn.Sequential(*(self._block(stage, number) for number in range(depth))))
            if stage < len(size.depths) - 1:
                layers.append(PatchMergingV2(size.channels * 2**stage, nn.LayerNorm))
        self.features = nn.Sequential(*layers)  # numbered as torchvision's
        self.norm = nn.LayerNorm(self.dim)
        self._initialise()

    def _block(self, stage: int, number: int) -> WindowBlock:
        dim, grid = self.size.channels * 2**stage, self.image_px // PATCH_PX // 2**stage
        window = min(window_side(self.image_px), grid)
        attention = partial(
            _attention,
            grid=grid,
            window=window,
            shift=window // 2 if number % 2 and window < grid else 0,
            unit=min(PRETRAINED_WINDOW, PRETRAINED_PX // PATCH_PX // 2**stage),
        )
        heads = dim // self.size.head_dim
        return WindowBlock(dim, heads, [window, window], [0, 0], attn_layer=attention)

    def _initialise(self) -> None:
        """As Microsoft's code: every branch's closing LayerNorm starts at 0, so that each block
        starts as the identity.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, WindowBlock):
                nn.init.zeros_(module.norm1.weight)
                nn.init.zeros_(module.norm2.weight)

    def _transform(self, tokens: Tensor) -> Tensor:
        for layer in list(self.features)[1:]:
            tokens = layer(tokens)
        return self.norm(tokens).flatten(1, 2)

    def repeated_blocks(self) -> list[nn.Module]:
        return [module for module in self.features.modules() if isinstance(module, WindowBlock)]

    def forward(self, images: Tensor, *, cls: bool = False) -> Tensor:
        """(B, 3, H, W) normalised images -> (B, N, dim) tokens; there is no CLS token to ask for."""
        assert not cls, "SwinV2 has no CLS token"
        return self._transform(self.features[0](images))

    def encode_masked(self, images: Tensor, hidden: Tensor, mask_token: Tensor) -> Tensor:
        """Encodes images to (B, N, dim) tokens, with the (embed_dim,) mask token in place of the 4 px
        embeddings where (B, (H/4)^2) `hidden` is true.
        """
        tokens = self.features[0](images)
        hidden = hidden.view(*tokens.shape[:3], 1)
        return self._transform(torch.where(hidden, mask_token.to(tokens.dtype), tokens))

    def to_patches(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, N, s*s*3), the values that a decoder predicts from each token, in the
        order channel, row, column.

        That is the order of a convolution before a pixel shuffle, SimMIM's head, so its weights and
        a linear decoder's can be exchanged.
        """
        return F.pixel_unshuffle(images, self.stride_px).flatten(2).transpose(1, 2)

    def to_images(self, patches: Tensor) -> Tensor:
        """The inverse of `to_patches`."""
        return F.pixel_shuffle(patches.transpose(1, 2).unflatten(2, (self.grid_side, self.grid_side)), self.stride_px)

    def layer_of(self, name: str) -> int:
        """0 to sum(depths) + 1, as SimMIM's `get_swin_layer`: the merging of patches after a stage
        belongs to the stage's last block.

        `features` holds the embedding, then by turns the blocks of a stage and the merging of
        patches after it.
        """
        part = _PART.match(name)
        if part is None:
            return self.layers + 1
        if part[1] == "0":
            return 0
        stage = (int(part[1]) - 1) // 2
        return sum(self.size.depths[:stage]) + int(part[2]) + 1 if int(part[1]) % 2 else sum(self.size.depths[: stage + 1])

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """The output of each stage, at strides of 4, 8, 16 and 32 px; the last with its norm."""
        tokens, maps = self.features[0](images), []
        layers = list(self.features)[1:]
        for place, layer in enumerate(layers):
            tokens = layer(tokens)
            if not isinstance(layer, PatchMergingV2):
                last = self.norm(tokens) if place == len(layers) - 1 else tokens
                maps.append(last.permute(0, 3, 1, 2))
        return maps

    @property
    def map_channels(self) -> tuple[int, ...]:
        return tuple(self.size.channels * 2**stage for stage in range(len(self.size.depths)))

    def branches(self) -> list[tuple[DropBranch, ...]]:
        """Attention and feed-forward layer of each block."""
        return [tuple(block.drops) for block in self.modules() if isinstance(block, WindowBlock)]  # type: ignore[arg-type]

    @property
    def usual_layer_decay(self) -> float | None:
        return LAYER_DECAYS.get(self.size.channels)

    def is_undecayed(self, name: str) -> bool:
        """What makes up the position bias and the scale of the cosine attention (Microsoft's
        `no_weight_decay_keywords`).
        """
        return name.endswith("logit_scale") or ".cpb_mlp." in name

    def attention_maps(self, images: Tensor) -> Iterator[AttentionMap]:
        """Each block's attention within its windows, shifted or not, at its stage's resolution."""
        tokens, place_px = self.features[0](images), PATCH_PX
        for layer in list(self.features)[1:]:
            if isinstance(layer, PatchMergingV2):
                tokens, place_px = layer(tokens), place_px * 2
                continue
            for block in layer.children():
                attention = block.attn
                assert isinstance(attention, WindowAttention)
                weights = attention.weights(tokens)
                unshifted = weights.new_zeros(1, 1, *weights.shape[-2:])
                yield AttentionMap(weights=weights, place_px=place_px, mask=unshifted if attention.shift_mask is None else attention.shift_mask)
                tokens = block(tokens)


def _attention(dim: int, _window: list[int], _shift: list[int], heads: int, /, *, attention_dropout: float, dropout: float, **of: int) -> nn.Module:
    """What torchvision's block calls to make its attention; our own windows are among `of`."""
    return WindowAttention(dim, heads=heads, **of)
