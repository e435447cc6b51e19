"""The fields of each kind of stage's recipe. A field is declared once, here.

A declaration gives the type (with the choices, where there are some), the default, the bounds, the
unit and the description. The checks, the JSON Schema of grids, `docs/recipes.md` and the rule that
keeps old ids valid are derived from it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from trials.recipes.declarations import about, about_field

KINDS = ("trunk", "pretrain", "intermediate", "finetune")
"""Kinds of stage. A trunk is the part of a pre-training that several lengths share."""
LABELS_CAME = ("trunk", "pretrain", "finetune")
"""Kinds that had no labels, or no classes, when the first intermediate stages had."""


Storage = Literal["pixels", "jpeg", "files"]
"""How a store keeps its images: decoded, or as JPEG files that are decoded when they are read."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The fields that all kinds of stage have."""

    learning_rate: float = field(metadata=about("base rate of AdamW", excluded=(0,)))
    weight_decay: float = field(metadata=about("AdamW's decoupled weight decay"))
    batch_images: int = field(default=64, metadata=about("images per update", unit="images", highest=100_000, excluded=(0,)))
    beta_1: float = field(default=0.9, metadata=about("AdamW's decay of the mean gradient", unit="share", excluded=(1,)))
    beta_2: float = field(default=0.999, metadata=about("AdamW's decay of the mean squared gradient", unit="share", excluded=(1,)))
    schedule: Literal["multi-step", "cosine", "linear", "step", "wsd"] = field(
        default="multi-step",
        metadata=about(
            "how the rate changes; step and wsd keep it, then reduce it in the last share `decay` of the steps: at once by the factor gamma, or "
            "linearly to 0, and pre-trainings of several lengths then share a trunk"
        ),
    )
    milestones: tuple[float, ...] = field(default=(), metadata=about("multi-step: where the rate drops, as fractions of the length", unit="share"))
    gamma: float = field(default=1.0, metadata=about("multi-step and step: factor on the rate at each milestone, or in the last phase"))
    decay: float = field(
        default=0.125,
        metadata=about("step and wsd: share of the steps in the last phase; 1/8 in Xie et al. (arXiv 2206.04664)", unit="share", added_to=KINDS),
    )
    warmup: float = field(default=0.0, metadata=about("cosine and linear: share of the steps with a linearly rising rate", unit="share"))
    warmup_in_cosine: bool = field(
        default=False,
        metadata=about(
            "cosine: whether the warm-up is the cosine's first part, as in SimMIM's code, so that the rate jumps below its peak after it; "
            "else the cosine begins at the peak, as in Swin-Transformer's code",
            added_to=KINDS,
        ),
    )
    warmup_length: str = field(
        default="",
        metadata=about(
            "multi-step, step and wsd: length with a linearly rising rate, such as '10 epochs', whatever the whole length; empty for none",
            unit="length",
            added_to=KINDS,
        ),
    )
    warmup_rate: float = field(
        default=0.0, metadata=about("rate that a warm-up starts from; 0 starts at the first of equal steps above 0", added_to=KINDS)
    )
    final_rate: float = field(default=0.0, metadata=about("cosine and linear: rate at the end", added_to=KINDS))
    clip_norm: float = field(default=0.0, metadata=about("gradients are scaled down to this norm; 0 leaves them as they are"))
    decay_vectors: bool = field(
        default=True, metadata=about("whether weight decay also applies to biases, norms, positions and tokens, as in plain AdamW")
    )
    decay_position_bias: bool = field(
        default=False,
        metadata=about(
            "SwinV2: whether weight decay applies to the layers of the position bias and to the scale of the attention; the authors exempt them, "
            "but in pre-training their code does not",
            added_to=KINDS,
        ),
    )
    crop_scale_min: float = field(
        default=0.67,
        metadata=about(
            "smallest share of the image's area in a random resized crop; with crop_ratio_max also 1, the whole image is resized",
            unit="share",
            excluded=(0,),
        ),
    )
    crop_ratio_max: float = field(default=4 / 3, metadata=about("largest aspect ratio of a crop; the smallest is its inverse", lowest=1))
    store_px: int = field(
        default=0,
        metadata=about(
            "short side of the stored images that crops are taken from; 0 is 8/7 of the image side; smaller images are stored as they are",
            unit="px",
            highest=8_192,
        ),
    )
    storage: Storage = field(
        default="pixels",
        metadata=about(
            "whether decoded pixels are stored; or JPEG files, for data that are too large decoded; or nothing (`files`), "
            "for data that are too large to copy: each image is read from its own file whenever it is needed"
        ),
    )
    flip: float = field(default=0.5, metadata=about("probability of a horizontal flip", unit="share"))
    positions: Literal["normal", "sincos"] = field(
        default="normal",
        metadata=about("initial position embeddings of a new ViT; no effect on a stage with a parent or on SwinV2"),
    )
    brightness: float = field(
        default=0.0,
        metadata=about(
            "brightness is changed by a factor within 1 plus or minus this, drawn for each image (torchvision's ColorJitter)", added_to=KINDS
        ),
    )
    saturation: float = field(default=0.0, metadata=about("as brightness, for the strength of colours", added_to=KINDS))
    hue: float = field(
        default=0.0, metadata=about("colours are turned by up to this share of the colour circle either way", highest=0.5, added_to=KINDS)
    )
    stochastic_depth: float = field(
        default=0.0,
        metadata=about(
            "share of the images that drop a residual branch of the last block, rising linearly from 0 at the first (Huang et al. 2016)",
            unit="share",
            excluded=(1,),
            added_to=KINDS,
        ),
    )
    average: float = field(
        default=0.0,
        metadata=about(
            "decay of an exponential moving average of the weights, which is then measured and handed on; 0 averages nothing",
            unit="share",
            excluded=(1,),
            added_to=KINDS,
        ),
    )
    precision: Literal["auto", "fp32", "bf16"] = field(
        default="auto", metadata=about("auto is bf16 autocast where the device computes in it, else fp32; the provenance records which")
    )


