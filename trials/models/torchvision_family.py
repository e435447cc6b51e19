"""Encoders of torchvision by name: `torchvision:NAME@SIDE`, of its ViT, Swin, ConvNeXt and ResNet
families.

torchvision's models take seconds to import, so they are imported only when such a name is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from trials.errors import InputError
from trials.models.encoders import SIDE, EncoderName, Family, register
from trials.models.library_encoder import Layout, LibraryEncoder, Parts, near_ones, read_pretrained
from trials.models.pretrained import PRETRAINED, checked_weights, spell_weights
from trials.models.stochastic_depth import DropBranch

PREFIX = "torchvision:"
FAMILIES = {"VisionTransformer": "ViT", "SwinTransformer": "Swin", "ConvNeXt": "ConvNeXt", "ResNet": "ResNet"}
BLOCKS = ("EncoderBlock", "SwinTransformerBlock", "SwinTransformerBlockV2", "CNBlock", "BasicBlock", "Bottleneck")


def make(model: str, image_px: int) -> Any:
    """torchvision's model of that name; a ViT is built for that image side."""
    from torchvision import models

    sized = {"image_size": image_px} if model.startswith("vit_") else {}
    return models.get_model(model, weights=None, **sized)


@lru_cache(maxsize=64)
def read_model(name: str, model: str, image_px: int) -> tuple[str, int, int]:
    """The class of torchvision's model, the side of its patches (1 of a convolutional model) and its
    stride. It is built without memory.

    Raises:
        InputError: there is no such model, it is of another family, or cannot take such images.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if model not in known:
        raise InputError(f"Encoder {name!r}: torchvision has no model {model!r}; {near_ones(model, known)}")
    patch = re.fullmatch(r"vit_[a-z]+_([0-9]+)", model)
    stride = int(patch[1]) if patch else 32
    if image_px % stride or image_px < 2 * stride:
        raise InputError(f"Encoder {name!r}: the image's side must be a multiple of {stride} px, at least {2 * stride}, not {image_px}.")
    with torch.device("meta"):
        plain = type(make(model, image_px)).__name__
    if plain not in FAMILIES:
        families = ", ".join(FAMILIES.values())
        raise InputError(f"Encoder {name!r}: {model} is a {plain}, and of torchvision only {families} models can be used.")
    return plain, stride if patch else 4 if plain == "SwinTransformer" else 1, stride


class TorchvisionFamily(Family):
    """`torchvision:NAME@SIDE`, such as 'torchvision:resnet18@96'."""

    name = "torchvision"
    sizes = ("torchvision:NAME",)
    pattern = f"{PREFIX}[a-z0-9_]+@{SIDE}{PRETRAINED}"
    reads = "torchvision:NAME@image, such as 'torchvision:resnet18@96'"

    def parse(self, name: str) -> EncoderName | None:
        if not name.startswith(PREFIX):
            return None
        match = re.fullmatch(rf"{PREFIX}([a-z0-9_]+)@({SIDE})({PRETRAINED})", name)
        if match is None:
            raise InputError(
                f"Encoder {name!r} must read torchvision:NAME@SIDE with the side of the images in px, such as 'torchvision:resnet18@96'."
            )
        model, image_px = match[1], int(match[2])
        plain, embed, stride = read_model(f"{PREFIX}{model}@{image_px}", model, image_px)
        return EncoderName(
            family=self,
            size=(model, plain, checked_weights(name, match[3])),
            size_name=PREFIX + model,
            embed_px=embed,
            stride_px=stride,
            image_px=image_px,
            has_cls=plain == "VisionTransformer",
            has_branches=plain in ("SwinTransformer", "ConvNeXt"),
        )

    def spell(self, of: EncoderName, image_px: int) -> str:
        return f"{of.size_name}@{image_px}{spell_weights(of.size[2])}"

    def build(self, of: EncoderName, *, positions: str) -> LibraryEncoder:
        model, plain, weights = of.size
        made = make(model, of.image_px)
        parts, dim = parts_of(made, plain)
        encoder = LibraryEncoder(
            parts,
            image_px=of.image_px,
            embed_px=of.embed_px,
            embed_dim=3 if of.embed_px == 1 else dim if plain == "VisionTransformer" else made.features[0][0].out_channels,
            stride_px=of.stride_px,
            dim=dim,
            layers=_blocks(made),
        )
        if weights is not None and not next(made.parameters()).is_meta:
            read_pretrained(weights.path, made, dict)
        return encoder


def _blocks(model: nn.Module) -> int:
    return sum(type(module).__name__ in BLOCKS for module in model.modules())


def layer_map(model: nn.Module) -> dict[str, int]:
    """The layer of each parameter: 0 before the first block, then the block's number, which what
    follows it within the stages shares, such as the merging of patches; last what follows all.
    """
    blocks = [name for name, module in model.named_modules() if type(module).__name__ in BLOCKS]
    layers: dict[str, int] = {}
    reached = 0
    for name, _ in model.named_parameters():
        inside = next((place + 1 for place, block in enumerate(blocks) if name.startswith(f"{block}.")), None)
        if inside is None:
            layers[name] = len(blocks) + 1 if reached == len(blocks) else reached
        else:
            layers[name] = reached = inside
    return layers


def parts_of(model: Any, plain: str) -> tuple[Parts, int]:
    """What our interface needs of torchvision's model, whose head goes, and its output's width."""
    output: Layout = {"VisionTransformer": "tokens", "SwinTransformer": "rows"}.get(plain, "channels")  # type: ignore[assignment]
    features: Callable[[Tensor], Tensor]
    maps: Callable[[Tensor], list[Tensor]] | None = None
    embedding: nn.Module | None
    widths: tuple[int, ...] = ()
    if plain == "VisionTransformer":
        dim, embedding = model.hidden_dim, model.conv_proj
        model.heads = nn.Identity()
        features = partial(_of_vit, model)
    elif plain == "ResNet":
        dim, embedding = model.fc.in_features, None
        model.fc = nn.Identity()
        maps = partial(_of_resnet, model)
        widths = tuple(dim // 2**stage for stage in (3, 2, 1, 0))
        features = partial(_last_of_resnet, model)
    elif plain == "SwinTransformer":
        dim, embedding = model.norm.normalized_shape[0], model.features[0]
        model.head = nn.Identity()
        maps = partial(_of_stages, model.features, rows=True)
        widths = tuple(dim // 2**stage for stage in (3, 2, 1, 0))
        features = partial(_of_swin, model)
    else:
        dim, embedding = model.classifier[-1].in_features, None
        model.classifier = nn.Identity()
        maps = partial(_of_stages, model.features, rows=False)
        widths = tuple(stage[0].block[0].out_channels for stage in model.features[1::2])
        features = model.features
    return (
        Parts(
            model=model,
            features=features,
            output=output,
            embedding=embedding,
            embedded="channels" if plain == "VisionTransformer" else "rows",
            prefix=1 if plain == "VisionTransformer" else 0,
            has_cls=plain == "VisionTransformer",
            layer_of=layer_map(model),
            undecayed=frozenset(name for name, _ in model.named_parameters() if name.endswith(("class_token", "pos_embedding", "bias_table"))),
            branches=_branches(model),
            maps=maps,
            map_channels=widths,
            raw_maps=plain in ("SwinTransformer", "ConvNeXt"),
            depths=partial(_depths_of_vit, model) if plain == "VisionTransformer" else None,
        ),
        int(dim),
    )


def _branches(model: nn.Module) -> tuple[tuple[DropBranch, ...], ...]:
    """Put ours in the place of torchvision's stochastic depth, which a Swin block calls twice."""
    found = []
    for block in model.modules():
        if hasattr(block, "stochastic_depth"):
            drop = DropBranch(uses=2 if type(block).__name__.startswith("Swin") else 1)
            block.stochastic_depth = drop
            found.append((drop,))
    return tuple(found)


