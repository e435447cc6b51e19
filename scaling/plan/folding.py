"""Stages that differ in their seed alone, as one row of a plan."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from scaling.plan.plan import Plan


def folded_by_seed(plan: Plan, state_of: Callable[[str], Hashable]) -> list[list[str]]:
    """The stages of a plan in groups, each of one setting and one state over seeds, in the plan's
    order.

    Args:
        state_of: what else must be equal within a group, by the stage's id.
    """
    settings: dict[str, Hashable] = {}
    groups: dict[Hashable, list[str]] = {}
    for name, stage in plan.stages.items():
        spec = stage.spec
        data = (spec.data.source, spec.data.train_images, spec.data.sampling, spec.data.heldout_images, spec.data.image_px)
        needs = tuple(settings[need] for need in spec.needs)
        settings[name] = (spec.kind, spec.objective, spec.encoder, data, repr(spec.recipe), spec.steps, spec.eval_points, needs)
        groups.setdefault((settings[name], state_of(name)), []).append(name)
    return list(groups.values())


def seeds_of(plan: Plan, names: list[str]) -> str:
    """The seeds in words: 'seed 0', 'seeds 0 to 4' or 'seeds 0, 2'."""
    seeds = sorted({plan.stages[name].spec.seed for name in names})
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    whole = seeds == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 2
    return f"seeds {seeds[0]} to {seeds[-1]}" if whole else f"seeds {', '.join(map(str, seeds))}"
