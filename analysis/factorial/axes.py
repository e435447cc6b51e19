"""The axes of a study: every setting that takes several values, with its levels in order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.factorial.joined import joint_name
from analysis.factorial.lengths import held_length
from analysis.formatting import TIMES, in_order, size_in
from analysis.runs.columns import column_of
from analysis.runs.matching import FINETUNE, INTERMEDIATE, PRETRAIN, SETTINGS, STEPS_FOLLOW

Array = NDArray[np.float64]
PRETRAINING: Final = "pretraining"
"""Name of the axis 'pre-trained or not', which has no column of its own."""
NAMES: Final = {
    PRETRAINING: "pre-training",
    "encoder": "model size",
    "pretrain_images": "pre-training images",
    "pretrain_length": "pre-training length",
    "pretrain_source": "pre-training data",
    "pretrain_recipe": "pre-training recipe",
    "pretrain_sampling": "pre-training sampling",
    "pretrain_objective": "pre-training objective",
    "intermediate": "intermediate stage",
    "intermediate_images": "intermediate images",
    "intermediate_steps": "intermediate steps",
    "intermediate_source": "intermediate data",
    "intermediate_recipe": "intermediate recipe",
    "finetune_images": "labels",
    "finetune_steps": "fine-tuning steps",
    "finetune_source": "fine-tuning data",
    "finetune_recipe": "fine-tuning recipe",
    "finetune_task": "task",
}
NAMED: Final = ("_source", "_recipe", "_sampling", "_objective")
ORDER: Final = tuple(sorted((name for name in SETTINGS if name != "seed"), key=lambda name: name.endswith(NAMED)))
"""Settings with a size before those with a name: where a data set has one size, that is the axis."""
_FAMILY = re.compile(r"(?P<library>timm|torchvision):(?P<name>[a-z]+)|(?P<swin>swinv2)-|(?P<vit>[a-z]+/)", re.IGNORECASE)
_LENGTH = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([kM]?)\s*(epoch|step|image)s?\s*")
_PART_OF = {"pretrain_objective": "pretrain_recipe"}
"""What a setting is part of: recipes of two objectives are compared, and both are named."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis: a column, or 'pre-trained or not'."""

    column: str
    """A column of the runs table, or `PRETRAINING`."""
    name: str
    """The axis in words, such as 'pre-training length'."""
    levels: tuple[object, ...]
    """Its values, from low to high where they are ordered; for an on/off axis (off, on)."""
    sizes: tuple[float, ...] | None
    """The levels as numbers above zero (images, steps, parameters), or None for categories."""
    ordered: bool
    """Whether 'from the first level to the last' is the one contrast that is meant; if not, all
    pairs of levels are compared.
    """
    blocks: tuple[str, ...]
    """Columns that are held fixed where the axis is varied (the seed is not among them)."""
    code: NDArray[np.int64]
    """Level of each row, shape (rows,); -1 where the axis does not apply, as the length of a
    pre-training to a run that had none.
    """
    asked: NDArray[np.bool_]
    """Rows that the main effect is taken from, shape (rows,): all but those with an intermediate
    stage, where the axis is 'pre-trained or not' and the table has both.
    """
    kind: str = ""
    """Which of several kinds is compared with none, such as 'spatial' of intermediate stages."""
    also: tuple[str, ...] = ()
    """Names of the settings that change whenever this one does and only then, in words: what is said
    of the axis is said of all of them together.
    """
    held: Mapping[str, str] = field(default_factory=dict)
    """Columns that follow from this one, and their names, of which several levels share a value: they
    are no axes of their own, and are held fixed.
    """
    parts: Mapping[str, str] = field(default_factory=dict)
    """Such columns that are part of what the axis is, and are not held fixed."""


