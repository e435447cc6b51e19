"""The registry of objectives: what a stage can learn, each with its model, loss and scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.data.augmentation import Crops, InputForm, draw_transforms, largest_crop, takes_nearest
from trials.data.distortions import Distortions
from trials.data.pictures import Pictures
from trials.data.sources import get_source, lacking, no_masks
from trials.errors import InputError
from trials.models.encoder import Encoder
from trials.models.encoders import adapt_weights, build_encoder, check_depth
from trials.models.stochastic_depth import StochasticDepth
from trials.objectives.fixed_images import EVAL_BATCH, RepeatedCalls
from trials.objectives.scores import Measure
from trials.recipes.fields import Recipe, SupervisedRecipe
from trials.registry import Registry, modules_in
from trials.spec import StageSpec
from trials.training.precision import Compute
from trials.training.seeding import EpochOrder, derive_seed, generator
from trials.training.step_inputs import StepInputs

WHOLE = (0, 1)

Part = tuple[int, int]
"""Which part of a batch, and of how many: data parallel and micro-batches take a batch in parts, as
even as can be, the first ones larger by one.
"""

Model = TypeVar("Model", bound=nn.Module)
Kind = Literal["pretrain", "intermediate", "finetune"]
Need = Literal["masks", "classes", "boxes", "instance-masks"]


class Objective(ABC):
    """What one kind of stage learns: its model, its loss and its scores.

    An objective is one file in this folder, or a plug-in: a subclass with the class attributes
    below, registered with `@register`. The grid, its JSON Schema, the plan, the display, the tables
    and the cost model read them from the registry.
    """

    name: ClassVar[str]
    """What a grid calls it."""
    kinds: ClassVar[tuple[Kind, ...]]
    """The kinds of stage that can have it."""
    needs: ClassVar[tuple[Need, ...]] = ()
    """What the images must carry: class masks, labels of two classes or more, boxes of objects, or
    masks of them.
    """
    purpose: ClassVar[str]
    """What it is for, in messages, such as 'segmentation'."""
    loss_score: ClassVar[Measure]
    """The training loss; its name is that in metrics.jsonl."""
    example_classes: ClassVar[int] = 2
    """Classes of a head when costs are counted without data."""

    @classmethod
    @abstractmethod
    def scores(cls, kind: Kind) -> tuple[Measure, ...]:
        """What the result of a stage of this kind holds besides the training loss."""

    @classmethod  # noqa: B027  (most objectives have nothing to check)
    def check(cls, encoder: str, recipe: Recipe) -> None:
        """Raises InputError where the encoder of that name cannot be trained so. Nothing is built."""

    @classmethod
    def reason_not_captured(cls, recipe: Recipe) -> str:
        """Why a step with this recipe cannot be captured in a CUDA graph; empty if it can be.

        It can be where `loss` uses the step's number for nothing but `Batches.take` and
        `Setting.inputs`, and waits for nothing on the device.
        """
        return "the objective does not say that its steps can be captured"

    @classmethod
    @abstractmethod
    def build(cls, encoder: Encoder, recipe: Recipe, *, classes: int) -> nn.Module:
        """The model to train around an encoder, with a head for that many classes.

        The model holds the encoder as `encoder`, so that later stages find its weights.
        """

    @classmethod
    @abstractmethod
    def example_loss(cls, model: nn.Module, recipe: Recipe, images: Tensor) -> Tensor:
        """A training loss of (B, 3, S, S) images with made-up targets, which costs as much
        arithmetic as a real one.
        """

    @abstractmethod
    def __init__(self, setting: Setting) -> None:
        """Builds the model by `setting.build_model` and reads what the loss needs."""

    model: nn.Module
    """What is trained."""

    @property
    def loss_name(self) -> str:
        """Name of the training loss in metrics.jsonl."""
        return self.loss_score.name

    @abstractmethod
    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        """Mean training loss over a part of the batch at `step`, a float32 scalar with gradients.

        All randomness is drawn for the whole batch, so the parts, weighted by their images, add up
        to the whole.
        """

    def evaluate(self) -> dict[str, float]:
        """Held-out scores along the way; by default none."""
        return {}

    def finish(self, folder: Path) -> dict[str, float | int]:
        """Final metrics; writes example pictures into the stage's folder. By default neither."""
        return {}


OBJECTIVES: Registry[type[Objective]] = Registry(
    "objective",
    group="scaling_laws.objectives",
    modules=modules_in("trials.objectives"),
)
"""Every objective by name."""

Registered = TypeVar("Registered", bound=type[Objective])


def register(objective: Registered) -> Registered:
    """Class decorator: add an objective to `OBJECTIVES` under its `name`."""
    OBJECTIVES.register(objective.name, objective)
    return objective


