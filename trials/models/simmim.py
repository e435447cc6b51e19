"""SimMIM in two forms: that of Bridge, Sun et al., which is the default here, and that of Xie et
al. (arXiv 2206.04664).

Squares of an image are hidden: a learned token replaces their embeddings. A decoder predicts their
pixels, and the loss is the mean absolute error over these (Xie et al. 2022, arXiv 2111.09886).
`trials.recipes.fields.PretrainRecipe` names what differs: the squares' side and how many there are
(`trials/models/masking.py`), what is predicted (`trials/models/mim_targets.py`), how the mask token
starts, the decoder (`trials/models/decoders.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.models.decoders import build_decoder, decode, pick
from trials.models.encoder import Encoder
from trials.models.masking import as_grid, draw_masks, mask_unit_px, refine
from trials.models.mim_targets import normalise_by_window, window_statistics
from trials.models.vit import drawn
from trials.recipes.fields import PretrainRecipe


class SimMIM(nn.Module):
    """An encoder with a mask token, and a decoder from its output tokens to pixels.

    A mask token replaces embeddings before positions are added, and no CLS token is fed. Where the
    squares hold whole output tokens these alone are decoded, for the others would not enter the
    loss.
    """

    def __init__(self, encoder: Encoder, *, unit_px: int = 0, target: str = "pixels", token_start: str = "normal", decoder: str = "linear") -> None:
        """
        Args:
            encoder: with or without weights.
            unit_px: side of the squares that are hidden or not; 0 is that of an output token.
            target, token_start, decoder: as in `PretrainRecipe`.
        """
        super().__init__()
        self.encoder = encoder
        self.unit_px = unit_px or encoder.stride_px
        self.units = (encoder.image_px // self.unit_px) ** 2
        self.by_window = target == "window-normalised"
        self.mask_token = nn.Parameter(drawn(encoder.embed_dim))
        if token_start == "truncated":
            nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.decoder = build_decoder(decoder, encoder)

    @property
    def given(self) -> str:
        """What a reconstruction is given besides the prediction, to follow a picture's caption."""
        return "; brightness and contrast of the reconstruction are those around each pixel of the image" if self.by_window else ""

    def _on_grid(self, masked: Tensor, cell_px: int) -> Tensor:
        """(B, M) masked units -> (B, M') positions of the cells of that side which they hold."""
        return refine(masked, self.encoder.image_px // self.unit_px, self.unit_px // cell_px)

    def _decoded(self, masked: Tensor) -> Tensor | None:
        """(B, M') positions of the output tokens that masked units are made of; None where units
        are smaller than tokens, or cut them.
        """
        return self._on_grid(masked, self.encoder.stride_px) if self.unit_px % self.encoder.stride_px == 0 else None

    def encode(self, images: Tensor, masked: Tensor) -> Tensor:
        """(B, 3, H, W) images, (B, M) masked units -> (B, N, dim) tokens."""
        cells = (self.encoder.image_px // self.encoder.embed_px) ** 2
        return self.encoder.encode_masked(images, as_grid(self._on_grid(masked, self.encoder.embed_px), cells), self.mask_token)

    def predict(self, images: Tensor, masked: Tensor) -> Tensor:
        """What is predicted of the output tokens that masked units are made of, or else of all: (B,
        M', values) in float32.
        """
        return decode(self.decoder, self.encode(images, masked), self._decoded(masked)).float()

    def forward(self, images: Tensor, masked: Tensor, *, per_image: bool = False) -> Tensor:
        """Mean absolute error over the masked pixels: a scalar, or (B,) if `per_image`.

        Args:
            images: (B, 3, H, W), normalised by channel.
            masked: (B, M) positions of the hidden units, row by row.
        """
        prediction, chosen = self.predict(images, masked), self._decoded(masked)
        target = pick(self.encoder.to_patches(normalise_by_window(images) if self.by_window else images), chosen).float()
        if chosen is None:
            hidden = self.encoder.to_patches(self.hidden_pixels(masked).expand(-1, 3, -1, -1).float())
            error = (F.l1_loss(prediction, target, reduction="none") * hidden).sum(dim=(1, 2)) / hidden.sum(dim=(1, 2))
            return error if per_image else error.mean()
        if per_image:
            return F.l1_loss(prediction, target, reduction="none").mean(dim=(1, 2))
        return F.l1_loss(prediction, target)

    def hidden_pixels(self, masked: Tensor) -> Tensor:
        """(B, M) masked units -> (B, 1, H, W) bool."""
        side = self.encoder.image_px // self.unit_px
        grid = as_grid(masked, self.units).view(-1, 1, side, side)
        return grid.repeat_interleave(self.unit_px, 2).repeat_interleave(self.unit_px, 3)

    def reconstruct(self, images: Tensor, masked: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images in float32, the masked pixels as predicted.

        A prediction of window-normalised pixels says nothing of brightness and contrast: it is
        given those of the true image's windows.
        """
        prediction, chosen = self.predict(images, masked), self._decoded(masked)
        patches = self.encoder.to_patches(torch.zeros_like(images, dtype=torch.float32))
        said = self.encoder.to_images(
            prediction if chosen is None else patches.scatter(1, chosen[..., None].expand(-1, -1, patches.shape[-1]), prediction)
        )
        if self.by_window:
            mean, deviation = window_statistics(images)
            said = said * deviation + mean
        return torch.where(self.hidden_pixels(masked), said, images.float())

    def draw_masks(self, images: int, recipe: PretrainRecipe, generator: torch.Generator) -> Tensor:
        """Fresh (images, M) masked units of that recipe, on the generator's device."""
        return draw_masks(images, self.units, recipe.mask_ratio, generator, recipe.mask_rounding)


def simmim(recipe: PretrainRecipe, encoder: Encoder) -> SimMIM:
    """The model that a recipe describes, around that encoder."""
    return SimMIM(
        encoder,
        unit_px=mask_unit_px(recipe, encoder.stride_px),
        target=recipe.target,
        token_start=recipe.token_start,
        decoder=recipe.decoder,
    )
