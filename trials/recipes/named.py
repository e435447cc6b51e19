"""The named recipes of each kind of stage, with the source of their numbers.

A recipe decides a stage's numbers, so its fields are part of the stage's id. A grid names one and
may override single fields (`trials/recipes/fields.py` describes each).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from trials.errors import InputError, nearest
from trials.recipes.checks import recipe_from_dict
from trials.recipes.fields import FinetuneRecipe, IntermediateRecipe, PretrainRecipe, Recipe

# To be raised when a spec would give other numbers than before: stages computed earlier then have
# other ids.
RECIPE_VERSION = 2

# Bridge, Sun et al., "Diminishing Returns in Self-Supervised Learning". Expected on the full data
# sets, pre-trained on 200k and fine-tuned on 6,000 images: the scores in
# analysis/published/diminishing_returns.csv, to be compared with miou_ucl alone.
_UCL: dict[str, Any] = {"batch_images": 64, "schedule": "multi-step"}

# `compact` is this project's own: a cosine schedule with warm-up for small models trained for
# minutes. Expected on subsets of real images: benchmarks/README.md, real_subset.
_COMPACT: dict[str, Any] = {"schedule": "cosine", "warmup": 0.05, "clip_norm": 1.0, "decay_vectors": False, "positions": "sincos"}

# The paper's stages with labels. Crops are as in its pre-training, since it names no others.
_UCL_INTERMEDIATE: dict[str, Any] = _UCL | {"learning_rate": 8e-4, "weight_decay": 0.0, "milestones": (0.9, 0.95), "gamma": 0.1, "pool": "cls"}
_UCL_FINETUNE: dict[str, Any] = _UCL | {"learning_rate": 2e-3, "weight_decay": 1e-4, "milestones": (0.7, 0.9, 0.95), "gamma": 0.5}
# `ucl-code` takes from its released code (itshuey/masked-image-modelling) the rates, the loss and the
# inputs, and resizes where `ucl-paper` crops; transforms are fresh and the test set is clean.
_RESIZED: dict[str, Any] = {"crop_scale_min": 1.0, "crop_ratio_max": 1.0}
# `ucl-released` is the paper as its code runs it (main_finetune.py, utils/utils.py,
# models/finetune.py): of images at their own resolution (`store_px` keeps all pixels) nearest pixels
# are taken, contrast jitter 0.3; in fine-tuning transforms are drawn once and kept, test images are
# transformed too, labels are the same in all runs; a DataLoader's short last batch; float32. Its
# split, which changes the test set with the number of labels, is `split: ucl-code`, on
# oxford-iiit-pet. Of the intermediate stage Pillow takes the nearest pixel, half a pixel beside ours.
_RELEASED: dict[str, Any] = _RESIZED | {
    "resize": "nearest",
    "contrast": 0.3,
    "store_px": 8192,
    "short_last_batch": True,
    "precision": "fp32",
}

# Xie et al., "SimMIM" (CVPR 2022) and "On Data Scaling in Masked Image Modeling" (CVPR 2023), as
# fine-tuned on ImageNet-1K at 224 px: 100 epochs with 20 of warm-up, or 50 with 10 for SwinV2-H and
# -g, which is the same share. Numbers from microsoft/Swin-Transformer,
# configs/simmim/simmim_finetune__swinv2_base__img224_window14__800ep.yaml (rate 1.25e-3 x 2048 /
# 512; the layer decay is that of the size), microsoft/SimMIM,
# configs/vit_base__800ep (layer decay 0.65), and the config.py of both.
# Expected: analysis/published/data_scaling_runs.csv (SwinV2-B after 500k iterations on all of
# ImageNet-1K: 85.04% top-1); ViT-B after 800 epochs: 83.8%. Not offered, so expect less: CutMix 1.0
# (in every other batch in MixUp's place), random erasing 0.25, RandAugment m9 with colour jitter
# 0.4, stochastic depth (0.1 for B), and a final rate of 1e-6 instead of 0.
_SIMMIM_FINETUNE: dict[str, Any] = {
    "learning_rate": 5e-3,
    "weight_decay": 0.05,
    "batch_images": 2048,
    "schedule": "cosine",
    "warmup": 0.2,
    "clip_norm": 5.0,
    "decay_vectors": False,
    "crop_scale_min": 0.08,
    "test_crop": "centre",
    "label_smoothing": 0.1,
    "mixup": 0.8,
}

# Xie et al., "On Data Scaling in Masked Image Modeling" (arXiv 2206.04664), SwinV2 at 192 px.
# Numbers from the paper and from microsoft/Swin-Transformer,
# configs/simmim/simmim_pretrain__swinv2_base__img192_window12__800ep.yaml, config.py (clipping),
# models/simmim.py (target, loss) and SimMIM's data_simmim.py (masks). Expected, in units of the
# target: analysis/published/data_scaling_runs.csv, such as a held-out loss of 0.4588 for SwinV2-B
# after 500k iterations on all of ImageNet-1K. Not offered: stochastic depth of 0.1. The rate warms
# up from 0, not from 2e-6.
_SIMMIM_PRETRAIN: dict[str, Any] = {
    "learning_rate": 4e-4,  # 1e-4 x 2048 / 512
    "weight_decay": 0.05,
    "batch_images": 2048,
    "schedule": "step",
    "decay": 0.125,
    "gamma": 0.1,
    "warmup_length": "6250 steps",  # 10 epochs of ImageNet-1K in batches of 2,048, whatever the subset
    "clip_norm": 5.0,
    "decay_vectors": False,
    "mask_ratio": 0.6,
    "mask_unit_px": 32,
    "mask_rounding": "up",
    "token_start": "truncated",
}
# Xie et al., "SimMIM" (CVPR 2022, arXiv 2111.09886), ViT-B/16 at 224 px for 800 epochs:
# microsoft/SimMIM, configs/vit_base__800ep/simmim_pretrain__vit_base__img224__800ep.yaml. Expected:
# 83.8% top-1 once fine-tuned on ImageNet-1K; no held-out loss is published. Their ViT has a shared
# relative position bias, biases on queries and values, layer scale of 0.1, a CLS token that is fed,
# and stochastic depth of 0.1; ours has learned positions instead, which start as sines and cosines.
_SIMMIM_VIT: dict[str, Any] = _SIMMIM_PRETRAIN | {"positions": "sincos"}

RECIPES: dict[str, dict[str, Recipe]] = {
    "pretrain": {
        # in pre-training the authors' wrapper prefixes its keywords, which then match nothing
        "simmim-swinv2": PretrainRecipe(**_SIMMIM_PRETRAIN, target="window-normalised", decay_position_bias=True),
        "simmim-vit": PretrainRecipe(**_SIMMIM_VIT),
        "compact": PretrainRecipe(**_COMPACT, learning_rate=1e-3, weight_decay=0.05),
        "ucl-paper": PretrainRecipe(**_UCL, learning_rate=1e-4, weight_decay=0.05, milestones=(0.5, 0.85), gamma=0.1),
        "ucl-code": PretrainRecipe(**_UCL, learning_rate=1e-3, weight_decay=0.05, milestones=(0.5, 0.85), gamma=0.5),
        "ucl-released": PretrainRecipe(**_UCL, learning_rate=1e-3, weight_decay=0.05, milestones=(0.5, 0.85), gamma=0.5, precision="fp32"),
    },
    "intermediate": {
        "compact": IntermediateRecipe(**_COMPACT, learning_rate=5e-4, weight_decay=0.05),
        "ucl-paper": IntermediateRecipe(**_UCL_INTERMEDIATE),
        "ucl-code": IntermediateRecipe(**_UCL_INTERMEDIATE, **_RESIZED, mixup=0.1),
        "ucl-released": IntermediateRecipe(**_UCL_INTERMEDIATE, **_RELEASED, mixup=0.1, test_crop="whole"),
    },
    "finetune": {
        "compact": FinetuneRecipe(**_COMPACT, learning_rate=1e-3, weight_decay=0.05, batch_images=32),
        "ucl-paper": FinetuneRecipe(**_UCL_FINETUNE),
        "ucl-code": FinetuneRecipe(**_UCL_FINETUNE, **_RESIZED, pixel_loss="ucl-code", normalise_inputs=False),
        "ucl-released": FinetuneRecipe(
            **_UCL_FINETUNE,
            **_RELEASED,
            pixel_loss="ucl-code",
            normalise_inputs=False,
            transforms="frozen",
            test_transforms=True,
            subset_seed="fixed",
        ),
        "simmim-swinv2": FinetuneRecipe(**_SIMMIM_FINETUNE, layer_decay=0.75, layer_decay_by_size=True),
        "simmim-vit": FinetuneRecipe(**_SIMMIM_FINETUNE, layer_decay=0.65, warmup_in_cosine=True),
    },
}


def get_recipe(kind: str, name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """The named recipe of a kind of stage, with single fields overridden.

    Raises:
        InputError: an unknown recipe or field, or a value that is not allowed.
    """
    if name not in RECIPES[kind]:
        raise InputError(f"{kind}: there is no recipe {name!r}; {nearest(name, RECIPES[kind])}")
    recipe = RECIPES[kind][name]
    return recipe_from_dict(kind, dataclasses.asdict(recipe) | (overrides or {}))
