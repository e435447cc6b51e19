"""A head that gives an image its class; those for pixels are in `segmentation_heads/`."""

from __future__ import annotations

from torch import Tensor, nn

from trials.errors import InputError
from trials.models.encoder import Encoder
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