def objectives_for(kind: str) -> tuple[str, ...]:
    """Names of the objectives that a kind of stage can have."""
    return tuple(name for name, one in OBJECTIVES.items() if kind in one.kinds)


def scores_of(kind: str, name: str) -> tuple[Measure, ...]:
    """Every number in the result of a stage, the training loss first. A trunk has that alone."""
    objective = OBJECTIVES.find(name)
    return (objective.loss_score, *(objective.scores(cast(Kind, kind)) if kind != "trunk" else ()))


def live_scores() -> dict[str, Measure]:
    """The scores that the display and the metrics of a launch show, by name."""
    found = {one.name: one for objective in OBJECTIVES.values() for kind in objective.kinds for one in objective.scores(kind) if one.live}
    return dict(sorted(found.items(), key=lambda item: item[1].role != "loss"))


def loss_names() -> tuple[str, ...]:
    """Names of all training losses."""
    return tuple(dict.fromkeys(one.loss_score.name for one in OBJECTIVES.values()))


def check_data(
    objective: type[Objective], source: str, *, has_masks: bool, classes: int, has_boxes: bool = False, has_instance_masks: bool = False
) -> None:
    """Raises InputError where a source does not carry what the objective needs."""
    if "boxes" in objective.needs and not has_boxes:
        raise InputError(lacking(source, "boxes", objective.purpose))
    if "instance-masks" in objective.needs and not has_instance_masks:
        raise InputError(lacking(source, "instance-masks", objective.purpose))
    if "masks" in objective.needs and not has_masks:
        raise InputError(no_masks(source, objective.purpose))
    if "classes" in objective.needs and classes < 2:
        raise InputError(f"{source} has {classes} class: {objective.purpose} needs two or more.")


def build_fresh(spec: StageSpec) -> nn.Module:
    """The model of a stage with fresh weights and without its images, for counting costs and
    measuring speed; initialised from torch's current random state, on its current default device.
    """
    objective = OBJECTIVES.find(spec.objective)
    return objective.build(build_encoder(spec.encoder, positions=spec.recipe.positions), spec.recipe, classes=objective.example_classes)


def example_loss(model: nn.Module, spec: StageSpec, images: Tensor) -> Tensor:
    """`Objective.example_loss` of a stage's model."""
    return OBJECTIVES.find(spec.objective).example_loss(model, spec.recipe, images)


