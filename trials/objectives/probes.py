"""Probes, cheap fine-tunings that leave the encoder as it is: a linear head, or attention with one
learned query, on its output tokens.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from trials.data.pictures import Pictures
from trials.models.encoder import Encoder
from trials.models.probe_heads import AttentiveProbeModel, FrozenClassifier
from trials.objectives.classification import Classification, scored_crops
from trials.objectives.objective import Kind, batched_positions, register
from trials.objectives.scores import Measure, share_score
from trials.recipes.fields import Recipe, SupervisedRecipe

NEIGHBOURS = 20
TEMPERATURE = 0.07
"""Of the weights of neighbours (Wu et al. 2018, arXiv 1805.01978; Caron et al. 2021, DINO)."""


@register
class LinearProbe(Classification):
    """Classification by a linear head on a frozen encoder, with the k-nearest-neighbour accuracy of
    the same features, which trains nothing.
    """

    name = "linear-probe"
    kinds = ("finetune",)
    purpose = "a linear probe"

    @classmethod
    def scores(cls, kind: Kind) -> tuple[Measure, ...]:
        title = "share of test images whose class most of the 20 nearest training images have, weighted by the cosine of pooled frozen features"
        return (*super().scores(kind), share_score("knn_accuracy", "k-NN accuracy", title))

    @classmethod
    def reason_not_captured(cls, recipe: Recipe) -> str:
        return "a probe's encoder is frozen"

    @classmethod
    def build(cls, encoder: Encoder, recipe: Recipe, *, classes: int) -> FrozenClassifier:
        assert isinstance(recipe, SupervisedRecipe)
        return FrozenClassifier(encoder, classes=classes, pool=recipe.pool)

    def finish(self, folder: Path) -> dict[str, float | int]:
        train, test = self._batches.pictures, self._heldout
        scores = super().finish(folder)
        labels, truth = train.labels(torch.arange(len(train))), test.labels(torch.arange(len(test)))
        named = nearest_classes(self._features(train), labels, self._features(test), classes=len(self.classes))
        return scores | {"knn_accuracy": int((named == truth).sum()) / len(truth)}

    @torch.no_grad()
    def _features(self, pictures: Pictures) -> Tensor:
        """(N, dim) float32 pooled features of images that are not augmented."""
        assert isinstance(self.model, FrozenClassifier)
        crops, found = scored_crops(pictures.sizes, self._recipe), []
        for positions in batched_positions(len(pictures)):
            with self._compute.autocast():
                found.append(self.model.features(self._inputs(pictures.images(positions, crops[positions]))).float())
        return torch.cat(found)


@register
class AttentiveProbe(Classification):
    """Classification of a frozen encoder's tokens by attention with one learned query, then a linear
    head (Chen et al. 2022, "Context Autoencoder", arXiv 2202.03026).
    """

    name = "attentive-probe"
    kinds = ("finetune",)
    purpose = "an attentive probe"

    @classmethod
    def check(cls, encoder: str, recipe: Recipe) -> None:
        """Every encoder has tokens to attend to."""

    @classmethod
    def reason_not_captured(cls, recipe: Recipe) -> str:
        return "a probe's encoder is frozen"

    @classmethod
    def build(cls, encoder: Encoder, recipe: Recipe, *, classes: int) -> AttentiveProbeModel:  # type: ignore[override]
        return AttentiveProbeModel(encoder, classes=classes)


def nearest_classes(seen: Tensor, labels: Tensor, features: Tensor, *, classes: int, neighbours: int = NEIGHBOURS) -> Tensor:
    """The class that the nearest seen features vote for, each with weight exp(cosine / 0.07).

    Args:
        seen: (M, dim), with (M,) `labels`. features: (N, dim).

    Returns:
        (N,) classes; of equal votes the lowest.
    """
    seen, features = F.normalize(seen, dim=1), F.normalize(features, dim=1)
    named = []
    for some in features.split(1024):
        cosine, places = (some @ seen.T).topk(min(neighbours, len(seen)), dim=1)
        votes = some.new_zeros(len(some), classes).scatter_add_(1, labels[places], ((cosine - 1) / TEMPERATURE).exp())
        named.append(votes.argmax(dim=1))
    return torch.cat(named)
