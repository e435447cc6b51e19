"""`linear`: batch norm and a 1 x 1 convolution on the output tokens, upsampled bilinearly: the linear
evaluation of DINOv2 (Oquab et al. 2023, arXiv 2304.07193).
"""

from __future__ import annotations

from torch import Tensor, nn

from trials.models.encoder import Encoder, as_map
from trials.models.segmentation_heads.head import Segmenter, at_pixels, register


@register
class LinearTokens(Segmenter):
    """One class for each output token, from which those of pixels are interpolated."""

    name = "linear"

    def __init__(self, encoder: Encoder, *, classes: int) -> None:
        super().__init__(encoder, classes=classes)
        self.norm = nn.BatchNorm2d(encoder.dim)
        self.head = nn.Conv2d(encoder.dim, classes, 1)

    @classmethod
    def make(cls, encoder: Encoder, *, classes: int, channels: int, dropout: float) -> LinearTokens:
        return cls(encoder, classes=classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes, H, W) logits in float32."""
        return at_pixels(self.head(self.norm(as_map(self.encoder(images, cls=False)))), images)
