"""The grid: a study's axes and fixed settings, read from YAML into checked, frozen objects.

Every value that may be an axis takes one value or a list; the study is the product of all lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from scaling.grid.axes import Axes
from trials.recipes.lengths import Length

KINDS = ("pretrain", "intermediate", "finetune")
NO_STAGE = "none"
"""Stands for 'no intermediate stage' where an objective is expected."""
ORDERS = ("deepest", "longest", "cheapest")
KEEPS = ("everything", "weights", "results")
COMPILE = ("auto", "off", "default", "reduce-overhead")
CAPTURE = ("auto", "off", "on")


@dataclass(frozen=True, kw_only=True)
class RecipeChoice:
    """A named recipe with the fields that a grid overrides."""

    label: str
    """Its name on the axis and in the runs table."""
    name: str
    """A recipe of `trials.recipes.named`."""
    overrides: dict[str, Any]
    """Overridden fields and their values."""


@dataclass(frozen=True, kw_only=True)
class StageGrid:
    """The settings of one kind of stage, each axis a tuple."""

    sources: tuple[str, ...]
    images: tuple[int, ...]
    """Training-subset sizes; 0 in pre-training is training from scratch."""
    length: tuple[Length, ...]
    recipes: tuple[RecipeChoice, ...]
    samplings: tuple[str, ...]
    heldout_images: int | None
    """Size of the fixed held-out set; None takes all there are (in pre-training at most 512)."""
    eval_points: int
    image_px: int | None
    """Side of the images where it differs from the encoder's, as in fine-tuning at a higher
    resolution.
    """
    choice: tuple[str, ...]
    """Names in `trials.objectives.objective.OBJECTIVES`; `NO_STAGE` for no intermediate stage."""

    def recipe(self, label: str) -> RecipeChoice:
        """The recipe of that label."""
        return next(one for one in self.recipes if one.label == label)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources that one stage of a kind holds while it runs."""

    cpus: int
    """Cores of each of its processes."""
    gpus: float | None
    """Share of a GPU of each process. None means measured: the share that trains the most images
    per second in all.
    """
    workers: int
    """Processes that a stage is spread over, data parallel."""


@dataclass(frozen=True, kw_only=True)
class ExecutionSettings:
    """How stages are run. Nothing here changes a stage's numbers."""

    order: str
    """'deepest' finishes runs early, 'longest' keeps the machines busy to the end, 'cheapest' gives
    many results soon.
    """
    keep: str
    """'everything' keeps all files, 'weights' deletes trunk states once nothing in the plan needs
    them, 'results' deletes weights as well.
    """
    broken_images: Literal["refuse", "skip"]
    """'refuse' or 'skip' images that cannot be decoded."""
    retries: int
    """How often a launch retries a stage whose process died or whose failure may be temporary."""
    micro_batches: int
    """Parts of a batch that are computed one after another, for a batch that does not fit the GPU."""
    compile: str
    """torch.compile: 'auto', 'off', 'default' or 'reduce-overhead'."""
    capture: str
    """Whole steps in CUDA graphs: 'auto', 'off' or 'on'."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A whole study, as the user described it."""

    study: str
    encoders: tuple[str, ...]
    pretrain: StageGrid
    intermediate: StageGrid | None
    finetune: StageGrid
    axes: Axes
    """The values of every axis, the zipped axes, and the excluded combinations."""
    arms: tuple[tuple[str, Grid], ...] = ()
    """Named arms, each a grid without arms; where there are any, the study is their union and the
    fields above are those of the first.
    """
    seeds: dict[str, int]
    """How many seeds each kind of stage has; run i of a cell uses the first seed + i modulo that."""
    first_seed: int = 0
    """Seed of the first run of every cell; another one repeats a study on fresh seeds."""
    resources: dict[str, Resources]
    execution: ExecutionSettings
    where: dict[str, str] = field(compare=False)
    """File and line of each key, for messages, such as {'finetune.images': 'grid.yaml line 12'}."""
    text: str = field(compare=False)
    """The YAML as launched, with --set applied."""
