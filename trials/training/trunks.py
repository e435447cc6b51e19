"""Trunks and branches: pre-trainings of several lengths share their first steps.

A branch has the numbers of a training that made those steps itself, bit for bit on a CPU, so its id
is that of the unshared stage.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from trials.errors import InputError, StageError
from trials.recipes.fields import TRUNK_VALUES
from trials.recipes.named import RECIPE_VERSION
from trials.recipes.schedules import TRUNK_SCHEDULES, trunk_steps
from trials.spec import FORMAT, StageSpec
from trials.stage_files import read_json, read_result, train_anew
from trials.training.checkpoints import TrainingState, load_trunk_state, trunk_fault


def check_trunk_schedule(spec: StageSpec) -> None:
    """Raises: InputError: a trunk whose rate depends on the length of what branches off it."""
    if spec.kind == "trunk" and spec.recipe.schedule not in TRUNK_SCHEDULES:
        raise InputError(
            f"A trunk needs schedule {' or '.join(TRUNK_SCHEDULES)}, not {spec.recipe.schedule}: lengths with that schedule share nothing."
        )


def state_to_begin_with(spec: StageSpec, folder: Path, own: TrainingState | None) -> tuple[TrainingState | None, Path | None]:
    """The state that a stage starts from, and its trunk's folder if it is the trunk's state: the
    furthest one.

    Args:
        own: the stage's own newest checkpoint.

    Raises:
        StageError: there is neither checkpoint nor trunk state. InputError: the trunk is not one of
            this stage.
    """
    if spec.trunk is None:
        return own, None
    trunk = folder.parent / spec.trunk
    fault = trunk_fault(trunk)
    if fault is not None:
        if own is None:
            raise StageError(fault)
        return own, None
    steps = (read_result(trunk) or {}).get("steps")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise StageError(f"The result of the trunk {trunk.name} names no steps: {train_anew(trunk)}.")
    if own is not None and own.step >= steps:
        return own, None
    _check_trunk(spec, trunk, steps)
    return load_trunk_state(trunk), trunk


def _check_trunk(spec: StageSpec, trunk: Path, steps: int) -> None:
    shared = spec.steps if spec.kind == "trunk" else trunk_steps(spec.recipe, spec.steps)
    if steps > shared:
        raise InputError(
            f"{trunk.name} ends at step {steps}, but {spec.steps} steps share only their first {shared} with longer ones: plan the grid again."
        )
    values = read_json(trunk / "spec.json")
    try:
        versions = (values["format"], values["recipe_version"])
        same = versions == (FORMAT, RECIPE_VERSION) and _decisive(StageSpec.from_dict(values)) == _decisive(spec)
    except (KeyError, TypeError, ValueError):
        same = False
    if not same:
        raise InputError(f"{trunk.name} does not train as this stage does: its spec.json differs in more than length and decay; plan the grid again.")


def _decisive(spec: StageSpec) -> dict[str, object]:
    """The part of a spec that decides the numbers of the first steps."""
    recipe = {key: value for key, value in dataclasses.asdict(spec.recipe).items() if key not in TRUNK_VALUES}
    fields = {key: value for key, value in dataclasses.asdict(spec).items() if key not in ("kind", "steps", "eval_points", "trunk")}
    return fields | {"recipe": recipe}
