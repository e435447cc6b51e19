"""Heads on an encoder that stays as it is: no gradient reaches it, and it is always in evaluation
mode.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.models.encoder import Encoder
from trials.models.heads import Classifier

HEAD_DIM = 64


class FrozenClassifier(Classifier):
    """`Classifier` on an encoder that stays as it is."""

    def __init__(self, encoder: Encoder, *, classes: int, pool: str) -> None:
        super().__init__(encoder, classes=classes, pool=pool)
        encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.encoder.eval()
        return self

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, dim) pooled output tokens."""
        tokens: Tensor = self.encoder(images, cls=self.pool == "cls")
        return tokens[:, 0] if self.pool == "cls" else tokens.mean(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits.float()


class AttentiveProbeModel(nn.Module):
    """Multi-head attention of one learned query over frozen output tokens, a norm, a linear head."""

    def __init__(self, encoder: Encoder, *, classes: int) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.heads = next(heads for heads in range(max(1, encoder.dim // HEAD_DIM), 0, -1) if encoder.dim % heads == 0)
        self.query_token = nn.Parameter(torch.empty(encoder.dim).normal_(std=0.02))
        self.keys_values = nn.Linear(encoder.dim, 2 * encoder.dim)
        self.out = nn.Linear(encoder.dim, encoder.dim)
        self.norm = nn.LayerNorm(encoder.dim)
        self.head = nn.Linear(encoder.dim, classes)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes) logits in float32."""
        with torch.no_grad():
            tokens = self.encoder(images, cls=False)
        keys, values = self.keys_values(tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query = self.query_token.to(keys.dtype).view(1, self.heads, 1, -1).expand(len(tokens), -1, -1, -1)
        pooled = F.scaled_dot_product_attention(query, keys, values).flatten(1)
        logits: Tensor = self.head(self.norm(self.out(pooled)))
        return logits.float()
