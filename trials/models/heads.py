"""Heads on an encoder: one class for an image, or one class for each pixel."""

from __future__ import annotations

from torch import Tensor, nn

from trials.errors import InputError
from trials.models.encoder import Encoder, unpatchify
from trials.models.encoders import parse_encoder

POOLS = ("mean", "cls")


def check_pool(encoder: str, pool: str) -> None:
    """Whether the encoder of that name has what a head reads; nothing is built, so a plan may ask.

    Raises:
        InputError: the encoder's name is wrong, or it has no CLS token to read.
    """
    if pool == "cls" and not parse_encoder(encoder).has_cls:
        raise InputError(f"pool: cls needs a CLS token, and {encoder} has none: set the recipe's pool to mean, which reads the mean token.")


class Classifier(nn.Module):
    """A linear head on the mean of the output tokens, or on the CLS token, which only a ViT has.

    `cls` is the first paper's form, but SimMIM never trains the CLS token, so the objective is
    confounded with an untrained token; `mean` reads the pre-trained tokens and feeds no CLS.
    """

    def __init__(self, encoder: Encoder, *, classes: int, pool: str) -> None:
        super().__init__()
        self.encoder, self.pool = encoder, pool
        self.head = nn.Linear(encoder.dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes) logits in float32."""
        tokens = self.encoder(images, cls=self.pool == "cls")
        return self.head(tokens[:, 0] if self.pool == "cls" else tokens.mean(dim=1)).float()


class Segmenter(nn.Module):
    """A linear head on each output token that predicts the class of each pixel it stands for; no
    CLS token is fed.
    """

    def __init__(self, encoder: Encoder, *, classes: int) -> None:
        super().__init__()
        self.encoder, self.classes = encoder, classes
        self.head = nn.Linear(encoder.dim, encoder.stride_px**2 * classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes, H, W) logits in float32."""
        tokens = self.encoder(images, cls=False)
        return unpatchify(self.head(tokens), self.encoder.stride_px, self.classes).float()
