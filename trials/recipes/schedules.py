"""Learning-rate schedules: pure functions of the step, as a factor of the base rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trials.recipes.fields import Recipe
from trials.recipes.lengths import parse_length
from trials.spec import StageSpec

TRUNK_SCHEDULES = ("step", "wsd")
"""Schedules whose rate, until the last phase, does not depend on how long the training is."""


def multi_step(step: int, *, steps: int, milestones: Sequence[float], gamma: float) -> float:
    """`gamma` to the power of the milestones passed; milestones are fractions of the whole length,
    so they scale with it.
    """
    passed = sum(step >= math.ceil(round(milestone * steps, 9)) for milestone in milestones)
    return gamma**passed


def cosine(step: int, *, steps: int, warmup: float, final: float = 0.0, start: float = 0.0, warmup_inside: bool = False) -> float:
    """Linear warm-up over the first `warmup` share of the steps, then half a cosine from 1 down to
    `final`.

    Args:
        warmup_inside: whether the half cosine spans all steps, and the warm-up takes the place of its
            beginning: after a warm-up of 20% the rate is .905 (microsoft/SimMIM, lr_scheduler.py,
            which gives timm's CosineLRScheduler no `warmup_prefix`). Else it begins after the warm-up
            (microsoft/Swin-Transformer, which does).
    """
    warmup_steps = math.ceil(round(warmup * steps, 9))
    if step < warmup_steps:
        return rise(step, warmup_steps=warmup_steps, start=start)
    before = 0 if warmup_inside else warmup_steps
    done = (step - before) / max(1, steps - before)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def linear(step: int, *, steps: int, warmup: float, final: float = 0.0, start: float = 0.0) -> float:
    """Linear warm-up over the first `warmup` share of the steps, then a straight line from 1 down
    to `final`, which would be reached at `steps`.
    """
    warmup_steps = math.ceil(round(warmup * steps, 9))
    if step < warmup_steps:
        return rise(step, warmup_steps=warmup_steps, start=start)
    return final + (1 - final) * (steps - step) / max(1, steps - warmup_steps)


def rise(step: int, *, warmup_steps: int, start: float = 0.0) -> float:
    """Linear warm-up over that many steps, then 1.

    It begins at `start`, as timm's schedulers do; where that is 0, with the first of equal steps,
    since an update at a rate of 0 would do nothing.
    """
    if step >= warmup_steps:
        return 1.0
    return start + (1 - start) * step / warmup_steps if start > 0 else (step + 1) / (warmup_steps + 1)


def decay_start(steps: int, decay: float) -> int:
    """The first step of the last phase, which is the share `decay` of the steps, rounded up."""
    return steps - math.ceil(round(decay * steps, 9))


def drop(step: int, *, steps: int, decay: float, gamma: float) -> float:
    """1, then `gamma` in the last share `decay` of the steps (Xie et al. 2022, arXiv 2206.04664:
    1/8 and 0.1).
    """
    return gamma if step >= decay_start(steps, decay) else 1.0


def cooldown(step: int, *, steps: int, decay: float) -> float:
    """1, then linearly down to 0, which would be reached at `steps`, over the last share `decay` of
    the steps.

    Warm-up, stable, decay: the name is of Hu et al. 2024 (MiniCPM, arXiv 2404.06395), whose decay
    is exponential; the linear one is of Zhai et al. 2022 (Scaling Vision Transformers, arXiv
    2106.04560), who also branch several lengths off one constant-rate training.
    """
    start = decay_start(steps, decay)
    return (steps - step) / (steps - start) if step >= start else 1.0


def tail_start(steps: int) -> int:
    """The first step of the last tenth, over which the training loss of a result is averaged."""
    return steps - math.ceil(steps / 10)


def trunk_steps(recipe: Recipe, steps: int) -> int:
    """How many first steps of a training are those of every longer one too; 0 where the schedule
    has no trunk.

    Neither the rate decays nor the last tenth begins before: for 125k, 250k and 500k steps of
    `decay` 1/8, the branch points 109,375, 218,750 and 437,500 of Xie et al. (arXiv 2206.04664).
    """
    if recipe.schedule not in TRUNK_SCHEDULES:
        return 0
    return min(decay_start(steps, recipe.decay), tail_start(steps))


def learning_rate(spec: StageSpec, step: int) -> float:
    """The rate of the update at `step` (0-based) of a stage. A trunk ends before any decay, so what
    its recipe says of that is not read.
    """
    recipe = spec.recipe
    return recipe.learning_rate * _factor(spec, recipe, step)


def _factor(spec: StageSpec, recipe: Recipe, step: int) -> float:
    start, final = recipe.warmup_rate / recipe.learning_rate, recipe.final_rate / recipe.learning_rate
    if recipe.schedule == "cosine":
        return cosine(step, steps=spec.steps, warmup=recipe.warmup, start=start, final=final, warmup_inside=recipe.warmup_in_cosine)
    if recipe.schedule == "linear":
        return linear(step, steps=spec.steps, warmup=recipe.warmup, start=start, final=final)
    warmup_steps = 0
    if recipe.warmup_length:
        warmup_steps = parse_length(recipe.warmup_length).steps(subset_images=spec.data.train_images, batch_images=recipe.batch_images)
    risen = rise(step, warmup_steps=warmup_steps, start=start)
    if recipe.schedule == "multi-step":
        return risen * multi_step(step, steps=spec.steps, milestones=recipe.milestones, gamma=recipe.gamma)
    if spec.kind == "trunk":
        return risen
    if recipe.schedule == "step":
        return risen * drop(step, steps=spec.steps, decay=recipe.decay, gamma=recipe.gamma)
    return risen * cooldown(step, steps=spec.steps, decay=recipe.decay)
