"""What a recipe can say: the fields of each kind of stage, with their meaning, units and source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What all kinds of stage have in common."""

    learning_rate: float
    weight_decay: float
    batch_images: int = 64
    beta_1: float = 0.9
    beta_2: float = 0.999
    schedule: Literal["multi-step", "cosine", "step", "wsd"] = "multi-step"
    """`step` and `wsd` hold the rate, then decay it in the last share `decay` of the steps: at once
    to `gamma` of it, or linearly to 0. Pre-trainings of several lengths with these share a trunk.
    """
    milestones: tuple[float, ...] = ()
    """Multi-step: where the rate drops, as fractions of the length."""
    gamma: float = 1.0
    """Multi-step and step: the factor at each milestone, or in the last phase."""
    decay: float = 0.125
    """Step and wsd: share of the steps in the last phase; 1/8 in Xie et al. (arXiv 2206.04664)."""
    warmup: float = 0.0
    """Cosine: share of the steps with a linearly rising rate."""
    warmup_length: str = ""
    """Step and wsd: a length with a linearly rising rate, such as '10 epochs' or '500 steps', the
    same whatever the whole length; empty for none.
    """
    clip_norm: float = 0.0
    """Gradients are scaled down to this norm; 0 leaves them."""
    decay_vectors: bool = True
    """Whether weight decay also pulls on biases, norms, positions and tokens, as AdamW does if left
    alone.
    """
    crop_scale_min: float = 0.67
    """Smallest share of the image's area in a random resized crop; 1 crops nothing."""
    crop_ratio_max: float = 4 / 3
    """Largest aspect ratio of a crop; the smallest is its inverse."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    positions: Literal["normal", "sincos"] = "normal"
    """How the positions of a fresh ViT start; without effect on a stage that has a parent, and on
    SwinV2.
    """
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 autocast on a GPU or CPU that computes in it, else fp32; what was chosen is in
    the provenance.
    """


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe(Recipe):
    """Masked image modelling."""

    mask_ratio: float = 0.5
    """Share of the mask units that is masked, the same number in every image."""
    mask_unit_px: int = 0
    """Side of the squares that are masked or not; 0 is one patch of a ViT, one output token (32 px)
    of SwinV2.
    """
    mask_rounding: Literal["nearest", "up"] = "nearest"
    """How the number of masked units is made whole: SimMIM's code rounds up."""
    target: Literal["pixels", "window-normalised"] = "pixels"
    """What is predicted: normalised pixels, or pixels normalised by mean and variance of a 47 x 47
    window around each.
    """
    token_start: Literal["normal", "truncated"] = "normal"
    """How the mask token starts: N(0, 1), or normal with standard deviation 0.02 cut at 2."""
    decoder: Literal["linear", "two-layer", "transformer"] = "linear"
    """What turns an output token into pixels; larger ones leave less of the work to the encoder."""


@dataclass(frozen=True, kw_only=True)
class SupervisedRecipe(Recipe):
    """What the stages with labels have in common."""

    label_smoothing: float = 0.0
    mixup: float = 0.0
    """Alpha of MixUp's Beta(alpha, alpha) (Zhang et al. 2018); 0 mixes nothing. For classification
    alone.
    """
    layer_decay: float = 1.0
    """The rate of each layer is that of the layer above it times this (BEiT, Bao et al. 2022); 1 is
    the same rate everywhere.
    """
    pool: Literal["mean", "cls"] = "mean"
    """What a classification head reads: the mean patch token, or the CLS token (never trained by
    SimMIM).
    """


@dataclass(frozen=True, kw_only=True)
class IntermediateRecipe(SupervisedRecipe):
    """A stage with labels between pre-training and fine-tuning."""


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe(SupervisedRecipe):
    """Segmentation with a linear head per patch, or classification of images."""

    pixel_loss: Literal["per-pixel", "ucl-code"] = "per-pixel"
    """Segmentation: cross-entropy at each pixel, or the first paper's code, which takes log-softmax
    over pixels before it (papers.md, fault 4).
    """
    normalise_inputs: bool = True
    """Whether images are normalised as in pre-training; the first paper does not (papers.md, fault
    8).
    """


RECIPE_CLASS: dict[str, type[Recipe]] = {
    "trunk": PretrainRecipe,
    "pretrain": PretrainRecipe,
    "intermediate": IntermediateRecipe,
    "finetune": FinetuneRecipe,
}

# Fields that came after the first studies, each with the value that is what was done before there
# was the field.
_LATER: dict[str, Any] = {
    "decay": 0.125,
    "warmup_length": "",
    "mask_unit_px": 0,
    "mask_rounding": "nearest",
    "target": "pixels",
    "token_start": "normal",
    "decoder": "linear",
    "mixup": 0.0,
    "layer_decay": 1.0,
    "pixel_loss": "per-pixel",
    "normalise_inputs": True,
}
NEUTRAL: dict[str, dict[str, Any]] = {
    kind: _LATER | ({"label_smoothing": 0.0, "pool": "mean"} if kind == "finetune" else {}) for kind in RECIPE_CLASS
}
