"""SimMIM (Xie et al. 2022, arXiv 2111.09886) in the form of Bridge, Sun et al.: mask whole patches, predict their pixels, L1."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.encoders import ViT, patchify


def masked_count(patches: int, ratio: float) -> int:
    """Patches masked in each image: the ratio of them, rounded to the nearest, at least one and not all."""
    return min(max(round(patches * ratio), 1), patches - 1)


def draw_masks(images: int, patches: int, ratio: float, generator: torch.Generator) -> Tensor:
    """Which patches to mask, exactly as many in each image: (images, masked) int64 positions, on the generator's device."""
    order = torch.rand(images, patches, generator=generator, device=generator.device).argsort(dim=1)
    return order[:, : masked_count(patches, ratio)]


class SimMIM(nn.Module):
    """An encoder with a mask token and a linear decoder from a token to the pixels of its patch.

    A mask token replaces the patch embedding before positions are added, no CLS token is fed, and only the masked patches are
    decoded (the others would not enter the loss).
    """

    def __init__(self, encoder: ViT) -> None:
        super().__init__()
        self.encoder = encoder
        self.mask_token = nn.Parameter(torch.randn(encoder.dim))
        self.decoder = nn.Linear(encoder.dim, encoder.patch_values)

    def encode(self, images: Tensor, masked: Tensor) -> Tensor:
        """(B, 3, H, W) images, (B, M) masked positions -> (B, N, dim) tokens."""
        tokens = self.encoder.embed(patchify(images, self.encoder.patch_px))
        hidden = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device).scatter_(1, masked, True)
        tokens = torch.where(hidden[..., None], self.mask_token.to(tokens.dtype), tokens)
        return self.encoder.transform(tokens + self.encoder.positions[1:])

    def predict(self, images: Tensor, masked: Tensor) -> Tensor:
        """Normalised pixels of the masked patches, (B, M, p*p*3), in float32."""
        tokens = self.encode(images, masked)
        chosen = tokens.gather(1, masked[..., None].expand(-1, -1, tokens.shape[-1]))
        return self.decoder(chosen).float()

    def forward(self, images: Tensor, masked: Tensor, *, per_image: bool = False) -> Tensor:
        """Mean absolute error over the masked pixels: a scalar, or (B,) if `per_image`."""
        prediction = self.predict(images, masked)
        target = patchify(images, self.encoder.patch_px)
        target = target.gather(1, masked[..., None].expand(-1, -1, target.shape[-1])).float()
        if per_image:
            return F.l1_loss(prediction, target, reduction="none").mean(dim=(1, 2))
        return F.l1_loss(prediction, target)
