"""Encoders by name: `size/patch@image` is a vision transformer, `swinv2-size@image` a Swin
Transformer V2; 192 px where no image is named.

`viny/16@128` is the 4.84M-parameter model of Bridge, Sun et al.; `swinv2-s` to `swinv2-g` are those
of Xie et al. (arXiv 2206.04664).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trials.errors import InputError, nearest
from trials.models.encoder import Encoder
from trials.models.swin_sizes import PATCH_PX, PRETRAINED_PX, SWIN_SIZES, SwinSize
from trials.models.vit import VIT_SIZES, ViT, ViTSize, sincos_positions

__all__ = ["SWIN_SIZES", "VIT_SIZES", "Encoder", "EncoderName", "ViT", "adapt_weights", "at_image_px", "build_encoder"]
__all__ += ["ENCODER_PATTERN", "count_parameters", "encoder_image_px", "parse_encoder"]

SWIN = "swinv2-"
_SIDE = r"[1-9]\d{0,3}"
_VIT_NAME = re.compile(rf"([a-z]+)/({_SIDE})@({_SIDE})")
_SWIN_NAME = re.compile(rf"{SWIN}([a-z]+)(?:@({_SIDE}))?")

ENCODER_PATTERN = rf"^(({'|'.join(VIT_SIZES)})/{_SIDE}@{_SIDE}|{SWIN}({'|'.join(SWIN_SIZES)})(@{_SIDE})?)$".replace(r"\d", "[0-9]")
"""What every encoder's name matches, for a JSON Schema."""


@dataclass(frozen=True, kw_only=True)
class EncoderName:
    """What an encoder's name says."""

    size: ViTSize | SwinSize
    size_name: str
    """As it stands in the name: 'viny', or 'swinv2-b'."""
    embed_px: int
    """Side of the square that one input token embeds: the patch of a ViT, 4 px of SwinV2. Mask
    units are made of these.
    """
    stride_px: int
    """Side of the square that one output token stands for: the patch of a ViT, 32 px of SwinV2."""
    image_px: int

    @property
    def has_cls(self) -> bool:
        """Whether there is a CLS token that a head could read."""
        return isinstance(self.size, ViTSize)

    @property
    def canonical(self) -> str:
        """The one spelling that stands for this encoder: SwinV2's image side only where it is not
        192.
        """
        if isinstance(self.size, ViTSize):
            return f"{self.size_name}/{self.embed_px}@{self.image_px}"
        return self.size_name + (f"@{self.image_px}" if self.image_px != PRETRAINED_PX else "")


def parse_encoder(name: str) -> EncoderName:
    """What an encoder's name stands for.

    Raises:
        InputError: the name reads otherwise, the size is in no table, or the image cannot be cut
            into that encoder's tokens.
    """
    if match := _VIT_NAME.fullmatch(name):
        size, patch_px, image_px = match[1], int(match[2]), int(match[3])
        if size not in VIT_SIZES:
            raise InputError(f"Encoder {name!r}: there is no size {size!r}; {_known(size, VIT_SIZES)}")
        if image_px % patch_px or image_px < 2 * patch_px:
            raise InputError(f"Encoder {name!r}: a patch of {patch_px} px does not divide an image of {image_px} px into at least 2 x 2 patches.")
        return EncoderName(size=VIT_SIZES[size], size_name=size, embed_px=patch_px, stride_px=patch_px, image_px=image_px)
    if match := _SWIN_NAME.fullmatch(name):
        if match[1] not in SWIN_SIZES:
            raise InputError(f"Encoder {name!r}: there is no size {SWIN + match[1]!r}; {_known(SWIN + match[1], [SWIN + one for one in SWIN_SIZES])}")
        of, image_px = SWIN_SIZES[match[1]], int(match[2] or PRETRAINED_PX)
        if image_px % of.stride_px or image_px < 2 * of.stride_px:
            raise InputError(
                f"Encoder {name!r}: the image's side must be a multiple of {of.stride_px} px for SwinV2, at least {2 * of.stride_px}, not {image_px}."
            )
        return EncoderName(size=of, size_name=SWIN + match[1], embed_px=PATCH_PX, stride_px=of.stride_px, image_px=image_px)
    raise InputError(
        f"Encoder {name!r} must read size/patch@image, such as 'viny/16@128', or {SWIN}size or {SWIN}size@image, such as 'swinv2-b@224'; {_sizes()}"
    )


def _known(size: str, near: object) -> str:
    """The nearest size if there is one, and all that there are."""
    hint = nearest(size, near)  # type: ignore[arg-type]
    return f"{hint if hint.startswith('did you mean') else ''} {_sizes().capitalize()}".strip()


def _sizes() -> str:
    return f"sizes: {', '.join(VIT_SIZES)}; {', '.join(SWIN + size for size in SWIN_SIZES)}."


def encoder_image_px(name: str) -> int:
    """The side in pixels of the images that the encoder of that name takes."""
    return parse_encoder(name).image_px


def at_image_px(name: str, image_px: int) -> str:
    """The canonical name of the same encoder for images of another side.

    Raises:
        InputError: the name is of no encoder, or that encoder cannot take such images.
    """
    of = parse_encoder(name)
    other = f"{of.size_name}/{of.embed_px}@{image_px}" if isinstance(of.size, ViTSize) else f"{of.size_name}@{image_px}"
    return parse_encoder(other).canonical


def build_encoder(name: str, *, positions: str = "normal") -> Encoder:
    """The headless encoder of that name, initialised from torch's current random state.

    Args:
        name: `size/patch@image` or `swinv2-size@image`.
        positions: how a ViT's patches' positions start: 'normal' is N(0, 1), 'sincos' is
            `sincos_positions`. SwinV2 has none.

    Raises:
        InputError: as `parse_encoder`.
    """
    of = parse_encoder(name)
    if isinstance(of.size, SwinSize):
        from trials.models.swin import SwinV2  # torchvision's models take seconds to import

        return SwinV2(of.size, image_px=of.image_px)
    encoder = ViT(of.size, patch_px=of.embed_px, image_px=of.image_px)
    if positions == "sincos":
        with torch.no_grad():
            encoder.positions[1:] = sincos_positions(of.image_px // of.embed_px, of.size.dim)
    return encoder


def adapt_weights(encoder: Encoder, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A parent's encoder weights -> what `encoder.load_state_dict` takes, where the parent's image
    side may be another.

    A ViT's positions are resampled bicubically where their number differs; SwinV2 has nothing that
    depends on it (`trials/models/swin.py`). Weights of the same side come back as they are.
    """
    return encoder.adapt(weights)


def count_parameters(module: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
