"""The registry of encoder families, and encoders by name.

A family is one file: it registers a `Family`, which reads the family's names and builds its
encoders. `vit.py` registers `size/patch@image`, `swin_family.py` registers `swinv2-size@image`. A
plug-in registers families of its own in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from trials.errors import InputError, nearest
from trials.models.encoder import Encoder
from trials.registry import Registry

SIDE = "[1-9][0-9]{0,3}"
"""Regular expression of a side in pixels within a name."""


class Family(ABC):
    """A family of encoders: reads its names and builds its models."""

    name: str
    """What the registry calls the family, such as 'vit'."""
    pattern: str
    """Regular expression that all names of the family match, for the JSON Schema of a grid. Write
    [0-9] for a digit, and no ^ or $.
    """
    reads: str
    """How its names read, for error messages: "size/patch@image, such as 'viny/16@128'"."""
    sizes: Sequence[str]
    """Its sizes as they stand in names, for error messages."""

    @abstractmethod
    def parse(self, name: str) -> EncoderName | None:
        """What a name says; None if the name is not of this family.

        Raises:
            InputError: there is no such size, or it cannot take such images.
        """

    @abstractmethod
    def spell(self, of: EncoderName, image_px: int) -> str:
        """The one spelling of the encoder's name at that image side."""

    @abstractmethod
    def build(self, of: EncoderName, *, positions: str) -> Encoder:
        """The encoder, initialised from torch's current random state.

        Args:
            positions: how position embeddings start, `PretrainRecipe.positions`; families without
                position embeddings ignore it.
        """


ENCODERS: Registry[Family] = Registry(
    "encoder family",
    group="scaling_laws.encoders",
    modules=tuple(f"trials.models.{name}" for name in ("vit", "swin_family", "timm_family", "torchvision_family")),
)
"""Every encoder family by name."""


def register(family: Family) -> Family:
    """Add a family to `ENCODERS` under its name."""
    return ENCODERS.register(family.name, family)


@dataclass(frozen=True, kw_only=True)
class EncoderName:
    """What an encoder's name says."""

    family: Family
    size: Any
    """The family's own description of the size, such as a `ViTSize`."""
    size_name: str
    """As it stands in the name: 'viny', or 'swinv2-b'."""
    embed_px: int
    """Side of the square that one input token embeds: the patch of a ViT, 4 px of SwinV2. Mask
    units are made of these.
    """
    stride_px: int
    """Side of the square that one output token stands for: the patch of a ViT, 32 px of SwinV2."""
    image_px: int
    has_cls: bool = False
    """Whether there is a CLS token that a head can read."""
    drops_tokens: bool = False
    """Whether it can be fed some of its tokens alone, as MAE does."""
    has_branches: bool = False
    """Whether its residual branches can be dropped, as stochastic depth does."""

    @property
    def canonical(self) -> str:
        """The one spelling of this encoder's name."""
        return self.family.spell(self, self.image_px)


def parse_encoder(name: str) -> EncoderName:
    """What an encoder's name stands for.

    Raises:
        InputError: no family has such names, the size does not exist, or the image cannot be cut
            into that encoder's tokens.
    """
    for family in ENCODERS.values():
        of = family.parse(name)
        if of is not None:
            return of
    forms = ", or ".join(family.reads for family in ENCODERS.values())
    raise InputError(f"Encoder {name!r} must read {forms}; {_all_sizes()}")


def no_such_size(name: str, size: str, sizes: Sequence[str]) -> InputError:
    """The error for an encoder's name with an unknown size: the nearest size, and all there are."""
    hint = nearest(size, sizes)
    known = f"{hint if hint.startswith('did you mean') else ''} S{_all_sizes()[1:]}".strip()
    return InputError(f"Encoder {name!r}: there is no size {size!r}; {known}")


def _all_sizes() -> str:
    return f"sizes: {'; '.join(', '.join(family.sizes) for family in ENCODERS.values())}."


def encoder_pattern() -> str:
    """Regular expression that every encoder's name matches, for a JSON Schema."""
    return f"^({'|'.join(family.pattern for family in ENCODERS.values())})$"


def encoder_image_px(name: str) -> int:
    """The side in pixels of the images that the encoder of that name takes."""
    return parse_encoder(name).image_px


def at_image_px(name: str, image_px: int) -> str:
    """The canonical name of the same encoder for images of another side.

    Raises:
        InputError: there is no such encoder, or it cannot take such images.
    """
    of = parse_encoder(name)
    return parse_encoder(of.family.spell(of, image_px)).canonical


def build_encoder(name: str, *, positions: str = "normal") -> Encoder:
    """The headless encoder of that name, initialised from torch's current random state.

    Args:
        name: such as `size/patch@image` or `swinv2-size@image`.
        positions: how a ViT's position embeddings start: 'normal' is N(0, 1), 'sincos' is
            `trials.models.vit.sincos_positions`. SwinV2 has none.

    Raises:
        InputError: as `parse_encoder`.
    """
    of = parse_encoder(name)
    return of.family.build(of, positions=positions)


def check_depth(name: str, rate: float) -> None:
    """Whether an encoder can be trained with stochastic depth of that rate; nothing is built.

    Raises:
        InputError: there is no such encoder, or none of its branches can be dropped.
    """
    if rate > 0 and not parse_encoder(name).has_branches:
        raise InputError(f"stochastic_depth: {name} has no residual branches that images could drop: set it to 0 in the recipe.")


def adapt_weights(encoder: Encoder, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A parent's encoder weights -> what `encoder.load_state_dict` takes, where the parent's image
    side may differ.

    A ViT resamples its positions bicubically if their number differs; SwinV2 has no weights that
    depend on it. Weights of the same side come back as they are.
    """
    return encoder.adapt(weights)


def count_parameters(module: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
