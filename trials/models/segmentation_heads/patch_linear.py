"""`patch-linear`: a linear layer on each output token (Bridge, Sun et al.)."""

from __future__ import annotations

from torch import Tensor, nn

from trials.models.encoder import Encoder, unpatchify
from trials.models.segmentation_heads.head import Segmenter, register


@register
class PatchLinear(Segmenter):
    """A linear head on each output token that predicts the class of each pixel it stands for; no
    CLS token is fed.
    """

    name = "patch-linear"

    def __init__(self, encoder: Encoder, *, classes: int) -> None:
        super().__init__(encoder, classes=classes)
        self.head = nn.Linear(encoder.dim, encoder.stride_px**2 * classes)

    @classmethod
    def make(cls, encoder: Encoder, *, classes: int, channels: int, dropout: float) -> PatchLinear:
        return cls(encoder, classes=classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes, H, W) logits in float32."""
        tokens = self.encoder(images, cls=False)
        return unpatchify(self.head(tokens), self.encoder.stride_px, self.classes).float()