def axes_of(table: pd.DataFrame, columns: Sequence[str] | None = None) -> list[Axis]:
    """Every setting that varies, in the order of `ORDER`; or those of `columns` that vary, of
    someone's own table.

    A setting that follows from another (steps from images, a recipe that differs only where the
    source does) is not an axis of its own; two that always change together are one, named by both.
    Axes of a stage apply to the runs that have the stage.
    """
    if columns is not None:
        return _axes_named(table, columns)

    def applies_to(column: str) -> NDArray[np.bool_]:
        if column in PRETRAIN:
            return trained
        return staged if column in INTERMEDIATE and column != "intermediate" else np.ones(len(table), dtype=bool)

    there = [name for name in ORDER if name in table.columns]
    trained = _trained(table)
    staged = (table["intermediate"] != "none").to_numpy() if "intermediate" in table.columns else np.zeros(len(table), dtype=bool)
    found: list[Axis] = []
    if trained.any() and not trained.all():
        blocks = tuple(name for name in there if name not in PRETRAIN)
        plain = ~staged
        asked = plain if trained[plain].any() and not trained[plain].all() else np.ones(len(table), dtype=bool)
        shown: dict[str, Any] = {"column": PRETRAINING, "name": NAMES[PRETRAINING], "levels": ("none", "pre-trained"), "sizes": None}
        found.append(Axis(**shown, ordered=True, blocks=blocks, code=trained.astype(np.int64), asked=asked))
    kept: list[str] = []
    place: dict[str, tuple[int, NDArray[np.bool_]]] = {}
    for column in there:
        applies = applies_to(column)
        values = table.loc[applies, column]
        if values.nunique() < 2:
            continue
        twin = next((one for one, (_, rows) in place.items() if _always_with(table, one, column, rows, applies)), "")
        if twin:
            number = place[twin][0]
            found[number] = _with_also(found[number], _name(table, column))
        elif not _follows(table.loc[applies], column, [name for name in kept if _applies_too(name, column)]):
            kept.append(column)
            place[column] = (len(found), applies)
            found.append(_axis(table, column, applies_to, there))
    return found


def _axes_named(table: pd.DataFrame, columns: Sequence[str]) -> list[Axis]:
    kept: list[str] = []
    twins: dict[str, list[str]] = {}
    every = np.ones(len(table), dtype=bool)
    for column in columns:
        if table[column].nunique() < 2:
            continue
        twin = next((one for one in kept if _always_with(table, one, column, every, every)), "")
        if twin:
            twins[twin].append(column)
        elif not any(_follows(table, column, [name]) for name in kept):
            kept.append(column)
            twins[column] = []
    own = table.attrs.get("columns", {})
    names = {column: column_of(table, column).title if column in own else column for column in columns}
    found = []
    for column in kept:
        axis = _axis(table, column, lambda _: every, list(columns))
        axis = replace(axis, name=names[column], held={one: names[one] for one in axis.held})
        for twin in twins[column]:
            axis = _with_also(axis, names[twin])
        found.append(axis)
    return found


def _with_also(axis: Axis, name: str) -> Axis:
    """The axis with a setting that always changes together with it, in its name."""
    return replace(axis, name=joint_name(axis.name, name), also=(*axis.also, name))


def _always_with(table: pd.DataFrame, one: str, other: str, rows: NDArray[np.bool_], applies: NDArray[np.bool_]) -> bool:
    """Whether two settings of the same runs always change together. Steps that follow from images
    are no setting of their own.
    """
    if STEPS_FOLLOW.get(one) == other or not np.array_equal(rows, applies):
        return False
    part = table.loc[applies]
    return _follows(part, other, [one]) and _follows(part, one, [other])


def _axis(table: pd.DataFrame, column: str, applies_to: Callable[[str], NDArray[np.bool_]], there: Sequence[str]) -> Axis:
    applies = applies_to(column)
    values = table[column].where(pd.Series(applies, index=table.index))
    levels, sizes = _ordered(table.loc[applies], column)
    code = np.full(len(table), -1, dtype=np.int64)
    for place, level in enumerate(levels):
        code[(values == level).to_numpy()] = place
    freed = {column, STEPS_FOLLOW.get(column, column)}
    if column == "intermediate":
        freed |= set(INTERMEDIATE)
    part = table.loc[applies]
    following = [name for name in there if name not in freed and part[name].nunique() > 1 and _follows(part, name, [column])]
    # what always changes with the axis is in its name; what several levels share (sizes of one source)
    # is held, so that levels which share it are compared
    freed |= {name for name in following if _always_with(table, column, name, applies, applies_to(name)) or _PART_OF.get(name) == column}
    apart = {name: _name(table, name) for name in following if not _follows(part, column, [name])}
    on_off = column == "intermediate" and len(levels) == 2 and levels[0] == "none"
    # numbers have an order even where they have no ratio: 0 among them, or written '300k'
    ordered = sizes is not None or on_off or len(levels) == 2 or all(np.isfinite(size_in(level)) for level in levels)
    blocks = [name for name in there if name not in freed]
    steps = STEPS_FOLLOW.get(column, "")
    if steps in there and not _follows(table.loc[applies], steps, [column]):
        blocks += held_length(table, code, blocks, steps, sizes, ends_only=ordered)
    return Axis(
        column=column,
        name=_name(table, column),
        levels=tuple(levels),
        sizes=sizes,
        ordered=ordered,
        blocks=tuple(blocks),
        code=code,
        asked=np.ones(len(table), dtype=bool),
        held={name: words for name, words in apart.items() if name in blocks},
        parts={name: words for name, words in apart.items() if name in freed},
    )


