"""How a recipe declares a field: its description, bounds and unit, beside its type and default."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class About:
    """The description, unit and bounds of a recipe's field."""

    description: str
    unit: str = ""
    """'share' is a number from 0 to 1, 'length' a text such as '10 epochs' or '500 steps'."""
    lowest: float = 0.0
    highest: float | None = None
    excluded: tuple[float, ...] = ()
    """Bounds that are not allowed themselves."""
    added_to: tuple[str, ...] = ()
    """Kinds of stage that existed before the field did. The default must be what was done then: a
    stage that keeps it has the id that it had without the field.
    """
    plugins: bool = False
    """Whether plug-ins add choices: any plain name is a value then, and whoever uses it says whether
    there is such a thing.
    """


def about(
    description: str,
    *,
    unit: str = "",
    lowest: float = 0.0,
    highest: float | None = None,
    excluded: tuple[float, ...] = (),
    added_to: Any = (),
    plugins: bool = False,
) -> dict[str, About]:
    """The metadata of a dataclass field of a recipe; arguments as in `About`."""
    highest = 1.0 if unit == "share" else highest
    return {"about": About(description=description, unit=unit, lowest=lowest, highest=highest, excluded=excluded, added_to=added_to, plugins=plugins)}


def about_field(one: dataclasses.Field[Any]) -> About:
    """What a recipe's field declares of itself."""
    found = one.metadata["about"]
    assert isinstance(found, About)
    return found
