"""The model that a stage trains, with fresh weights and without its images: for counting what it
costs and for measuring its speed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.models.encoders import build_encoder
from trials.models.heads import Classifier, Segmenter
from trials.models.masking import masked_count
from trials.models.simmim import SimMIM, simmim
from trials.objectives.patch_classification import PatchClassifier
from trials.recipes.fields import PretrainRecipe, SupervisedRecipe
from trials.spec import StageSpec

CLASSES = {"classification": 1000, "spatial": 3, "segmentation": 3}  # a head's classes where the data are not looked at: ImageNet's, a trimap's


def build_stage_model(spec: StageSpec) -> nn.Module:
    """The model of a stage, initialised from torch's current random state, on its current default
    device.
    """
    recipe = spec.recipe
    encoder = build_encoder(spec.encoder, positions=recipe.positions)
    if spec.objective == "simmim":
        assert isinstance(recipe, PretrainRecipe)
        return simmim(recipe, encoder)
    assert isinstance(recipe, SupervisedRecipe)
    if spec.objective == "classification":
        return Classifier(encoder, classes=CLASSES["classification"], pool=recipe.pool)
    if spec.objective == "spatial":
        return PatchClassifier(encoder, classes=CLASSES["spatial"])
    return Segmenter(encoder, classes=CLASSES["segmentation"])


def example_loss(model: nn.Module, spec: StageSpec, images: Tensor) -> Tensor:
    """A training loss of (B, 3, S, S) images with made-up masks or labels: as much arithmetic as a
    real one.
    """
    if isinstance(model, SimMIM):
        assert isinstance(spec.recipe, PretrainRecipe)
        masked = masked_count(model.units, spec.recipe.mask_ratio, spec.recipe.mask_rounding)
        return model(images, torch.arange(masked, device=images.device).expand(len(images), -1))
    outputs = model(images)
    if spec.objective == "spatial":
        outputs = outputs.flatten(0, 1)
    return F.cross_entropy(outputs, torch.zeros_like(outputs[:, 0], dtype=torch.long))