def _of_vit(model: Any, images: Tensor) -> Tensor:
    patches = model._process_input(images)
    tokens = torch.cat([model.class_token.expand(len(images), -1, -1), patches], dim=1)
    return torch.as_tensor(model.encoder(tokens))


def _depths_of_vit(model: Any, images: Tensor, after: Sequence[int]) -> list[Tensor]:
    tokens = torch.cat([model.class_token.expand(len(images), -1, -1), model._process_input(images)], dim=1) + model.encoder.pos_embedding
    found = {}
    for number, block in enumerate(model.encoder.layers, start=1):
        tokens = block(tokens)
        found[number] = tokens[:, 1:]
    found[len(model.encoder.layers)] = model.encoder.ln(tokens)[:, 1:]
    return [found[number] for number in after]


def _of_resnet(model: Any, images: Tensor) -> list[Tensor]:
    values = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    maps = []
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        values = stage(values)
        maps.append(values)
    return maps


def _last_of_resnet(model: Any, images: Tensor) -> Tensor:
    return _of_resnet(model, images)[-1]


def _of_swin(model: Any, images: Tensor) -> Tensor:
    return torch.as_tensor(model.norm(model.features(images)))


def _of_stages(features: nn.Sequential, images: Tensor, *, rows: bool) -> list[Tensor]:
    """`features` holds the embedding, then by turns a stage and what halves its resolution."""
    values, maps = images, []
    for place, layer in enumerate(features):
        values = layer(values)
        if place % 2:
            maps.append(values.permute(0, 3, 1, 2) if rows else values)
    return maps


register(TorchvisionFamily())
