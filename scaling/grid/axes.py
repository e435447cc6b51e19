"""The axes of a grid and the combinations that are runs: crossed, zipped, and with exclusions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trials.errors import InputError, nearest
from trials.recipes.lengths import Length, parse_length

AXES = (
    "encoder",
    "pretrain.source",
    "pretrain.images",
    "pretrain.length",
    "pretrain.recipe",
    "pretrain.sampling",
    "pretrain.objective",
    "intermediate.objective",
    "intermediate.source",
    "intermediate.images",
    "intermediate.length",
    "intermediate.recipe",
    "finetune.source",
    "finetune.task",
    "finetune.images",
    "finetune.length",
    "finetune.recipe",
)
USUAL_OBJECTIVE = "simmim"
"""What a pre-training learns where the grid does not say."""
Fail = Callable[[str, str], InputError]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The settings of one kind of stage in one cell."""

    objective: str
    """A name in `trials.objectives.objective.OBJECTIVES`; of a fine-tuning it is the task."""
    source: str
    images: int
    length: Length
    recipe: str
    """Its label on the axis."""
    sampling: str


@dataclass(frozen=True, kw_only=True)
class GridCell:
    """One cell of a grid. A stage that the cell does without is None, so cells that differ only in
    that stage's settings are the same.
    """

    encoder: str
    pretrain: Choice | None
    intermediate: Choice | None
    finetune: Choice


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The values of every axis, the axes that advance together, and the excluded combinations."""

    values: Mapping[str, tuple[Any, ...]]
    """The values of every name in AXES, at least one each."""
    sampling: Mapping[str, str]
    """How an intermediate stage and a fine-tuning draw their subsets, by kind."""
    zipped: tuple[tuple[str, ...], ...] = ()
    """Groups of axes of equal length that advance together."""
    excluded: tuple[Mapping[str, tuple[Any, ...]], ...] = ()
    """A combination is excluded if all axes of an entry have one of the entry's values."""

    def combinations(self) -> Iterator[GridCell]:
        """Yield every cell once, in the order of the product; the first axis varies slowest."""
        seen = set()
        units = self._units()
        for places in itertools.product(*(range(len(self.values[unit[0]])) for unit in units)):
            at = {name: place for unit, place in zip(units, places, strict=True) for name in unit}
            chosen = {name: self.values[name][place] for name, place in at.items()}
            if not chosen["pretrain.images"] or chosen["pretrain.objective"] == "none":
                # what has no meaning matches no exclusion
                chosen |= dict.fromkeys(("pretrain.source", "pretrain.length", "pretrain.recipe", "pretrain.sampling"))
                chosen |= {"pretrain.images": 0, "pretrain.objective": "none"}
            if chosen["intermediate.objective"] == "none":
                chosen |= dict.fromkeys(("intermediate.source", "intermediate.images", "intermediate.length", "intermediate.recipe"))
            if any(all(chosen[name] in values for name, values in entry.items()) for entry in self.excluded):
                continue
            one = GridCell(
                encoder=chosen["encoder"],
                pretrain=self._choice("pretrain", chosen, chosen["pretrain.objective"], chosen["pretrain.sampling"])
                if chosen["pretrain.images"]
                else None,
                intermediate=self._choice("intermediate", chosen, chosen["intermediate.objective"], self.sampling["intermediate"])
                if chosen["intermediate.objective"] != "none"
                else None,
                finetune=self._choice("finetune", chosen, chosen["finetune.task"], self.sampling["finetune"]),
            )
            if one not in seen:
                seen.add(one)
                yield one

    def size(self) -> int:
        """Combinations before exclusions, counted without making any."""
        return math.prod(len(self.values[unit[0]]) for unit in self._units())

    def _units(self) -> list[tuple[str, ...]]:
        """The axes in order, those that advance together at the place of their first."""
        group_of = {name: tuple(sorted(group, key=AXES.index)) for group in self.zipped for name in group}
        return [group_of.get(name, (name,)) for name in AXES if group_of.get(name, (name,))[0] == name]

    @staticmethod
    def _choice(kind: str, chosen: Mapping[str, Any], objective: str, sampling: str) -> Choice:
        own = {key: chosen[f"{kind}.{key}"] for key in ("source", "images", "length", "recipe")}
        return Choice(objective=objective, sampling=sampling, **own)


def read_zipped(value: Any, values: Mapping[str, Sequence[Any]], fail: Fail) -> tuple[tuple[str, ...], ...]:
    """Read `zip:`, a list of axes or a list of such lists. Raises what `fail` returns."""
    if value is None:
        return ()
    groups = value if isinstance(value, list) and value and all(isinstance(one, list) for one in value) else [value]
    taken: set[str] = set()
    for group in groups:
        if not isinstance(group, list) or len(group) < 2:
            raise fail("zip", f"zip names two axes or more that advance together, such as [pretrain.images, pretrain.length], not {str(group)[:80]}.")
        for name in group:
            _check_axis("zip", name, fail)
            if name in taken:
                raise fail("zip", f"{name} stands in zip twice: an axis can advance with one group only.")
            taken.add(name)
        lengths = {name: len(values[name]) for name in group}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            raise fail("zip", f"zipped axes need equally many values, and {counts}: make them equal, or take one out of zip.")
    return tuple(tuple(group) for group in groups)


def read_excluded(value: Any, values: Mapping[str, Sequence[Any]], fail: Fail) -> tuple[Mapping[str, tuple[Any, ...]], ...]:
    """Read `exclude:`, a list of mappings from axes to values. Raises what `fail` returns."""
    if value is None:
        return ()
    entries = value if isinstance(value, list) else [value]
    read = []
    for entry in entries:
        if not isinstance(entry, dict) or not entry:
            raise fail(
                "exclude", f"exclude is a list such as [{{pretrain.images: 0, intermediate.objective: classification}}], not {str(entry)[:80]}."
            )
        wanted = {}
        for name, given in entry.items():
            _check_axis("exclude", name, fail)
            wanted[name] = tuple(_as_on_axis(name, one, values[name], fail) for one in (given if isinstance(given, list) else [given]))
        read.append(wanted)
    return tuple(read)


def _check_axis(key: str, name: Any, fail: Fail) -> None:
    if name not in AXES:
        raise fail(key, f"there is no axis {str(name)[:60]!r}; {nearest(str(name)[:60], AXES)}")


def listed(values: Sequence[Any], most: int = 12) -> str:
    """The first values, and how many more there are."""
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(str(one) for one in values[:most]) + more


def _as_on_axis(name: str, given: Any, there: Sequence[Any], fail: Fail) -> Any:
    try:
        value = parse_length(given) if name.endswith(".length") else given
    except InputError as error:
        raise fail("exclude", str(error)) from None
    if value not in there or isinstance(value, bool):
        raise fail("exclude", f"{name} never is {repr(given)[:60]}: it takes {listed(there)}.")
    return value
