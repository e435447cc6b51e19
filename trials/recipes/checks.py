"""Whether a recipe's values can be: each wrong one is answered with a sentence."""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache
from typing import Any, get_args, get_type_hints

from trials.errors import InputError, nearest
from trials.recipes.fields import RECIPE_CLASS, Recipe
from trials.recipes.lengths import parse_length

BATCH_IMAGES_MAX = 100_000
_POSITIVE = ("learning_rate", "batch_images", "crop_scale_min", "mask_ratio", "layer_decay")
_SHARES = ("warmup", "flip", "mask_ratio", "label_smoothing", "crop_scale_min", "beta_1", "beta_2", "decay", "layer_decay")
_WHOLE = {"batch_images": BATCH_IMAGES_MAX, "mask_unit_px": 9_999}


def recipe_fields(kind: str) -> list[str]:
    """Names that a grid may override in the recipe of that kind of stage."""
    return [field.name for field in dataclasses.fields(RECIPE_CLASS[kind])]


@lru_cache(maxsize=8)
def _types(kind: str) -> dict[str, Any]:
    return get_type_hints(RECIPE_CLASS[kind])


def recipe_from_dict(kind: str, values: dict[str, Any]) -> Recipe:
    """A checked recipe from its fields, as a spec.json holds them.

    Raises:
        InputError: a field that there is not, or a value that cannot be.
    """
    known = recipe_fields(kind)
    for key in values:
        if key not in known:
            raise InputError(f"{kind}: there is no recipe field {key!r}; {nearest(str(key), known)}")
    checked: dict[str, Any] = {}
    for key, value in values.items():
        of = _types(kind)[key]
        _check(kind, key, value, of)
        # 1 and 1.0 are one setting, so they must make one stage
        checked[key] = float(value) if of is float else value
    if "milestones" in checked:
        checked["milestones"] = tuple(float(milestone) for milestone in checked["milestones"])
    return RECIPE_CLASS[kind](**checked)


def _check(kind: str, key: str, value: object, of: Any) -> None:
    choices = get_args(of) if key != "milestones" else ()
    if choices:
        if value not in choices:
            raise InputError(f"{kind}: {key} must be one of {', '.join(choices)}, not {value!r}.")
        return
    if key == "milestones":
        if not isinstance(value, list | tuple) or not all(isinstance(v, int | float) and 0 <= v <= 1 for v in value):
            raise InputError(f"{kind}: milestones must be a list of fractions of the length, such as [0.5, 0.85], not {value!r}.")
        return
    if key == "warmup_length":
        if value != "":
            _check_length(kind, value)
        return
    if of is bool:
        if not isinstance(value, bool):
            raise InputError(f"{kind}: {key} must be true or false, not {value!r}.")
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0 or value == math.inf:
        hint = " (YAML reads 1e-3 as text: write 1.0e-3 or 0.001)" if isinstance(value, str) else ""
        raise InputError(f"{kind}: {key} must be a number of at least 0, not {value!r}{hint}.")
    if key in _POSITIVE and value <= 0:
        raise InputError(f"{kind}: {key} must be above 0.")
    if key in _WHOLE and (not isinstance(value, int) or value > _WHOLE[key]):
        raise InputError(f"{kind}: {key} must be a whole number of at most {_WHOLE[key]:,}, not {value!r}.")
    if key in ("beta_1", "beta_2") and value >= 1:
        raise InputError(f"{kind}: {key} must be below 1, not {value!r}.")
    if key in _SHARES and value > 1:
        raise InputError(f"{kind}: {key} is a share and must lie between 0 and 1, not {value!r}.")
    if key == "crop_ratio_max" and value < 1:
        raise InputError(f"{kind}: crop_ratio_max is the larger of a ratio and its inverse, so at least 1, not {value!r}.")


def _check_length(kind: str, value: object) -> None:
    try:
        parse_length(value)
    except InputError as error:
        raise InputError(f"{kind}: warmup_length: {error}") from None
