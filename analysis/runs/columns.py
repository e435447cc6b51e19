"""The columns of the runs table: the one place where each is documented.

One row of the table is one run: a fine-tuned model, with everything upstream of it. `scaling`
writes exactly these columns (`runs.parquet`, and the same as `runs.csv`); a test holds the two
together. Nothing here depends on the machine or the clock, so two launches of one grid give equal
tables; what a stage cost is in `stages.parquet` (see `STAGE_COLUMNS`).
"""

from __future__ import annotations

from typing import Final

RUN_COLUMNS: Final[dict[str, str]] = {
    "study": "name of the study, from the grid",
    "arm": "named arm of the grid that asked for the run, several joined by commas; missing where the grid has no arms",
    "run_id": "id of the fine-tuning stage: kind, then a hash of all that decides its numbers",
    "cell_id": "hash of the run's settings without its seed: runs of one cell differ in seed alone",
    "seed": "seed of the fine-tuning (head initialisation, order, augmentation)",
    "trunk_id": "id of the pre-training trunk that this run descends from; equals pretrain_id where no trunk is shared; missing for scratch",
    "pretrain_id": "id of the pre-training stage; missing where the run was trained from scratch",
    "intermediate_id": "id of the intermediate stage; missing where there is none",
    "encoder": "encoder by name: size/patch@image size in pixels",
    "encoder_params": "trainable parameters of the encoder, without any head",
    "pretrain_source": "data set that pre-training drew its images from; missing for scratch",
    "pretrain_images": "distinct images that pre-training could draw from; 0 means no pre-training",
    "pretrain_recipe": "named recipe of the pre-training; missing for scratch",
    "pretrain_length": "length of the pre-training as the grid states it, such as '100 epochs' or '5k steps'; missing for scratch",
    "pretrain_sampling": "how its images were drawn: 'uniform' per class, 'proportional' to the classes' shares, or whole 'classes'; "
    "missing for scratch",
    "pretrain_steps": "optimiser steps of the pre-training; 0 for scratch",
    "pretrain_image_passes": "images shown during pre-training, counting repeats (steps x batch); 0 for scratch",
    "train_mim_loss": "masked-image-modelling loss on training batches, mean over the last tenth of the steps, L1 on normalised pixels",
    "val_mim_loss": "masked-image-modelling loss on fixed held-out images with fixed crops and masks, L1 on normalised pixels",
    "intermediate": "objective of the intermediate stage: 'none', 'classification' of images, or 'spatial' (majority trimap class of each patch)",
    "intermediate_source": "data set of the intermediate stage; missing for 'none'",
    "intermediate_images": "labelled training images of the intermediate stage; 0 for 'none'",
    "intermediate_steps": "optimiser steps of the intermediate stage; 0 for 'none'",
    "intermediate_recipe": "named recipe of the intermediate stage; missing for 'none'",
    "intermediate_accuracy": "accuracy on held-out images at the end of the intermediate stage, per image or (spatial) per patch, 0 to 1; "
    "missing for 'none'",
    "finetune_source": "data set of the fine-tuning",
    "finetune_task": "'segmentation' (scored by miou) or 'classification' of images (scored by accuracy); what the other task measures is missing",
    "finetune_images": "labelled training images of the fine-tuning",
    "finetune_recipe": "named recipe of the fine-tuning",
    "finetune_steps": "optimiser steps of the fine-tuning",
    "finetune_train_loss": "cross-entropy on training batches, mean over the last tenth of the steps, nats per pixel or (classification) per image",
    "test_images": "images in the fixed test set",
    "test_loss": "cross-entropy on the test set without label smoothing, nats per pixel or (classification) per image",
    "accuracy": "top-1 accuracy: share of test images whose class is the one with the highest logit, 0 to 1; classification only",
    "top5_accuracy": "share of test images whose class is among the five with the highest logits, 0 to 1; where there are more than five classes",
    "pixel_accuracy": "share of test pixels classified rightly, 0 to 1",
    "miou": "mean intersection over union of the classes, from one confusion matrix over the whole test set, 0 to 1",
    "miou_ucl": "mean over test images of the sum of class IoUs / number of classes, a class absent from both scoring 0, "
    "0 to 1 (only this may be compared with Bridge, Sun et al.)",
    "iou_foreground": "intersection over union of trimap class 1 (the pet), test set, 0 to 1",
    "iou_background": "intersection over union of trimap class 2 (background), test set, 0 to 1",
    "iou_border": "intersection over union of trimap class 3 (border), test set, 0 to 1",
}

STAGE_COLUMNS: Final[dict[str, str]] = {
    "stage_id": "id of the stage",
    "kind": "'trunk', 'pretrain', 'intermediate' or 'finetune'",
    "parent_id": "id of the stage whose weights it starts from; missing where there is none",
    "state": "'done', 'failed', 'blocked' or 'missing'",
    "reason": "why a stage that is not done is not: the first error's own words, or the ancestor that blocks it",
    "steps": "optimiser steps",
    "image_passes": "images that the stage itself showed in training, counting repeats; without those of the trunk it went on from",
    "train_s": "seconds spent in training, evaluation and checkpoints included, over all attempts",
    "images_per_s": "image_passes of this attempt / its seconds",
    "gpu_hours": "train_s / 3600 x GPUs held (0 on a CPU)",
    "cpu_hours": "train_s / 3600 x CPU cores held",
    "device": "'cpu' or the GPU's name",
    "precision": "'fp32' or 'bf16' (autocast)",
    "attempts": "how many times the stage was started",
}
