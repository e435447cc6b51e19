"""How each kind of stage is trained, by name, with the source of the numbers.

A recipe decides numbers, so all of its fields are part of a stage's identity. A grid names one and may override single fields.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from trials.errors import InputError, nearest

# Raised when the same spec would give other numbers than before: stages computed earlier then count as other stages.
RECIPE_VERSION = 1
BATCH_IMAGES_MAX = 100_000


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What all kinds of stage have in common."""

    learning_rate: float
    weight_decay: float
    batch_images: int = 64
    beta_1: float = 0.9
    beta_2: float = 0.999
    schedule: Literal["multi-step", "cosine"] = "multi-step"
    milestones: tuple[float, ...] = ()
    """Multi-step: where the rate drops, as fractions of the length."""
    gamma: float = 1.0
    """Multi-step: the factor at each milestone."""
    warmup: float = 0.0
    """Cosine: share of the steps with a linearly rising rate."""
    clip_norm: float = 0.0
    """Gradients are scaled down to this norm; 0 leaves them."""
    decay_vectors: bool = True
    """Whether weight decay also pulls on biases, norms, positions and tokens, as AdamW does if left alone."""
    crop_scale_min: float = 0.67
    """Smallest share of the image's area in a random resized crop; 1 crops nothing."""
    crop_ratio_max: float = 4 / 3
    """Largest aspect ratio of a crop; the smallest is its inverse."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    positions: Literal["normal", "sincos"] = "normal"
    """How the positions of a fresh encoder start; without effect on a stage that has a parent."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 autocast on a GPU or CPU that computes in it, else fp32; what was chosen is in the provenance."""


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe(Recipe):
    """Masked image modelling."""

    mask_ratio: float = 0.5
    """Share of the patches that is masked, the same number in every image."""


@dataclass(frozen=True, kw_only=True)
class IntermediateRecipe(Recipe):
    """Classification between pre-training and fine-tuning."""

    pool: Literal["mean", "cls"] = "mean"
    """What the head reads: the mean patch token, or the CLS token (never trained by SimMIM)."""
    label_smoothing: float = 0.0


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe(Recipe):
    """Segmentation with a linear head per patch, per-pixel cross-entropy."""


# Bridge, Sun et al. (papers.md, section 1). Expected on the full data sets: pre-trained on 200k and fine-tuned on 6,000 images,
# published/diminishing_returns.csv; our metrics differ from theirs except miou_ucl.
_UCL: dict[str, Any] = {"batch_images": 64, "schedule": "multi-step"}

# `compact` is ours: a cosine schedule with warm-up that suits small models trained for minutes. Expected on the real subsets:
# see benchmarks/README.md, real_subset.
_COMPACT: dict[str, Any] = {"schedule": "cosine", "warmup": 0.05, "clip_norm": 1.0, "decay_vectors": False, "positions": "sincos"}

RECIPES: dict[str, dict[str, Recipe]] = {
    "pretrain": {
        "compact": PretrainRecipe(**_COMPACT, learning_rate=1e-3, weight_decay=0.05),
        "ucl-paper": PretrainRecipe(**_UCL, learning_rate=1e-4, weight_decay=0.05, milestones=(0.5, 0.85), gamma=0.1),
        "ucl-code": PretrainRecipe(**_UCL, learning_rate=1e-3, weight_decay=0.05, milestones=(0.5, 0.85), gamma=0.5),
    },
    "intermediate": {
        "compact": IntermediateRecipe(**_COMPACT, learning_rate=5e-4, weight_decay=0.05),
        "ucl-paper": IntermediateRecipe(
            **_UCL,
            learning_rate=8e-4,
            weight_decay=0.0,
            milestones=(0.9, 0.95),
            gamma=0.1,
            pool="cls",
        ),
    },
    "finetune": {
        "compact": FinetuneRecipe(**_COMPACT, learning_rate=1e-3, weight_decay=0.05, batch_images=32),
        "ucl-paper": FinetuneRecipe(
            **_UCL,
            learning_rate=2e-3,
            weight_decay=1e-4,
            milestones=(0.7, 0.9, 0.95),
            gamma=0.5,
        ),
    },
}

