"""Print the page of recipes: every named recipe and every field with its meaning.

python -m trials.recipes > docs/recipes.md
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from trials.recipes.checks import choices_of, recipe_fields
from trials.recipes.declarations import About
from trials.recipes.fields import RECIPE_CLASS, Recipe
from trials.recipes.named import RECIPES

_HEAD = """\
# Recipes

A recipe says how one kind of stage is trained. A grid names one, or one with single fields replaced:
`recipe: {name: compact, learning_rate: 0.003}`. The sources of the named recipes are beside their
numbers in [trials/recipes/named.py](../trials/recipes/named.py). This page is printed by
`python -m trials.recipes`.
"""


def recipes_page() -> str:
    """The page, Markdown."""
    parts = [_HEAD, "## Fields\n", "| field | of | allowed | default | meaning |\n|---|---|---|---|---|"]
    kinds: dict[str, list[str]] = {}
    for kind in RECIPES:
        for name in recipe_fields(kind):
            kinds.setdefault(name, []).append(kind)
    for name, of_kinds in kinds.items():
        of, about = recipe_fields(of_kinds[0])[name]
        default = next(field.default for field in dataclasses.fields(RECIPE_CLASS[of_kinds[0]]) if field.name == name)
        stages = "all stages" if len(of_kinds) == len(RECIPES) else ", ".join(of_kinds)
        parts.append(f"| `{name}` | {stages} | {_allowed(of, about)} | {_shown(default)} | {about.description} |")
    for kind, named in RECIPES.items():
        parts.append(f"\n## Recipes of {kind}\n")
        parts.append("What differs from the defaults.\n")
        parts += [f"- `{name}`: {_differences(recipe)}" for name, recipe in named.items()]
    return "\n".join(parts) + "\n"


def _differences(recipe: Recipe) -> str:
    values = {field.name: (getattr(recipe, field.name), field.default) for field in dataclasses.fields(recipe)}
    return ", ".join(f"{name} {_shown(value)}" for name, (value, default) in values.items() if value != default)


def _shown(value: Any) -> str:
    if value is dataclasses.MISSING:
        return "none: the recipe says it"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value) or "empty"


def _allowed(of: Any, about: About) -> str:
    if choices_of(of):
        return ", ".join(choices_of(of))
    if of is bool:
        return "true, false"
    if of is str:
        return "a length or empty"
    ends = [f"{'above' if about.lowest in about.excluded else 'at least'} {about.lowest:g}"]
    if about.highest is not None:
        ends.append(f"{'below' if about.highest in about.excluded else 'at most'} {_bound(about.highest)}")
    unit = f" {about.unit}" if about.unit in ("px", "images") else ""
    what = {int: "whole number ", float: ""}.get(of, "list of numbers ")
    return what + ", ".join(ends) + unit


def _bound(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


if __name__ == "__main__":
    sys.stdout.write(recipes_page())