@dataclass(frozen=True, kw_only=True)
class SupervisedRecipe(Recipe):
    """The fields of training with labels."""

    label_smoothing: float = field(default=0.0, metadata=about("label smoothing of the cross-entropy", unit="share", added_to=LABELS_CAME))
    test_crop: Literal["square", "centre", "whole"] = field(
        default="square",
        metadata=about(
            "what a classification is scored on: the central square; its inner 7/8, as resizing the short side to 256 px and cutting out 224 px; "
            "or the whole image with both sides resized, which segmentation always takes",
            added_to=("trunk", "pretrain"),
        ),
    )
    mixup: float = field(
        default=0.0,
        metadata=about("classification: alpha of MixUp's Beta(alpha, alpha) (Zhang et al. 2018); 0 mixes nothing", added_to=KINDS),
    )
    cutmix: float = field(
        default=0.0,
        metadata=about(
            "classification: alpha of CutMix's Beta(alpha, alpha) (Yun et al. 2019); with MixUp too, each batch takes one of them", added_to=KINDS
        ),
    )
    rand_augment: float = field(
        default=0.0,
        metadata=about(
            "classification: magnitude of RandAugment (Cubuk et al. 2020) as timm's rand-m9-mstd0.5-inc1 has it: two operations, each with "
            "probability 1/2; 0 does none",
            highest=10,
            added_to=KINDS,
        ),
    )
    erasing: float = field(
        default=0.0,
        metadata=about("classification: probability that a rectangle becomes noise (Zhong et al. 2020)", unit="share", added_to=KINDS),
    )
    contrast: float = field(
        default=0.0,
        metadata=about(
            "contrast is changed by a factor within 1 plus or minus this, drawn for each image (torchvision's ColorJitter)",
            unit="share",
            added_to=KINDS,
        ),
    )
    resize: Literal["antialiased", "nearest"] = field(
        default="antialiased",
        metadata=about("how images are brought to the stage's side; nearest takes single pixels, as Bridge, Sun et al.'s code", added_to=KINDS),
    )
    transforms: Literal["fresh", "frozen"] = field(
        default="fresh",
        metadata=about(
            "whether crop, flip and contrast are drawn each time an image is shown, or once for each, as Bridge, Sun et al.'s code does",
            added_to=KINDS,
        ),
    )
    short_last_batch: bool = field(
        default=False,
        metadata=about(
            "whether each pass ends with a shorter batch, as a PyTorch DataLoader's; else the last batch goes on with the next pass", added_to=KINDS
        ),
    )
    subset_seed: Literal["run", "fixed"] = field(
        default="run",
        metadata=about(
            "whether each seed draws labelled images of its own, so that the spread over seeds holds theirs, or all seeds have the same ones, "
            "as in Bridge, Sun et al.",
            added_to=KINDS,
        ),
    )
    layer_decay: float = field(
        default=1.0,
        metadata=about(
            "rate of each layer over that of the layer above it (BEiT, Bao et al. 2022); 1 is the same rate everywhere",
            highest=1,
            excluded=(0,),
            added_to=KINDS,
        ),
    )
    layer_decay_by_size: bool = field(
        default=False,
        metadata=about(
            "whether SwinV2 has a layer decay of .8 (S), .75 (B), .7 (L), .65 (H) or .6 (g); other encoders have `layer_decay`",
            added_to=KINDS,
        ),
    )
    pool: Literal["mean", "cls"] = field(
        default="mean",
        metadata=about("what a classification head reads: the mean patch token, or the CLS token (never trained by SimMIM)", added_to=LABELS_CAME),
    )


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe(SupervisedRecipe):
    """Masked image modelling; the fields with labels are for the objective `supervised`."""

    mask_ratio: float = field(
        default=0.5, metadata=about("share of the mask units that is masked, the same number in every image", unit="share", excluded=(0,))
    )
    mask_unit_px: int = field(
        default=0,
        metadata=about(
            "side of the squares that are masked; 0 is one patch of a ViT, one output token (32 px) of SwinV2",
            unit="px",
            highest=9_999,
            added_to=KINDS,
        ),
    )
    mask_rounding: Literal["nearest", "up"] = field(
        default="nearest", metadata=about("how the number of masked units is rounded; SimMIM's code rounds up", added_to=KINDS)
    )
    target: Literal["pixels", "window-normalised"] = field(
        default="pixels",
        metadata=about(
            "what is predicted: normalised pixels, or pixels normalised by mean and variance of a 47 x 47 window around each", added_to=KINDS
        ),
    )
    token_start: Literal["normal", "truncated"] = field(
        default="normal",
        metadata=about("initial mask token: N(0, 1), or normal with standard deviation 0.02 truncated at 2", added_to=KINDS),
    )
    decoder: Literal["linear", "two-layer", "transformer"] = field(
        default="linear",
        metadata=about("decoder from output tokens to pixels; larger ones leave less of the work to the encoder", added_to=KINDS),
    )
    mae_mask_ratio: float = field(
        default=0.75, metadata=about("mae: share of the patches that is hidden (He et al. 2022)", unit="share", excluded=(0, 1), added_to=KINDS)
    )
    mae_target: Literal["patch-normalised", "pixels"] = field(
        default="patch-normalised",
        metadata=about("mae: what is predicted: patches normalised by their own mean and variance, or normalised pixels", added_to=KINDS),
    )
    mae_decoder_width: int = field(
        default=0, metadata=about("mae: width of the decoder, a multiple of 4; 0 is half the encoder's", highest=100_000, added_to=KINDS)
    )
    mae_decoder_blocks: int = field(default=4, metadata=about("mae: blocks of the decoder", lowest=1, highest=1_000, added_to=KINDS))


