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
# ImageNet-1K: 85.04% top-1); ViT-B after 800 epochs: 83.8%. Their colour jitter of 0.4 does nothing:
# timm leaves it out where RandAugment is on. Ours interpolates bilinearly where RandAugment moves
# pixels, theirs bicubically. Stochastic depth of 0.1 is that of both B sizes.
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
    "cutmix": 1.0,
    "rand_augment": 9.0,
    "erasing": 0.25,
    "stochastic_depth": 0.1,
    "warmup_rate": 1e-6,  # 2.5e-7 x 2048 / 512, as the final rate
    "final_rate": 1e-6,
}
# Xie et al. (arXiv 2206.04664), section 4 and the appendix on fine-tuning: iNaturalist-2018 at 224 px,
# 100 epochs with 20 of warm-up, rate 1.6e-2 at batch 2,048, weight decay 0.1, layer decay 0.8, 0.75
# and 0.7 for SwinV2-S, B and L (`layer_decay_by_size`). What it does not name is as on ImageNet-1K.
_INATURALIST: dict[str, Any] = _SIMMIM_FINETUNE | {"learning_rate": 1.6e-2, "weight_decay": 0.1}

# The same, ADE20K with UPerNet at 640 px (window 20): 80k steps of 32 images, rates of 1e-4 to 3e-4
# were searched, weight decay 0.05, linear schedule, stochastic depth 0.1, layer decay 0.95 for
# SwinV2-S and B, 0.9 for L; tested by windows of 640 px, 426 px apart, on images with a short side of
# 640 px. Warm-up of 1,500 steps from 1e-6 of the rate, the auxiliary head, dropout of 0.1, and the
# photometric distortion (brightness 32 / 255, contrast and saturation 0.5, hue 18 / 360), are those
# of mmsegmentation, which their code uses; it applies each to half of the images. They resize by 0.5
# to 2 and cut out 640 px. Between 1 and 2 that is a square of half to all of the short side, which a
# crop of 3/16 to all of the area is on images of 4 to 3; below 1 they pad, which is not done here.
_ADE20K: dict[str, Any] = {
    "learning_rate": 2e-4,
    "weight_decay": 0.05,
    "batch_images": 32,
    "schedule": "linear",
    "warmup": 1_500 / 80_000,
    "warmup_rate": 2e-10,
    "decay_vectors": False,
    "crop_scale_min": 3 / 16,
    "crop_ratio_max": 1.0,
    "head": "upernet",
    "test_windows": "sliding",
    "brightness": 32 / 255,
    "contrast": 0.5,
    "saturation": 0.5,
    "hue": 0.05,
    "stochastic_depth": 0.1,
    "layer_decay": 0.95,
}

# The same, COCO with Mask R-CNN: 36 epochs of batch 32, rate 8e-5, a tenth of it at epochs 27 and 33,
# weight decay 0.05, stochastic depth, whose rate is not known to us: 0.1 is that of the other tasks.
# Warm-up of 500 steps from a thousandth of the rate is mmdetection's. They resize by 0.1 to 2
# (large-scale jitter): here crops of a quarter to all of the area enlarge by up to 2, and `zoom_out`
# shows images smaller with the same chance. Pyramid and heads have torchvision's defaults.
_COCO: dict[str, Any] = {
    "learning_rate": 8e-5,
    "weight_decay": 0.05,
    "batch_images": 32,
    "schedule": "multi-step",
    "milestones": (27 / 36, 33 / 36),
    "gamma": 0.1,
    "warmup_length": "500 steps",
    "warmup_rate": 8e-8,
    "decay_vectors": False,
    "crop_scale_min": 0.25,
    "crop_ratio_max": 1.0,
    "zoom_out": 0.1,
    "stochastic_depth": 0.1,
}

# He et al., "Masked Autoencoders Are Scalable Vision Learners" (CVPR 2022), table 8: ViT-B/16 at 224
# px for 800 epochs, 40 of warm-up; batch 4,096, rate 1.5e-4 x 4096 / 256; crops of 0.2 to all of the
# area; decoder of 8 blocks, 512 wide. Expected: 83.6% top-1 once fine-tuned on ImageNet-1K (1,600
# epochs).
_MAE: dict[str, Any] = {
    "learning_rate": 2.4e-3,
    "weight_decay": 0.05,
    "batch_images": 4096,
    "beta_2": 0.95,
    "schedule": "cosine",
    "warmup": 0.05,
    "decay_vectors": False,
    "positions": "sincos",
    "crop_scale_min": 0.2,
    "mae_decoder_width": 512,
    "mae_decoder_blocks": 8,
}

# Xie et al., "On Data Scaling in Masked Image Modeling" (arXiv 2206.04664), SwinV2 at 192 px.
# Numbers from the paper and from microsoft/Swin-Transformer,
# configs/simmim/simmim_pretrain__swinv2_base__img192_window12__800ep.yaml, config.py (clipping),
# models/simmim.py (target, loss) and SimMIM's data_simmim.py (masks). Expected, in units of the
# target: analysis/published/data_scaling_runs.csv, such as a held-out loss of 0.4588 for SwinV2-B
# after 500k iterations on all of ImageNet-1K.
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
    "stochastic_depth": 0.1,
    "warmup_rate": 2e-6,  # 5e-7 x 2048 / 512
}
# Xie et al., "SimMIM" (CVPR 2022, arXiv 2111.09886), ViT-B/16 at 224 px for 800 epochs:
# microsoft/SimMIM, configs/vit_base__800ep/simmim_pretrain__vit_base__img224__800ep.yaml. Expected:
# 83.8% top-1 once fine-tuned on ImageNet-1K; no held-out loss is published. Their ViT has a shared
# relative position bias, biases on queries and values, layer scale of 0.1, and a CLS token that is
# fed; ours has learned positions instead, which start as sines and cosines.
_SIMMIM_VIT: dict[str, Any] = _SIMMIM_PRETRAIN | {"positions": "sincos"}

RECIPES: dict[str, dict[str, Recipe]] = {
    "pretrain": {
        # in pre-training the authors' wrapper prefixes its keywords, which then match nothing
        "simmim-swinv2": PretrainRecipe(**_SIMMIM_PRETRAIN, target="window-normalised", decay_position_bias=True),
        "simmim-vit": PretrainRecipe(**_SIMMIM_VIT),
        "mae-vit": PretrainRecipe(**_MAE),
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
        "simmim-swinv2-inaturalist": FinetuneRecipe(**_INATURALIST, layer_decay=0.75, layer_decay_by_size=True),
        "simmim-swinv2-ade20k": FinetuneRecipe(**_ADE20K),
        "simmim-swinv2-coco": FinetuneRecipe(**_COCO),
    },
}


def get_recipe(kind: str, name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """The named recipe of a kind of stage, with single fields overridden.

    Raises:
        InputError: an unknown recipe or field, or a value that is not allowed.
    """
    if name not in RECIPES[kind]:
        others = [other for other, recipes in RECIPES.items() if name in recipes]
        found = f"the recipe {name!r} is for {' and '.join(others)}" if others else f"there is no recipe {name!r}"
        raise InputError(f"{kind}: {found}; {nearest(name, RECIPES[kind])}")
    recipe = RECIPES[kind][name]
    return recipe_from_dict(kind, dataclasses.asdict(recipe) | (overrides or {}))
