"""MAE (He et al. 2022, arXiv 2111.06377): the encoder sees the patches that are not hidden, and a
narrow decoder predicts the hidden ones.

The encoder is fed what is shown and its CLS token, a quarter of the tokens by default, which is why
a step costs less than SimMIM's. The decoder puts a learned token in each hidden place, adds fixed
positions of sines and cosines, and its loss is the mean squared error over the hidden patches, each
normalised by its own mean and variance. A test holds loss and gradients to transformers' ViTMAE.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trials.errors import InputError
from trials.models.decoders import HEAD_DIM, pick
from trials.models.encoder import Encoder
from trials.models.encoders import parse_encoder
from trials.models.full_precision import full_precision
from trials.models.masking import as_grid, masked_count
from trials.models.vit import Attention, FeedForward, ViTSize, sincos_positions
from trials.recipes.fields import PretrainRecipe

EPSILON = 1e-6


def check_dropping(encoder: str) -> None:
    """Whether the encoder of that name can be fed some of its tokens alone; nothing is built, so a
    plan may ask.

    Raises:
        InputError: the encoder's name is wrong, or it needs all its tokens.
    """
    if not parse_encoder(encoder).drops_tokens:
        raise InputError(
            f"pretrain: objective: mae leaves the hidden patches out, and {encoder} needs all of an image: take a ViT for it, "
            "or simmim, which all encoders can learn by."
        )


class MaskedAutoencoder(nn.Module):
    """An encoder of the patches that are shown, and a decoder of those that are hidden.

    What is hidden is given as (B, N) permutations of the places of the output tokens, row by row:
    the first `masked` of them are hidden.
    """

    decoder_positions: Tensor

    def __init__(self, encoder: Encoder, *, masked: int, by_patch: bool = True, width: int = 0, blocks: int = 4) -> None:
        """
        Args:
            encoder: with or without weights; one that can be fed some of its tokens.
            masked: hidden patches of an image.
            by_patch: whether what is predicted is normalised by each patch's mean and variance.
            width: of the decoder; 0 is half the encoder's.
            blocks: of the decoder.
        """
        super().__init__()
        width = width or encoder.dim // 2
        size = ViTSize(dim=width, depth=blocks, heads=max(width // HEAD_DIM, 1), head_dim=HEAD_DIM, mlp_dim=4 * width)
        self.encoder, self.masked, self.by_patch = encoder, masked, by_patch
        self.narrow = nn.Linear(encoder.dim, width)
        self.mask_token = nn.Parameter(torch.empty(width))
        if not self.mask_token.is_meta:
            nn.init.normal_(self.mask_token, std=0.02)
        self.register_buffer("decoder_positions", sincos_positions(encoder.grid_side, width), persistent=False)
        self.blocks = nn.ModuleList(nn.ModuleDict({"attention": Attention(size), "feed_forward": FeedForward(size)}) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.values = nn.Linear(width, encoder.patch_values)

    @property
    def given(self) -> str:
        """What a reconstruction is given besides the prediction, to follow a picture's caption."""
        return "; brightness and contrast of each reconstructed patch are those of the image" if self.by_patch else ""

    def predict(self, images: Tensor, order: Tensor) -> Tensor:
        """(B, 3, H, W) images, (B, N) places -> (B, masked, values) of the hidden patches, float32."""
        shown, prefix = order[:, self.masked :], self.encoder.prefix_tokens
        seen = self.narrow(self.encoder.encode_shown(images, shown))
        tokens = self.mask_token.to(seen.dtype).expand(len(images), order.shape[1], -1)
        tokens = tokens.scatter(1, shown[..., None].expand(-1, -1, seen.shape[-1]), seen[:, prefix:])
        tokens = torch.cat([seen[:, :prefix], tokens + self.decoder_positions], dim=1)
        for block in self.blocks:
            assert isinstance(block, nn.ModuleDict)
            tokens = tokens + block["attention"](tokens)
            tokens = tokens + block["feed_forward"](tokens)
        hidden = pick(tokens[:, prefix:], order[:, : self.masked])
        return torch.as_tensor(self.values(self.norm(hidden))).float()

    def _statistics(self, images: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The (B, masked, values) hidden patches, and their means and deviations, 0 and 1 where
        patches are predicted as they are.
        """
        patches = pick(self.encoder.to_patches(images), order[:, : self.masked]).float()
        if not self.by_patch:
            return patches, torch.zeros_like(patches[..., :1]), torch.ones_like(patches[..., :1])
        return patches, patches.mean(dim=-1, keepdim=True), (patches.var(dim=-1, keepdim=True) + EPSILON).sqrt()

    def forward(self, images: Tensor, order: Tensor, *, per_image: bool = False) -> Tensor:
        """Mean squared error over the hidden patches: a scalar, or (B,) if `per_image`.

        Args:
            images: (B, 3, H, W), normalised by channel.
            order: (B, N) places of the output tokens, the hidden ones first.
        """
        prediction = self.predict(images, order)
        with full_precision(images.device):
            patches, mean, deviation = self._statistics(images, order)
            error = (prediction - (patches - mean) / deviation).square().mean(dim=(1, 2))
        return error if per_image else error.mean()

    def hidden_pixels(self, order: Tensor) -> Tensor:
        """(B, N) places -> (B, 1, H, W) bool, true where patches are hidden."""
        side, px = self.encoder.grid_side, self.encoder.stride_px
        grid = as_grid(order[:, : self.masked], self.encoder.patches).view(-1, 1, side, side)
        return grid.repeat_interleave(px, 2).repeat_interleave(px, 3)

    def reconstruct(self, images: Tensor, order: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images in float32, the hidden patches as predicted.

        A prediction of normalised patches says nothing of brightness and contrast: it is given
        those of the true patches.
        """
        prediction = self.predict(images, order)
        _, mean, deviation = self._statistics(images, order)
        patches = self.encoder.to_patches(images.float())
        places = order[:, : self.masked, None].expand(-1, -1, patches.shape[-1])
        return self.encoder.to_images(patches.scatter(1, places, prediction * deviation + mean))

    def draw_masks(self, images: int, recipe: PretrainRecipe, generator: torch.Generator) -> Tensor:
        """Fresh (images, N) places in random order, on the generator's device."""
        return torch.rand(images, self.encoder.patches, generator=generator, device=generator.device).argsort(dim=1)


def masked_autoencoder(recipe: PretrainRecipe, encoder: Encoder) -> MaskedAutoencoder:
    """The model that a recipe describes, around that encoder."""
    return MaskedAutoencoder(
        encoder,
        masked=masked_count(encoder.patches, recipe.mae_mask_ratio),
        by_patch=recipe.mae_target == "patch-normalised",
        width=recipe.mae_decoder_width,
        blocks=recipe.mae_decoder_blocks,
    )
