"""Swin Transformer V2 by name: registers the encoder family that `trials/models/swin.py` builds.

That file imports torchvision, which takes seconds, so it is imported only when a SwinV2 is built.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trials.errors import InputError
from trials.models.encoders import SIDE, EncoderName, Family, no_such_size, register
from trials.models.swin_sizes import PATCH_PX, PRETRAINED_PX, SWIN_SIZES

if TYPE_CHECKING:
    from trials.models.swin import SwinV2

PREFIX = "swinv2-"


class SwinV2Family(Family):
    """`swinv2-size@image`, such as 'swinv2-b@224'; 192 px where no image side is given."""

    name = "swinv2"
    sizes = tuple(PREFIX + size for size in SWIN_SIZES)
    pattern = f"{PREFIX}({'|'.join(SWIN_SIZES)})(@{SIDE})?"
    reads = f"{PREFIX}size or {PREFIX}size@image, such as 'swinv2-b@224'"

    def parse(self, name: str) -> EncoderName | None:
        match = re.fullmatch(rf"{PREFIX}([a-z]+)(?:@({SIDE}))?", name)
        if match is None:
            return None
        size_name, image_px = PREFIX + match[1], int(match[2] or PRETRAINED_PX)
        if match[1] not in SWIN_SIZES:
            raise no_such_size(name, size_name, self.sizes)
        size = SWIN_SIZES[match[1]]
        if image_px % size.stride_px or image_px < 2 * size.stride_px:
            raise InputError(
                f"Encoder {name!r}: the image's side must be a multiple of {size.stride_px} px for SwinV2, at least {2 * size.stride_px}, "
                f"not {image_px}."
            )
        return EncoderName(
            family=self, size=size, size_name=size_name, embed_px=PATCH_PX, stride_px=size.stride_px, image_px=image_px, has_branches=True
        )

    def spell(self, of: EncoderName, image_px: int) -> str:
        return of.size_name + (f"@{image_px}" if image_px != PRETRAINED_PX else "")

    def build(self, of: EncoderName, *, positions: str) -> SwinV2:
        from trials.models.swin import SwinV2  # torchvision's models take seconds to import

        return SwinV2(of.size, image_px=of.image_px)


register(SwinV2Family())
