"""Encoders of other libraries behind our interface: what timm's and torchvision's have in common.

A library's model is used as it is, without its head. Where it embeds patches, a mask token takes
the place of an embedding, as in SimMIM (Xie et al. 2022). A convolutional model has no embeddings:
hidden pixels take a learned colour there, as A2MIM (Li et al. 2023, arXiv 2205.13943) fills them
with the mean colour, which is where a mask token of `token_start: truncated` starts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trials.errors import InputError
from trials.models.encoder import CHANNELS, Encoder, as_map
from trials.models.stochastic_depth import DropBranch

Layout = Literal["tokens", "rows", "channels"]
"""(B, N, C), (B, H, W, C) or (B, C, H, W)."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What there is to know of a library's model."""

    model: nn.Module
    features: Callable[[Tensor], Tensor]
    """(B, 3, H, W) images -> its output, without a head."""
    output: Layout
    embedding: nn.Module | None
    """What embeds patches; None for a convolutional model."""
    embedded: Layout
    prefix: int = 0
    """Tokens of the output before those of patches."""
    has_cls: bool = False
    layer_of: dict[str, int]
    """Layer of each parameter: 0 for what comes before the blocks."""
    undecayed: frozenset[str] = frozenset()
    branches: tuple[tuple[DropBranch, ...], ...] = ()
    maps: Callable[[Tensor], list[Tensor]] | None = None
    """(B, 3, H, W) images -> (B, C, H, W) maps of each stage, where there are several."""
    map_channels: tuple[int, ...] = ()
    """Of each of `maps`."""
    raw_maps: bool = False
    """As `Encoder.raw_maps`."""
    depths: Callable[[Tensor, Sequence[int]], list[Tensor]] | None = None
    """Of a ViT: (B, 3, H, W) images -> (B, N, C) tokens of patches after these blocks, counted from 1;
    those of the last block with the final norm.
    """


class LibraryEncoder(Encoder):
    """A model of another library, headless, for square images."""

    def __init__(self, parts: Parts, *, image_px: int, embed_px: int, embed_dim: int, stride_px: int, dim: int, layers: int) -> None:
        super().__init__()
        self.model = parts.model
        self._parts = parts
        self.image_px, self.stride_px, self.dim, self.layers = image_px, stride_px, dim, layers
        self.embed_px, self.embed_dim, self.prefix_tokens = embed_px, embed_dim, parts.prefix
        self.raw_maps = parts.raw_maps

    def forward(self, images: Tensor, *, cls: bool = False) -> Tensor:
        """(B, 3, H, W) normalised images -> (B, N, dim) output tokens, or (B, 1 + N, dim) with the
        CLS token first. A library's ViT is fed its CLS token in any case.
        """
        tokens = as_tokens(self._parts.features(images), self._parts.output)
        patches = tokens[:, self.prefix_tokens :]
        if not cls:
            return patches
        assert self._parts.has_cls, "this encoder has no CLS token"
        return torch.cat([tokens[:, :1], patches], dim=1)

    def encode_masked(self, images: Tensor, hidden: Tensor, mask_token: Tensor) -> Tensor:
        """(B, N, dim) output tokens; the (embed_dim,) mask token replaces the embeddings, or the
        pixels of a convolutional model, that (B, n) `hidden` names.
        """
        side = self.image_px // self.embed_px
        if self._parts.embedding is None:
            colour = mask_token.to(images.dtype).view(1, CHANNELS, 1, 1)
            return torch.as_tensor(self(torch.where(hidden.view(-1, 1, side, side), colour, images)))

        def replace(_module: nn.Module, _inputs: Any, embedded: Tensor) -> Tensor:
            token = mask_token.to(embedded.dtype)
            if self._parts.embedded == "channels":
                return torch.where(hidden.view(-1, 1, side, side), token.view(1, -1, 1, 1), embedded)
            return torch.where(hidden[..., None] if self._parts.embedded == "tokens" else hidden.view(-1, side, side, 1), token, embedded)

        hook = self._parts.embedding.register_forward_hook(replace)
        try:
            return torch.as_tensor(self(images))
        finally:
            hook.remove()

    def encode_shown(self, images: Tensor, shown: Tensor) -> Tensor:
        """Of timm's ViT: its embeddings with positions, those that are shown, and its blocks."""
        model: Any = self.model
        if not hasattr(model, "norm_pre"):
            return super().encode_shown(images, shown)
        tokens = model._pos_embed(model.patch_embed(images))
        places = torch.cat([torch.arange(self.prefix_tokens, device=shown.device).expand(len(shown), -1), shown + self.prefix_tokens], dim=1)
        tokens = model.norm_pre(tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1])))
        return torch.as_tensor(model.norm(model.blocks(tokens)))

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        return super().feature_maps(images) if self._parts.maps is None else self._parts.maps(images)

    @property
    def map_channels(self) -> tuple[int, ...]:
        return self._parts.map_channels or super().map_channels

    def token_maps(self, images: Tensor, after: Sequence[int]) -> list[Tensor]:
        if self._parts.depths is None:
            return super().token_maps(images, after)
        return [as_map(tokens) for tokens in self._parts.depths(images, after)]

    def layer_of(self, name: str) -> int:
        return self._parts.layer_of[name.removeprefix("model.")]

    def is_undecayed(self, name: str) -> bool:
        return name.removeprefix("model.") in self._parts.undecayed

    def branches(self) -> list[tuple[DropBranch, ...]]:
        return list(self._parts.branches)


def near_ones(model: str, known: Sequence[str]) -> str:
    """A hint after an unknown model: the closest names of a library that has a thousand."""
    close = difflib.get_close_matches(model, known, n=3, cutoff=0.5)
    return f"near ones are {', '.join(close)}." if close else "none has a name like it."


def as_tokens(output: Tensor, layout: Layout) -> Tensor:
    """An output in any layout -> (B, N, C), row by row."""
    if layout == "tokens":
        return output
    return output.flatten(1, 2) if layout == "rows" else output.flatten(2).transpose(1, 2)


def read_pretrained(path: Path, model: nn.Module, adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Load the weights of a safetensors file; those of a head are left out.

    Raises:
        InputError: the file is none, or holds the weights of another model.
    """
    try:
        weights = adapt(load_file(path))
    except (OSError, SafetensorError) as error:
        raise InputError(f"pretrained: {path} is not a safetensors file ({str(error).splitlines()[0]}): give one, as timm's hub offers.") from None
    own = model.state_dict()
    missing = [name for name in own if name not in weights]
    if missing:
        few = f"{len(missing)} of the {len(own)} weights of the encoder, such as {missing[0]}"
        raise InputError(f"pretrained: {path} lacks {few}: it is of another model.")
    wrong = next((name for name in own if own[name].shape != weights[name].shape), None)
    if wrong is not None:
        shapes = f"{tuple(weights[wrong].shape)} and not {tuple(own[wrong].shape)}"
        raise InputError(f"pretrained: {wrong} in {path} is {shapes}: the weights are of another model or image side.")
    model.load_state_dict({name: weights[name] for name in own})
