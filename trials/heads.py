"""Heads on an encoder: one class for an image, or one class for each pixel."""

from __future__ import annotations

from torch import Tensor, nn

from trials.encoders import ViT, unpatchify

POOLS = ("mean", "cls")


class Classifier(nn.Module):
    """A linear head on the mean of the patch tokens, or on the CLS token.

    `cls` is the paper's form, but SimMIM never trains the CLS token, which confounds objective with a fresh token (papers.md,
    fault 7); `mean` reads the tokens that were pre-trained, and feeds no CLS.
    """

    def __init__(self, encoder: ViT, *, classes: int, pool: str) -> None:
        super().__init__()
        self.encoder, self.pool = encoder, pool
        self.head = nn.Linear(encoder.dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes) logits in float32."""
        tokens = self.encoder(images, cls=self.pool == "cls")
        return self.head(tokens[:, 0] if self.pool == "cls" else tokens.mean(dim=1)).float()


class Segmenter(nn.Module):
    """A linear head on each patch token that predicts the class of each pixel of that patch; no CLS token is fed."""

    def __init__(self, encoder: ViT, *, classes: int) -> None:
        super().__init__()
        self.encoder, self.classes = encoder, classes
        self.head = nn.Linear(encoder.dim, encoder.patch_px**2 * classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes, H, W) logits in float32."""
        tokens = self.encoder(images, cls=False)
        return unpatchify(self.head(tokens), self.encoder.patch_px, self.classes).float()
