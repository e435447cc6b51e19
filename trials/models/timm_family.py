"""Encoders of timm by name: `timm:NAME@SIDE`, of its ViT, Swin, ConvNeXt and ResNet families.

timm takes seconds to import, so it is imported only when such a name is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from trials.errors import InputError
from trials.models.encoders import SIDE, EncoderName, Family, register
from trials.models.library_encoder import Layout, LibraryEncoder, Parts, near_ones, read_pretrained
from trials.models.pretrained import PRETRAINED, checked_weights, spell_weights
from trials.models.stochastic_depth import DropBranch

PREFIX = "timm:"
INSTALL = "pip install 'scaling-law-laboratory[timm]'"
FAMILIES = {"VisionTransformer": "ViT", "SwinTransformer": "Swin", "SwinTransformerV2": "Swin", "ConvNeXt": "ConvNeXt", "ResNet": "ResNet"}


def _library(name: str) -> Any:
    try:
        import timm
    except ImportError:
        raise InputError(f"Encoder {name!r} needs timm, which is not installed: {INSTALL}.") from None
    return timm


def make(name: str, model: str, image_px: int) -> nn.Module:
    """timm's model of that name without a head, for images of that side.

    Raises:
        InputError: it cannot take such images.
    """
    timm = _library(name)
    sized = {"img_size": image_px} if _takes_size(model) else {}
    try:
        made = timm.create_model(model, pretrained=False, num_classes=0, **sized)
    except (AssertionError, ValueError, RuntimeError, TypeError) as error:
        raise _wrong_side(name, image_px, error) from None
    assert isinstance(made, nn.Module)
    return made


@lru_cache(maxsize=64)
def _takes_size(model: str) -> bool:
    """Whether a model is built for one image side, as those with positions or windows are."""
    import timm

    with torch.device("meta"):
        return type(timm.create_model(model, pretrained=False, num_classes=0)).__name__ not in ("ResNet", "ConvNeXt")


def _wrong_side(name: str, image_px: int, error: Exception) -> InputError:
    lines = str(error).strip().splitlines()
    return InputError(f"Encoder {name!r} cannot take images of {image_px} px ({lines[0].rstrip('.') if lines else type(error).__name__}).")


@lru_cache(maxsize=64)
def read_model(name: str, model: str, image_px: int) -> tuple[str, int, int, bool]:
    """The class of timm's model, the side of its patches (1 of a convolutional model), its stride,
    and whether it has a CLS token. It is built without memory and given one image.

    Raises:
        InputError: there is no such model, it is of another family, or cannot take such images.
    """
    timm = _library(name)
    if not timm.is_model(model):
        raise InputError(f"Encoder {name!r}: timm has no model {model!r}; {near_ones(model, timm.list_models())}")
    with torch.device("meta"):
        plain = type(timm.create_model(model, pretrained=False, num_classes=0)).__name__
        if plain not in FAMILIES:
            raise InputError(
                f"Encoder {name!r}: {model} is a {plain}, and of timm only {', '.join(dict.fromkeys(FAMILIES.values()))} models can be used."
            )
        made: Any = make(name, model, image_px)
        try:
            with torch.no_grad():
                shape = made.eval().forward_features(torch.zeros(1, 3, image_px, image_px)).shape
        except (AssertionError, ValueError, RuntimeError) as error:
            raise _wrong_side(name, image_px, error) from None
    if plain == "VisionTransformer":
        embed, stride = made.patch_embed.patch_size[0], made.patch_embed.patch_size[0]
        if image_px % stride or image_px < 2 * stride:
            raise InputError(f"Encoder {name!r}: patches of {stride} px do not divide images of {image_px} px into at least 2 x 2.")
    else:
        stride = int(made.feature_info[-1]["reduction"])
        embed = made.patch_embed.patch_size[0] if plain.startswith("Swin") else 1
        side = shape[1] if plain.startswith("Swin") else shape[2]
        if image_px % stride or image_px < 2 * stride or side != image_px // stride:
            raise InputError(f"Encoder {name!r}: the image's side must be a multiple of {stride} px, at least {2 * stride}, not {image_px}.")
    return plain, embed, stride, bool(getattr(made, "has_class_token", False))


class TimmFamily(Family):
    """`timm:NAME@SIDE`, such as 'timm:resnet18@96'."""

    name = "timm"
    sizes = ("timm:NAME",)
    pattern = f"{PREFIX}[A-Za-z0-9_.]+@{SIDE}{PRETRAINED}"
    reads = "timm:NAME@image, such as 'timm:resnet18@96'"

    def parse(self, name: str) -> EncoderName | None:
        if not name.startswith(PREFIX):
            return None
        match = re.fullmatch(rf"{PREFIX}([A-Za-z0-9_.]+)@({SIDE})({PRETRAINED})", name)
        if match is None:
            raise InputError(f"Encoder {name!r} must read timm:NAME@SIDE with the side of the images in px, such as 'timm:vit_tiny_patch16_224@224'.")
        model, image_px = match[1], int(match[2])
        plain, embed, stride, has_cls = read_model(f"{PREFIX}{model}@{image_px}", model, image_px)
        return EncoderName(
            family=self,
            size=(model, plain, checked_weights(name, match[3])),
            size_name=PREFIX + model,
            embed_px=embed,
            stride_px=stride,
            image_px=image_px,
            has_cls=has_cls,
            drops_tokens=plain == "VisionTransformer",
            has_branches=True,
        )

    def spell(self, of: EncoderName, image_px: int) -> str:
        return f"{of.size_name}@{image_px}{spell_weights(of.size[2])}"

    def build(self, of: EncoderName, *, positions: str) -> LibraryEncoder:
        model, plain, weights = of.size
        made: Any = make(of.canonical, model, of.image_px)
        encoder = TimmEncoder(
            parts_of(made, plain),
            image_px=of.image_px,
            embed_px=of.embed_px,
            embed_dim=3 if of.embed_px == 1 else made.patch_embed.proj.out_channels,
            stride_px=of.stride_px,
            dim=made.num_features,
            layers=max(layer_map(made).values()) - 1,
        )
        if weights is not None and not next(made.parameters()).is_meta:
            read_pretrained(weights.path, made, encoder.resampled)
        return encoder


class TimmEncoder(LibraryEncoder):
    """One of timm's models."""

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """A ViT's positions are resampled bicubically, by timm, where their number differs."""
        prefix = "model."
        own = self.resampled({name.removeprefix(prefix): value for name, value in weights.items()})
        return {prefix + name: value for name, value in own.items()}

    def resampled(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same by timm's own names."""
        here, there = getattr(self.model, "pos_embed", None), weights.get("pos_embed")
        if here is None or there is None or there.shape == here.shape:
            return weights
        from timm.layers.pos_embed import resample_abs_pos_embed

        model: Any = self.model
        prefix = 0 if getattr(model, "no_embed_class", False) else self.prefix_tokens
        side = [self.grid_side, self.grid_side]
        return weights | {"pos_embed": resample_abs_pos_embed(there, new_size=side, num_prefix_tokens=prefix)}


def layer_map(model: nn.Module) -> dict[str, int]:
    """The layer of each parameter as timm's `param_groups_layer_decay` counts them, and under '' that
    of a head.
    """
    from timm.models._manipulate import group_with_matcher

    named = iter([*model.named_parameters(), ("", None)])
    matcher: Any = model.group_matcher(coarse=False)  # type: ignore[operator]
    return dict(group_with_matcher(named, matcher, reverse=True))


def parts_of(model: Any, plain: str) -> Parts:
    """What our interface needs of timm's model; its branches can be dropped from here on."""
    layout: Layout = {"VisionTransformer": "tokens", "ConvNeXt": "channels", "ResNet": "channels"}.get(plain, "rows")  # type: ignore[assignment]
    branches = []
    for block in list(model.modules()):
        names = [name for name in ("drop_path1", "drop_path2", "drop_path") if hasattr(block, name)]
        if names:
            dropped = tuple(DropBranch() for _ in names)
            for name, drop in zip(names, dropped, strict=True):
                delattr(block, name)
                setattr(block, name, drop)
            branches.append(dropped)
    listed = getattr(model, "no_weight_decay", None)
    return Parts(
        model=model,
        features=model.forward_features,
        output=layout,
        embedding=getattr(model, "patch_embed", None),
        embedded=layout,
        prefix=int(getattr(model, "num_prefix_tokens", 0)) if plain == "VisionTransformer" else 0,
        has_cls=bool(getattr(model, "has_class_token", False)),
        layer_of={name: layer for name, layer in layer_map(model).items() if name},
        undecayed=frozenset(listed() if listed else ()),
        branches=tuple(branches),
        maps=None if plain == "VisionTransformer" else partial(_maps, model),
        map_channels=() if plain == "VisionTransformer" else tuple(int(one["num_chs"]) for one in model.feature_info[-4:]),
        raw_maps=plain not in ("VisionTransformer", "ResNet"),
        depths=partial(_depths, model) if plain == "VisionTransformer" else None,
    )


def _maps(model: Any, images: Tensor) -> list[Tensor]:
    return list(model.forward_intermediates(images, intermediates_only=True, output_fmt="NCHW"))[-4:]


def _depths(model: Any, images: Tensor, after: Sequence[int]) -> list[Tensor]:
    last, tokens = model.forward_intermediates(images, indices=[number - 1 for number in sorted(set(after))], output_fmt="NLC")
    by_number = dict(zip(sorted(set(after)), tokens, strict=True)) | {len(model.blocks): last[:, model.num_prefix_tokens :]}
    return [by_number[number] for number in after]


register(TimmFamily())