def loss_of_zeros(outputs: Tensor) -> Tensor:
    """Cross-entropy of (B, classes, ...) logits with class 0 everywhere."""
    return F.cross_entropy(outputs, torch.zeros_like(outputs[:, 0], dtype=torch.long))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What an objective is built from."""

    spec: StageSpec
    compute: Compute
    train: Pictures
    heldout: Pictures
    parent_weights: dict[str, Tensor] | None
    inputs: StepInputs = field(init=False)
    """Where a loss takes what depends on the step from: random draws and positions."""
    repeated: RepeatedCalls = field(init=False)
    """What is measured again and again, always on the same images, goes through it."""

    depth: list[StochasticDepth] = field(init=False, default_factory=list)
    """What draws which residual branches images drop; empty where the recipe drops none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", StepInputs(seed=self.spec.seed, device=self.compute.device))
        object.__setattr__(self, "repeated", RepeatedCalls(self.compute.device))

    def build_model(self, wrap: Callable[[Encoder], Model]) -> tuple[Encoder, Model]:
        """An encoder with the parent's weights, or fresh, and the model that `wrap` makes of it, on
        the device.

        The encoder and the head draw from generators of their own, so a head's initialisation is
        the same with and without a parent, and global random state is left as it was.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.spec.seed, "init-encoder"))
            encoder = build_encoder(self.spec.encoder, positions=self.spec.recipe.positions)
            if self.parent_weights is not None:
                prefix = "encoder."
                own = {k.removeprefix(prefix): v for k, v in self.parent_weights.items() if k.startswith(prefix)}
                encoder.load_state_dict(adapt_weights(encoder, own))
            # a trunk is the beginning of a pre-training, and so must start as one
            kind = "pretrain" if self.spec.kind == "trunk" else self.spec.kind
            torch.manual_seed(derive_seed(self.spec.seed, f"init-{kind}"))
            model = wrap(encoder)
        rate = self.spec.recipe.stochastic_depth
        if rate > 0:
            check_depth(self.spec.encoder, rate)
            self.depth.append(StochasticDepth(encoder.branches(), rate))
        return encoder, model.to(self.compute.device)


class Batches:
    """Training batches of a stage: the order of images, each cropped and flipped afresh, or as drawn
    once where the recipe freezes transforms; a pure function of the step.
    """

    def __init__(self, setting: Setting, *, of_classes: bool = False) -> None:
        """
        Args:
            setting: the stage.
            of_classes: whether targets are one class an image: see `Distortions`.
        """
        self._recipe = setting.spec.recipe
        self._distortions = Distortions(self._recipe, setting.inputs, of_classes=of_classes)
        self._depth = setting.depth
        self._seed, self._step_inputs = setting.spec.seed, setting.inputs
        supervised = self._recipe if isinstance(self._recipe, SupervisedRecipe) else None
        short = supervised is not None and supervised.short_last_batch
        self._order = EpochOrder(images=len(setting.train), batch_images=self._recipe.batch_images, seed=self._seed, short_last_batch=short)
        self._inputs = InputForm(self._recipe)
        self._contrasts = supervised is not None and supervised.contrast > 0
        self.pictures = setting.train
        self._largest = largest_crop(setting.train.sizes, self._recipe)
        self._frozen: tuple[Tensor, Tensor] | None = None
        if supervised is not None and supervised.transforms == "frozen":
            self._frozen = draw_transforms(setting.train.sizes, self._recipe, partial(generator, self._seed), "frozen")

    def positions(self, step: int) -> Tensor:
        """(batch_images,) positions within the training subset, on the CPU or, where inputs are
        held, on the device.
        """
        return self._step_inputs.tensor("positions", self._order.batches, step)

    def rows(self, part: Part = WHOLE) -> slice:
        """The rows of a batch that a part holds: those of `torch.tensor_split`."""
        index, count = part
        size, larger = divmod(self._recipe.batch_images, count)
        start = index * size + min(index, larger)
        return slice(start, start + size + (index < larger))

    def take(self, step: int, part: Part = WHOLE) -> tuple[Tensor, Crops, Tensor]:
        """(B, 3, S, S) inputs, the crops that they are of, and the (B,) positions of a part of the
        batch at `step`.
        """
        rows = self.rows(part)
        taken = self._take(step, rows)
        if self._depth:
            shown = slice(rows.start, rows.start + len(taken[0]))
            self._depth[0].draw(self._recipe.batch_images, shown, self._step_inputs.generator("stochastic-depth", step))
        return taken

    def take_partners(self, step: int, part: Part = WHOLE) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) crops and (B,) positions of what the images of a part are blended with: the
        image before each in the whole batch.

        The order of a batch is random, so the image before is a random other one, as in
        torchvision's MixUp.
        """
        total, rows = self._recipe.batch_images, self.rows(part)
        images, _, positions = self._take(step, (torch.arange(rows.start, rows.stop) - 1) % total)
        return images, positions

    def _take(self, step: int, rows: slice | Tensor) -> tuple[Tensor, Crops, Tensor]:
        crops = Crops(self._step_inputs.tensor("crops", self._draw_crops, step), self._largest)[rows]
        contrast = self._step_inputs.tensor("contrast", self._draw_contrast, step)[rows] if self._contrasts else None
        positions = self.positions(step)[rows]
        images = self.pictures.images(positions, crops, nearest=takes_nearest(self._recipe))
        if self.pictures.slow:
            self.pictures.prefetch(self._order.batch(step + 1)[rows])
        pixels = self._distortions.pixels(images, step, rows)
        return self._distortions.erased(self._inputs(pixels, contrast), step, rows), crops, positions

    def _draw_crops(self, steps: range) -> Tensor:
        """(steps, B, 5) crops of whole batches, on the CPU: images have sizes of their own, and the
        draws are then the same on every device.
        """
        return self._draw(steps)[0]

    def _draw_contrast(self, steps: range) -> Tensor:
        return self._draw(steps)[1]

    def _draw(self, steps: range) -> tuple[Tensor, Tensor]:
        positions = self._order.batches(steps)
        if self._frozen is not None:
            return self._frozen[0][positions], self._frozen[1][positions]
        sizes = self.pictures.sizes[positions.flatten()]
        crops, contrast = draw_transforms(sizes, self._recipe, partial(generator, self._seed), "augment", steps)
        return crops.view(*positions.shape, -1), contrast.view(positions.shape)


def require_data(objective: type[Objective], setting: Setting) -> None:
    """Raises InputError for a source that does not carry what the objective needs."""
    source = setting.spec.data.source
    try:
        check_data(
            objective,
            source,
            has_masks=get_source(source).has_masks and setting.train.has_masks,
            classes=len(setting.train.classes),
            has_boxes=bool(setting.train.instance_classes),
            has_instance_masks=setting.train.has_instance_masks,
        )
    except InputError as error:
        raise InputError(f"{setting.spec.kind}: {error}") from None


def batched_positions(total: int) -> list[Tensor]:
    """The positions 0 to total - 1, in evaluation batches."""
    return list(torch.arange(total).split(EVAL_BATCH))