@dataclass(frozen=True, kw_only=True)
class IntermediateRecipe(SupervisedRecipe):
    """A stage with labels between pre-training and fine-tuning."""


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe(SupervisedRecipe):
    """A task with labels: segmentation, classification, detection, or a probe."""

    head: Literal["patch-linear", "upernet", "linear"] = field(
        default="patch-linear",
        metadata=about(
            "segmentation: a linear layer on each patch as Bridge, Sun et al.; UPerNet with an auxiliary FCN head; or batch norm and a linear "
            "layer on each output token, upsampled bilinearly; or a plug-in's",
            added_to=KINDS,
            plugins=True,
        ),
    )
    head_channels: int = field(
        default=512, metadata=about("upernet: channels; the auxiliary head has half of them", lowest=2, highest=100_000, added_to=KINDS)
    )
    head_dropout: float = field(
        default=0.1,
        metadata=about("upernet: share of the channels that is dropped before the classes", unit="share", excluded=(1,), added_to=KINDS),
    )
    test_windows: Literal["one", "sliding"] = field(
        default="one",
        metadata=about(
            "segmentation: test images are resized to the square of the image side; or keep their aspect, are covered by windows of that side at "
            "2/3 of it, whose logits are averaged, and are scored at the size that they are stored in",
            added_to=KINDS,
        ),
    )
    test_px: int = field(
        default=0,
        metadata=about(
            "sliding: short side that test images are resized to, as long as the long side stays within 4 times of it; 0 is the image side",
            unit="px",
            highest=8_192,
            added_to=KINDS,
        ),
    )

    pixel_loss: Literal["per-pixel", "ucl-code"] = field(
        default="per-pixel",
        metadata=about(
            "segmentation: cross-entropy at each pixel, or that of Bridge, Sun et al.'s code, which takes log-softmax over pixels before it",
            added_to=KINDS,
        ),
    )
    test_transforms: bool = field(
        default=False,
        metadata=about(
            "segmentation: whether test images are flipped and their contrast changed too, as Bridge, Sun et al.'s code does", added_to=KINDS
        ),
    )
    split: Literal["fixed", "ucl-code"] = field(
        default="fixed",
        metadata=about(
            "test images: the source's held-out ones for any number of labels, or, of both parts in one fixed order (torch's randperm of seed 42), "
            "those that follow the labelled ones, as in Bridge, Sun et al.'s code",
            added_to=KINDS,
        ),
    )
    detector_width: int = field(
        default=256,
        metadata=about(
            "detection: channels of feature pyramid and heads, and a quarter of the box head's width",
            lowest=1,
            highest=10_000,
            added_to=KINDS,
        ),
    )
    anchor_scale: float = field(
        default=8.0,
        metadata=about("detection: side of an anchor over the stride of its map; smaller images want smaller anchors", excluded=(0,), added_to=KINDS),
    )
    regions: int = field(
        default=512, metadata=about("detection: regions of each image that the box head learns from", lowest=4, highest=100_000, added_to=KINDS)
    )
    zoom_out: float = field(
        default=1.0,
        metadata=about(
            "detection: smallest scale at which an image is shown in training, the rest being filled; large-scale jitter (Ghiasi et al. 2021), "
            "together with small crops; 1 shows none smaller",
            unit="share",
            excluded=(0,),
            added_to=KINDS,
        ),
    )
    normalise_inputs: bool = field(
        default=True,
        metadata=about("whether images are normalised as in pre-training; Bridge, Sun et al. do not", added_to=KINDS),
    )


RECIPE_CLASS: dict[str, type[Recipe]] = dict(zip(KINDS, (PretrainRecipe, PretrainRecipe, IntermediateRecipe, FinetuneRecipe), strict=True))


NEUTRAL: dict[str, dict[str, Any]] = {
    kind: {one.name: one.default for one in dataclasses.fields(of) if kind in about_field(one).added_to} for kind, of in RECIPE_CLASS.items()
}
"""For each kind of stage the fields that were added to it, with the value that leaves ids as they
were.
"""

TRUNK_VALUES: dict[str, Any] = {
    "schedule": "step",
    "decay": Recipe.decay,
    "gamma": Recipe.gamma,
    "milestones": Recipe.milestones,
    "warmup": Recipe.warmup,
    "final_rate": Recipe.final_rate,
}
"""The fields that no trunk reads, with the value that they have in every trunk's recipe: trainings
that differ in nothing else share their trunk.
"""
