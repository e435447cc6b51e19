"""What a stage is: all that decides its numbers, and the id made from that."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from trials.recipes.checks import recipe_from_dict
from trials.recipes.fields import NEUTRAL, Recipe, Storage, SupervisedRecipe
from trials.recipes.named import RECIPE_VERSION

FORMAT = 1


def without_place(encoder: str) -> str:
    """An encoder's name with the digest of the weights that it starts from and not the place of
    their file: `timm:resnet18@96+weights.safetensors#0123456789ab` -> `timm:resnet18@96+0123456789ab`.
    """
    return re.sub(r"\+[^#\n]+#([0-9a-f]{12})$", r"+\1", encoder)


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The images of a stage: a subset to train on and a fixed held-out set to be measured on."""

    source: str
    """A data source of `trials.data.sources`, such as 'imagenet' or 'leaves'."""
    image_px: int
    train_split: str
    train_fingerprint: str
    """Of the files as they are: other files make another stage."""
    train_images: int
    """Size of the subset; subsets of one seed are nested."""
    sampling: str
    """'uniform' per class, 'proportional' to the classes' shares, or 'classes': some classes whole."""
    heldout_split: str
    heldout_fingerprint: str
    heldout_images: int
    """Size of the held-out set: the same images whatever the seed and the training size."""
    store_px: int = 0
    """Short side of the stored images, from which crops are taken; 0 is `image_px`."""
    storage: Storage = "pixels"

    @property
    def stored_px(self) -> int:
        """Short side of the stored images in pixels."""
        return self.store_px or self.image_px


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One training job. Nothing about the machine is in it."""

    kind: str
    """'trunk', 'pretrain', 'intermediate' or 'finetune'; a trunk is the part of a pre-training
    before its rate decays, shared by several lengths.
    """
    objective: str
    """Name of an objective, such as 'simmim' or 'segmentation'."""
    encoder: str
    data: DataSpec
    recipe: Recipe
    steps: int
    """Optimiser steps, each of `recipe.batch_images` images."""
    eval_points: int
    """How often the held-out score is measured along the way, besides step 0; not part of the id."""
    seed: int
    parent: str | None
    """Id of the stage whose encoder weights it starts from; None starts from a fresh encoder."""
    trunk: str | None = None
    """Id of a trunk stage whose final state it goes on from; not part of the id, since training
    those steps itself gives the same numbers.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of the stages that must be done before this one."""
        return tuple(name for name in (self.parent, self.trunk) if name is not None)

    @property
    def image_passes(self) -> int:
        """Images shown, counting repeats."""
        batch, images = self.recipe.batch_images, self.data.train_images
        if isinstance(self.recipe, SupervisedRecipe) and self.recipe.short_last_batch:
            passes, steps = divmod(self.steps, -(-images // batch))
            return passes * images + min(steps * batch, images)
        return self.steps * batch

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, with the versions that decide what they mean."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return {"format": FORMAT, "recipe_version": RECIPE_VERSION} | plain

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StageSpec:
        """The inverse of `to_dict`."""
        fields = {key: value for key, value in values.items() if key not in ("format", "recipe_version")}
        recipe = recipe_from_dict(fields["kind"], fields["recipe"])
        return cls(**(fields | {"data": DataSpec(**fields["data"]), "recipe": recipe}))


def digest(values: Any) -> str:
    """12 hex digits of the SHA-256 of canonical JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]


def stage_id(spec: StageSpec) -> str:
    """`<kind>-<12 hex digits>`, the same wherever and whenever the same numbers would come out."""
    # how often a score is looked at along the way, and where the first steps were trained, move
    # none of the stage's results
    decisive = {key: value for key, value in vars(spec).items() if key not in ("eval_points", "trunk")}
    decisive |= {"encoder": without_place(spec.encoder)}
    # a field that came later has a value that is what was done before there was the field; it must
    # not make other stages of those
    neutral = NEUTRAL[spec.kind]
    recipe = {key: value for key, value in vars(spec.recipe).items() if key not in neutral or value != neutral[key]}
    versions = {"format": FORMAT, "recipe_version": RECIPE_VERSION}
    return f"{spec.kind}-{digest(versions | decisive | {'data': vars(spec.data), 'recipe': recipe})}"
