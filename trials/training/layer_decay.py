"""Layer-wise learning rates: the lower a layer, the smaller its rate (BEiT, Bao et al. 2022, arXiv
2106.08254, as SimMIM fine-tunes).

The layers of a model are numbered from below: 0 is the embedding with positions and tokens, then
each block one (in SwinV2 the merging of patches after a stage belongs to the stage's last block),
then the final norm and the head. The rate of a parameter is that of the recipe times `layer_decay`
to the power of the layers above its own, so the head trains at the full rate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from torch import nn

from trials.models.vit import ViT

_VIT_BLOCK = re.compile(r"encoder\.blocks\.(\d+)\.")
_VIT_EMBEDDING = ("encoder.embed.", "encoder.positions", "encoder.cls_token")
_SWIN_LAYER = re.compile(r"encoder\.features\.(\d+)\.(\d+|norm|reduction)\.")


def vit_layer(name: str, depth: int) -> int:
    """Layer of a parameter of a model around a ViT of `depth` blocks, 0 to depth + 1, as SimMIM's
    `get_vit_layer`.
    """
    block = _VIT_BLOCK.match(name)
    if block is not None:
        return int(block[1]) + 1
    return 0 if name.startswith(_VIT_EMBEDDING) else depth + 1


def swin_layer(name: str, depths: Sequence[int]) -> int:
    """Layer of a parameter of a model around a SwinV2, 0 to sum(depths) + 1, as SimMIM's
    `get_swin_layer`.

    `features` holds the embedding, then by turns the blocks of a stage and the merging of patches
    after it.
    """
    layer = _SWIN_LAYER.match(name)
    if layer is None:
        return sum(depths) + 1
    if layer[1] == "0":
        return 0
    stage = (int(layer[1]) - 1) // 2
    return sum(depths[:stage]) + int(layer[2]) + 1 if int(layer[1]) % 2 else sum(depths[: stage + 1])


def layers_of(model: nn.Module, names: Iterable[str]) -> tuple[list[int], int]:
    """The layer of each named parameter, and the number of the uppermost layer.

    Args:
        model: a model with its encoder as `encoder`. names: of its parameters, as
            `named_parameters` gives them.
    """
    encoder = model.encoder
    if isinstance(encoder, ViT):
        return [vit_layer(name, encoder.size.depth) for name in names], encoder.size.depth + 1
    from trials.models.swin import SwinV2  # torchvision's models take seconds to import

    assert isinstance(encoder, SwinV2)
    depths = encoder.size.depths
    return [swin_layer(name, depths) for name in names], sum(depths) + 1