_POSITIVE = ("learning_rate", "batch_images")
_SHARES = ("warmup", "flip", "mask_ratio", "label_smoothing", "crop_scale_min", "beta_1", "beta_2")


def get_recipe(kind: str, name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """The recipe of that name for that kind of stage, with single fields overridden.

    Raises:
        InputError: no such recipe or field, or a value that cannot be.
    """
    if name not in RECIPES[kind]:
        raise InputError(f"{kind}: there is no recipe {name!r}; {nearest(name, RECIPES[kind])}")
    recipe = RECIPES[kind][name]
    return recipe_from_dict(kind, dataclasses.asdict(recipe) | (overrides or {}))


def recipe_fields(kind: str) -> list[str]:
    """Names that a grid may override in the recipe of that kind of stage."""
    return [field.name for field in dataclasses.fields(next(iter(RECIPES[kind].values())))]


def recipe_from_dict(kind: str, values: dict[str, Any]) -> Recipe:
    """A checked recipe from its fields, as a spec.json holds them."""
    known = recipe_fields(kind)
    for key in values:
        if key not in known:
            raise InputError(f"{kind}: there is no recipe field {key!r}; {nearest(str(key), known)}")
    default = next(iter(RECIPES[kind].values()))
    checked: dict[str, Any] = {}
    for key, value in values.items():
        example = getattr(default, key)
        _check(kind, key, value, example)
        # 1 and 1.0 are one setting, so they must make one stage
        checked[key] = float(value) if isinstance(example, float) else value
    checked["milestones"] = tuple(float(milestone) for milestone in values.get("milestones", ()))
    return type(default)(**checked)


def _check(kind: str, key: str, value: object, example: object) -> None:
    choices = {
        "schedule": ("multi-step", "cosine"),
        "precision": ("auto", "fp32", "bf16"),
        "pool": ("mean", "cls"),
        "positions": ("normal", "sincos"),
    }
    if key in choices:
        if value not in choices[key]:
            raise InputError(f"{kind}: {key} must be one of {', '.join(choices[key])}, not {value!r}.")
        return
    if key == "milestones":
        if not isinstance(value, list | tuple) or not all(isinstance(v, int | float) and 0 <= v <= 1 for v in value):
            raise InputError(f"{kind}: milestones must be a list of fractions of the length, such as [0.5, 0.85], not {value!r}.")
        return
    if isinstance(example, bool):
        if not isinstance(value, bool):
            raise InputError(f"{kind}: {key} must be true or false, not {value!r}.")
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0 or value == math.inf:
        hint = " (YAML reads 1e-3 as text: write 1.0e-3 or 0.001)" if isinstance(value, str) else ""
        raise InputError(f"{kind}: {key} must be a number of at least 0, not {value!r}{hint}.")
    if key in _POSITIVE and value <= 0:
        raise InputError(f"{kind}: {key} must be above 0.")
    if key == "batch_images" and (not isinstance(value, int) or value > BATCH_IMAGES_MAX):
        raise InputError(f"{kind}: batch_images must be a whole number of at most {BATCH_IMAGES_MAX:,}, not {value!r}.")
    if key in ("beta_1", "beta_2") and value >= 1:
        raise InputError(f"{kind}: {key} must be below 1, not {value!r}.")
    if key in _SHARES and value > 1:
        raise InputError(f"{kind}: {key} is a share and must lie between 0 and 1, not {value!r}.")
    if key in ("crop_scale_min", "mask_ratio") and value == 0:
        raise InputError(f"{kind}: {key} must be above 0.")
    if key == "crop_ratio_max" and value < 1:
        raise InputError(f"{kind}: crop_ratio_max is the larger of a ratio and its inverse, so at least 1, not {value!r}.")
