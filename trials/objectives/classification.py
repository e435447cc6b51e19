"""Classification of whole images: what the intermediate and the fine-tuning stage share, and the
fine-tuning itself, scored on one fixed test set.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.data.augmentation import input_form
from trials.errors import InputError
from trials.models.heads import Classifier, check_pool
from trials.objectives.examples import chosen_examples, write_examples
from trials.objectives.mixing import blend, blended_cross_entropy, draw_share
from trials.objectives.objective import WHOLE, Batches, Objective, Part, Setting, batched_positions
from trials.recipes.fields import SupervisedRecipe

TOP = 5


class ClassTraining:
    """Cross-entropy on image classes, with MixUp and label smoothing where the recipe asks for
    them.
    """

    loss_name = "train_loss"

    def __init__(self, setting: Setting) -> None:
        assert isinstance(setting.spec.recipe, SupervisedRecipe)
        self._recipe, self._seed = setting.spec.recipe, setting.spec.seed
        self._compute, self._heldout = setting.compute, setting.heldout
        self._inputs = input_form(self._recipe)
        self.classes = setting.train.classes
        if len(self.classes) < 2:
            raise InputError(f"{setting.spec.kind}: {setting.spec.data.source} has {len(self.classes)} class: classification needs two or more.")
        check_pool(setting.spec.encoder, self._recipe.pool)
        self.encoder, model = setting.build_model(lambda encoder: Classifier(encoder, classes=len(self.classes), pool=self._recipe.pool))
        self.model: nn.Module = model
        self._batches = Batches(setting)

    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        images, _, positions = self._batches.take(step, part)
        labels = self._batches.pictures.labels(positions)
        if self._recipe.mixup == 0:
            return F.cross_entropy(self.model(images), labels, label_smoothing=self._recipe.label_smoothing)
        share = draw_share(self._recipe.mixup, seed=self._seed, step=step)
        if part == WHOLE:
            partners, others = images.roll(1, 0), labels.roll(1, 0)
        else:
            partners, theirs = self._batches.take_partners(step, part)
            others = self._batches.pictures.labels(theirs)
        return blended_cross_entropy(self.model(blend(images, partners, share)), labels, others, share, self._recipe.label_smoothing)

    @torch.no_grad()
    def heldout_logits(self) -> tuple[Tensor, Tensor]:
        """(N, classes) float32 logits of all held-out images, uncropped, and their (N,) labels."""
        self.model.eval()
        logits, labels = [], []
        for positions in batched_positions(len(self._heldout)):
            with self._compute.autocast():
                logits.append(self.model(self._inputs(self._heldout.images(positions))))
            labels.append(self._heldout.labels(positions))
        self.model.train()
        return torch.cat(logits), torch.cat(labels)


class ImageClassification(ClassTraining):
    """Fine-tuning to the images' classes."""

    def evaluate(self) -> dict[str, float]:
        """Nothing: the test set is looked at once, at the end."""
        return {}

    def finish(self, folder: Path) -> dict[str, float | int]:
        logits, labels = self.heldout_logits()
        self._write_examples(folder, logits.float().cpu(), labels.cpu())
        scores: dict[str, float | int] = {
            "test_images": len(labels),
            "test_loss": float(F.cross_entropy(logits, labels, reduction="sum").double()) / len(labels),
            "accuracy": top_accuracy(logits, labels, 1),
        }
        return scores | ({"top5_accuracy": top_accuracy(logits, labels, TOP)} if len(self.classes) > TOP else {})

    def _write_examples(self, folder: Path, logits: Tensor, labels: Tensor) -> None:
        """Evenly spaced images, then the best, median and worst of the whole test set by the
        probability that the true class got.
        """
        probabilities = logits.softmax(dim=1)
        of_truth = probabilities.gather(1, labels[:, None])[:, 0].numpy()
        chosen = chosen_examples(of_truth)
        images = self._heldout.images(torch.tensor([p for p, _ in chosen])).cpu().numpy()
        named = logits.argmax(dim=1)
        items = [
            {
                "caption": f"test image {p}",
                "truth": self.classes[int(labels[p])],
                "prediction": self.classes[int(named[p])],
                "probability": round(float(of_truth[p]), 4),
            }
            | rank
            for p, rank in chosen
        ]
        write_examples(folder, columns=["image"], rows=[[image] for image in images], items=items)


def top_accuracy(logits: Tensor, labels: Tensor, most: int) -> float:
    """Share of images whose true class is among the `most` with the highest logits; (N, classes)
    and (N,).

    Of equal logits the lower class comes first, so that the share is the same on every device.
    """
    own = logits.gather(1, labels[:, None])
    classes = torch.arange(logits.shape[1], device=logits.device)
    ahead = (logits > own) | ((logits == own) & (classes < labels[:, None]))
    return int((ahead.sum(dim=1) < most).sum()) / len(labels)


def classification(setting: Setting) -> Objective:
    """The objective `classification` of the stage's kind: scored along the way as an intermediate
    stage, once at the end as a fine-tuning.
    """
    from trials.objectives.intermediate import IntermediateClassification  # which rests on this module

    return ImageClassification(setting) if setting.spec.kind == "finetune" else IntermediateClassification(setting)
