"""Named arms: variants of one grid, such as a fixed-epoch and a fixed-step arm."""

from __future__ import annotations

import re
from typing import Any

from scaling.grid.yaml_lines import Located
from trials.errors import InputError, nearest

REPLACEABLE = ("encoder", "pretrain", "intermediate", "finetune", "zip", "exclude")


def split_arms(located: Located) -> list[tuple[str | None, Located]]:
    """Return the grid of every arm, or [(None, grid)] if there are no arms.

    Mappings are merged key by key, anything else is replaced.

    Raises:
        InputError: an arm that is no mapping, has a bad name, or replaces what all arms must share.
    """
    arms = located.values.get("arms")
    shared = {key: value for key, value in located.values.items() if key != "arms"}
    if arms is None:
        return [(None, located)]
    if not isinstance(arms, dict) or not arms:
        raise InputError(f"{located.where('arms')}: arms must hold 'name: {{settings}}', such as 'short: {{pretrain: {{length: 70k steps}}}}'.")
    found: list[tuple[str | None, Located]] = []
    for name, settings in arms.items():
        where = located.where(f"arms.{name}")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", str(name)):
            raise InputError(f"{where}: an arm's name takes up to 100 letters, digits, '.', '_' and '-', not {str(name)[:60]!r}.")
        if not isinstance(settings, dict):
            raise InputError(f"{where}: the arm {name!r} must hold 'key: value' lines, not {str(settings)[:80]}.")
        for key in settings:
            if key not in REPLACEABLE:
                hint = "it is the same for all arms" if key in ("study", "seeds", "resources") else nearest(str(key), REPLACEABLE)
                raise InputError(f"{located.where(f'arms.{name}.{key}')}: an arm cannot set {key!r}; {hint}.".replace("..", "."))
        prefix = f"arms.{name}."
        lines = {key: line for key, line in located.lines.items() if not key.startswith("arms.")}
        lines |= {key.removeprefix(prefix): line for key, line in located.lines.items() if key.startswith(prefix)}
        found.append((str(name), Located(path=located.path, values=_merged(shared, settings), lines=lines)))
    return found


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
