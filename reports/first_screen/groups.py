"""The groups that the scaling plot draws a line of: which axis they are levels of, which have a law,
their colours, and the runs from scratch beside them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analysis import MainEffects
from analysis.factorial.axes import PRETRAINING, Axis
from analysis.factorial.kinds import OBJECTIVE
from reports.theme import PALETTE, RAMP, SCRATCH, ramp

RECIPE: Final = "pretrain_recipe"
MOST_LAWS: Final = 4
"""Beside that from scratch: bands of more lie on each other."""
MOST_KINDS: Final = 8
"""Groups that have a law where groups have no order, such as architectures."""
SCRATCH_NAME: Final = "from scratch"


def is_scratch(name: str) -> bool:
    """Whether a group holds runs without pre-training, of all models or of one."""
    return name.endswith(SCRATCH_NAME)


def scratch_of(name: str) -> str:
    """The group of the runs from scratch of one model."""
    return f"{name} {SCRATCH_NAME}"


def scratch_by_model(group: Axis | None) -> bool:
    """Whether each model has a line from scratch of its own: a line over all of them beside a line a
    model would show their difference as a gain from pre-training.
    """
    return group is not None and group.column == "encoder" and (group.ordered or len(group.levels) <= MOST_LAWS)


def group_of(others: list[Axis], effects: MainEffects | None) -> Axis | None:
    """The axis that matters most; where that is pre-training as such, the size or length of it that
    is found to matter, beside which scratch stands as a line of its own.
    """
    if not others:
        return None
    first = others[0]
    if first.column != PRETRAINING:
        return first
    if effects is not None and effects.of_kinds(PRETRAINING):  # a line for each objective, or recipe where each has its own
        return next((axis for column in (OBJECTIVE, RECIPE) for axis in others if axis.column == column), first)
    found = set(effects.found()["axis"]) if effects is not None else set()
    return next((axis for axis in others if axis.column in found and axis.column.startswith("pretrain_") and axis.ordered), first)


def with_law(drawn: list[str], group: Axis | None) -> list[str]:
    """The groups that have a law: all, or of many some, evenly spread, the ends among them; a model's
    runs from scratch with the model.
    """
    others = list(dict.fromkeys(name.removesuffix(f" {SCRATCH_NAME}") for name in drawn if name != SCRATCH_NAME))
    most = MOST_LAWS if group is None or group.ordered else MOST_KINDS
    if len(others) > most:
        others = [others[round(place)] for place in np.linspace(0, len(others) - 1, most)]
    return [name for name in drawn if name == SCRATCH_NAME or name.removesuffix(f" {SCRATCH_NAME}") in others]


def colours_of(names: list[str], shades: int, *, ordered: bool, scratch: str) -> tuple[dict[str, str], dict[tuple[str, int], str]]:
    """A colour for each line, and for each shade within it: one hue from light to dark where the
    groups have an order. `scratch` is 'none', 'one' for a grey line of all runs from scratch, or
    'each' for a line of every group, in its colour.
    """
    colours: dict[str, str] = {}
    by_place: dict[tuple[str, int], str] = {}
    steps = ramp(len(names))
    for number, name in enumerate(names):
        colours[str(name)] = steps[number] if ordered else PALETTE[number % len(PALETTE)]
        if ordered and shades > 1 and len(names) <= 2:
            own = RAMP if len(names) == 1 else RAMP[3 * number : 3 * number + 3]
            for place in range(shades):
                by_place[str(name), place] = own[round(place * (len(own) - 1) / (shades - 1))]
            colours[str(name)] = own[-2]
    if scratch == "each":
        colours |= {scratch_of(name): colours[name] for name in names}
    elif scratch == "one":
        colours[SCRATCH_NAME] = SCRATCH
    return colours, by_place
