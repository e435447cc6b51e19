"""Checks that a recipe's values are valid; each wrong one is refused in one sentence."""

from __future__ import annotations

import dataclasses
import math
import re
from functools import lru_cache
from typing import Any, get_args, get_type_hints

from trials.errors import InputError, nearest
from trials.recipes.declarations import About, about_field
from trials.recipes.fields import RECIPE_CLASS, Recipe
from trials.recipes.lengths import LENGTH_PATTERN, parse_length

PLUGIN_NAME = "[a-z][a-z0-9_-]{0,49}"
"""What a plug-in may call what it adds to the choices of a field."""


@lru_cache(maxsize=8)
def recipe_fields(kind: str) -> dict[str, tuple[Any, About]]:
    """The fields that a grid may override for a kind of stage: type and declaration by name."""
    types = get_type_hints(RECIPE_CLASS[kind])
    return {field.name: (types[field.name], about_field(field)) for field in dataclasses.fields(RECIPE_CLASS[kind])}


def choices_of(of: Any) -> tuple[str, ...]:
    """The choices of a field that has some, by its type."""
    return () if of == tuple[float, ...] else get_args(of)


def recipe_from_dict(kind: str, values: dict[str, Any]) -> Recipe:
    """A checked recipe from its fields, as a spec.json holds them.

    Raises:
        InputError: an unknown field, or a value that is not allowed.
    """
    known = recipe_fields(kind)
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{kind}: there is no recipe field {key!r}; {nearest(str(key), known)}")
        of, about = known[key]
        fault = _fault(value, of, about)
        if fault:
            raise InputError(f"{kind}: {key}{fault}")
        # 1 and 1.0 are one setting, so they must make one stage
        checked[key] = float(value) if of is float else tuple(map(float, value)) if of == tuple[float, ...] else value
    return RECIPE_CLASS[kind](**checked)


def field_schema(of: Any, about: About) -> dict[str, Any]:
    """The JSON Schema of one field."""
    found: dict[str, Any]
    if choices_of(of):
        found = {"enum": list(choices_of(of))}
        if about.plugins:
            found = {"anyOf": [found, {"type": "string", "pattern": f"^{PLUGIN_NAME}$"}]}
    elif of is bool:
        found = {"type": "boolean"}
    elif of is str:
        found = {"type": "string", "pattern": f"^$|{LENGTH_PATTERN}"}
    else:
        found = {"type": "integer" if of is int else "number"}
        found["exclusiveMinimum" if about.lowest in about.excluded else "minimum"] = about.lowest
        if about.highest is not None:
            found["exclusiveMaximum" if about.highest in about.excluded else "maximum"] = about.highest
        if of == tuple[float, ...]:
            found = {"type": "array", "items": found}
    return found | {"description": about.description}


def _fault(value: object, of: Any, about: About) -> str:
    """What is wrong with a value, to follow the field's name; empty if nothing is."""
    choices = choices_of(of)
    if choices:
        if about.plugins and isinstance(value, str) and re.fullmatch(PLUGIN_NAME, value):
            return ""
        return "" if value in choices else f" must be one of {', '.join(choices)}, not {value!r}."
    if of == tuple[float, ...]:
        fractions = isinstance(value, list | tuple) and all(isinstance(v, int | float) and 0 <= v <= 1 for v in value)
        return "" if fractions else f" must be a list of fractions of the length, such as [0.5, 0.85], not {value!r}."
    if of is str:
        return _length_fault(value)
    if of is bool:
        return "" if isinstance(value, bool) else f" must be true or false, not {value!r}."
    return _number_fault(value, of, about)


def _number_fault(value: object, of: Any, about: About) -> str:
    lowest, highest = about.lowest, about.highest
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= lowest or value == math.inf:
        hint = " (YAML reads 1e-3 as text: write 1.0e-3 or 0.001)" if isinstance(value, str) else ""
        return f" must be a number of at least {lowest:g}, not {value!r}{hint}."
    if value == lowest and lowest in about.excluded:
        return f" must be above {lowest:g}."
    if of is int and (not isinstance(value, int) or (highest is not None and value > highest)):
        return f" must be a whole number of at most {highest:,.0f}, not {value!r}." if highest else f" must be a whole number, not {value!r}."
    if highest is None or value < highest or (value == highest and highest not in about.excluded):
        return ""
    if about.unit == "share" and highest not in about.excluded:
        return f" is a share and must lie between 0 and 1, not {value!r}."
    return f" must be {'below' if highest in about.excluded else 'at most'} {highest:g}, not {value!r}."


def _length_fault(value: object) -> str:
    try:
        if value != "":
            parse_length(value)
    except InputError as error:
        return f": {error}"
    return ""