def _name(table: pd.DataFrame, column: str) -> str:
    """The axis in words: as the table's own documentation calls it, else as `NAMES` does."""
    if column in table.attrs.get("columns", {}):
        return column_of(table, column).title
    if column == "encoder" and not _one_family(table[column].dropna().unique().tolist()):
        return "model"
    return NAMES.get(column, column.replace("_", " "))


def _one_family(encoders: Sequence[object]) -> bool:
    """Whether encoders are sizes of one architecture, as their names tell: a bigger one of another
    architecture differs in more than its size, such as timm:resnet18@64 from timm:vit_tiny@64.
    """
    found = [_FAMILY.match(str(name)) for name in encoders]
    families = {one and ("vit" if one["vit"] else "swinv2" if one["swin"] else f"{one['library']}:{one['name']}".lower()) for one in found}
    return len(families) < 2


def _trained(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each run was pre-trained, shape (rows,)."""
    if "pretrain_images" in table.columns:
        return np.asarray((pd.to_numeric(table["pretrain_images"], errors="coerce").fillna(0) > 0).to_numpy(), dtype=bool)
    named = [name for name in ("pretrain_source", "pretrain_length") if name in table.columns]
    return np.asarray(table[named].notna().any(axis=1).to_numpy(), dtype=bool) if named else np.zeros(len(table), dtype=bool)


def _applies_too(kept: str, column: str) -> bool:
    """Whether `kept` is a setting of the same stage, from which `column` may follow."""
    return any(kept in family and column in family for family in (PRETRAIN, INTERMEDIATE, FINETUNE))


def _follows(table: pd.DataFrame, column: str, kept: Sequence[str]) -> bool:
    """Whether the axes kept before decide the column, so that it says nothing of its own."""
    if not kept:
        return False
    codes = np.column_stack([pd.factorize(table[name], use_na_sentinel=False)[0] for name in (*kept, column)])
    return len(np.unique(codes[:, :-1], axis=0)) == len(np.unique(codes, axis=0))


def _ordered(table: pd.DataFrame, column: str) -> tuple[list[object], tuple[float, ...] | None]:
    """The levels of a column in order, and as numbers where they have a size."""
    levels = list(dict.fromkeys(table[column].dropna().tolist()))
    sizes = _sizes(table, column, levels)
    if sizes is not None and len(set(sizes)) == len(levels) and min(sizes) > 0:
        order = np.argsort(sizes)
        return [levels[place] for place in order], tuple(sizes[place] for place in order)
    return sorted(in_order(levels), key=lambda level: level != "none"), None


def _sizes(table: pd.DataFrame, column: str, levels: Sequence[object]) -> list[float] | None:
    if column == "encoder":
        if not _one_family(levels):
            return None
        return _one_each(table, column, "encoder_params", levels)
    if all(isinstance(level, (int, float, np.integer, np.floating)) and not isinstance(level, bool) for level in levels):
        return [float(level) for level in levels]  # type: ignore[arg-type]
    if column == "pretrain_length":
        parts = [_LENGTH.fullmatch(str(level)) for level in levels]
        if all(part is not None for part in parts) and len({part[3] for part in parts if part}) == 1:
            return [float(part[1]) * TIMES[part[2]] for part in parts if part]
        return _one_each(table, column, "pretrain_image_passes", levels)
    return None


def _one_each(table: pd.DataFrame, column: str, size: str, levels: Sequence[object]) -> list[float] | None:
    """The one number in `size` that belongs to each level; None where there is not one."""
    if size not in table.columns:
        return None
    found = table.groupby(column, sort=False)[size].agg(["nunique", "first"])
    return [float(found["first"].to_dict()[level]) for level in levels] if bool((found["nunique"] == 1).all()) else None
