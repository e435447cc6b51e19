"""Names for what a study varies: the arm (how the encoder was pre-trained) and the panel
(everything else but labels and seed).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import PairedEffects
from reports.theme import NO_PRETRAINING, count

ARM_SETTINGS = ("pretrain_images", "pretrain_source", "pretrain_length", "pretrain_recipe", "pretrain_sampling")
PANEL_SETTINGS = (
    "encoder",
    "intermediate",
    "intermediate_source",
    "intermediate_images",
    "intermediate_recipe",
    "finetune_task",
    "finetune_source",
    "finetune_recipe",
)
PANEL_WORDS = {
    "encoder": "encoder",
    "intermediate": "intermediate stage",
    "intermediate_source": "intermediate data",
    "intermediate_images": "intermediate images",
    "intermediate_recipe": "intermediate recipe",
    "finetune_task": "task",
    "finetune_source": "fine-tuning data",
    "finetune_recipe": "fine-tuning recipe",
}


def varying(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Those of `columns` that take two values or more, missing ones not counted."""
    return [column for column in columns if column in table.columns and table[column].nunique(dropna=True) > 1]


def telling(whole: pd.DataFrame) -> list[str]:
    """The settings that tell apart the arms and panels of `whole`; those that merely follow from
    another are left out.
    """
    pretrained = whole.loc[whole["pretrain_images"] > 0]
    staged = whole.loc[whole["intermediate"] != "none"]
    told = ["pretrain_images"] if whole["pretrain_images"].nunique() > 1 else []
    sizes = pretrained["pretrain_images"].nunique()
    for name in varying(pretrained, [name for name in ARM_SETTINGS if name != "pretrain_images"]):
        # One length for each size, say, tells no two arms apart.
        if len(pretrained[["pretrain_images", name]].drop_duplicates()) > sizes:
            told.append(name)
    # The data of an intermediate stage are missing or 0 for 'none', which is no second value.
    own = ("intermediate_source", "intermediate_images", "intermediate_recipe")
    told += varying(whole, [name for name in PANEL_SETTINGS if name not in own])
    return told + varying(staged, own)


def with_arms(table: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """`table` with two more columns, `arm` and `panel`, in words that tell apart what varies in
    `whole` (the grid, or all runs).

    `arm` is 'none' for runs from scratch, else the number of pre-training images with whatever else
    of the pre-training varies; `panel` is '' where nothing but arms, labels and seeds varies.
    """
    told = telling(whole)
    extra = [name for name in told if name in ARM_SETTINGS and name != "pretrain_images"]
    split = [name for name in told if name in PANEL_SETTINGS]
    return table.assign(
        arm=_named(table, ["pretrain_images", *extra], lambda row: _arm(row, extra)),
        panel=_named(table, split, lambda row: _panel(row, split)),
    )


def _named(table: pd.DataFrame, columns: Sequence[str], name: Callable[[Mapping[Hashable, Any]], str]) -> list[str]:
    """The name of each row; made once for each combination of the columns, of which there are few
    where there are many rows.
    """
    there = [column for column in columns if column in table.columns]
    if not there or table.empty:
        return [name({})] * len(table) if not there else []
    number = table.groupby(there, dropna=False, sort=False).ngroup().to_numpy()
    names: dict[int, str] = {}
    first = table.loc[~pd.Series(number).duplicated().to_numpy(), there]
    for place, row in zip(pd.unique(number), first.to_dict("records"), strict=True):
        names[int(place)] = name(row)
    return [names[int(place)] for place in number]


def _arm(row: Mapping[Hashable, Any], extra: Sequence[str]) -> str:
    images = float(str(row["pretrain_images"]))
    if images == 0:
        return NO_PRETRAINING
    return ", ".join([count(images), *(str(row[column]) for column in extra if not _is_missing(row.get(column)))])


def _panel(row: Mapping[Hashable, Any], split: Sequence[str]) -> str:
    told = [(column, row[column]) for column in split if column in row]
    return ", ".join(f"{PANEL_WORDS[column]}: {_said(value)}" for column, value in told if not _is_missing(value))


def _is_missing(value: object) -> bool:
    return value is None or value != value  # NaN is the one value unequal to itself


def _said(value: object) -> str:
    return count(value) if isinstance(value, (int, float)) else str(value)


def effects_with_arms(effects: PairedEffects, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`effects.table` and `effects.pairs` with the columns `arm` and `panel` of the runs that had
    the treatment.

    `runs` has been through `with_arms`. The names come from the runs themselves, because a row of
    effects does not hold settings that follow from others; a row over several arms, which analysis
    makes only where it sees no difference, has the first one's.
    """
    names = runs.set_index("run_id")[["arm", "panel"]]
    found = names.loc[effects.pairs["treatment_run_id"]]
    pairs = effects.pairs.assign(arm=found["arm"].to_numpy(), panel=found["panel"].to_numpy())
    keys = ["treatment", *effects.by]
    first = pairs.drop_duplicates(keys)[[*keys, "arm", "panel"]]
    return effects.table.merge(first, on=keys, how="left"), pairs


def rest_of(arm: str) -> str:
    """What an arm says beside its images: '20 epochs' of '2,000, 20 epochs'; '' where there is
    nothing else, or no pre-training.
    """
    return arm.partition(", ")[2]


def spread_out(names: Sequence[str], most: int) -> list[str]:
    """At most `most` of the names in their order, the first and the last among them, the others
    evenly between: chosen without a look at outcomes.
    """
    if len(names) <= most:
        return list(names)
    return [names[round(place * (len(names) - 1) / (most - 1))] for place in range(most)]


def in_words(arm: str) -> str:
    """An arm in running text: 'without pre-training', 'after pre-training on 2,000 images'."""
    if arm == NO_PRETRAINING:
        return "without pre-training"
    images, _, rest = arm.partition(", ")
    return f"after pre-training on {images} images" + (f" ({rest})" if rest else "")


def ordered_arms(table: pd.DataFrame) -> list[str]:
    """Every arm of a table that has been through `with_arms`: scratch first, then by pre-training
    images, then as the grid has them.
    """
    first = table.drop_duplicates("arm").assign(scratch=lambda t: t["arm"] != NO_PRETRAINING)
    return [str(arm) for arm in first.sort_values(["scratch", "pretrain_images"], kind="stable")["arm"]]


def panels_of(table: pd.DataFrame, order: Sequence[str]) -> list[str]:
    """The panels that `table` has rows for, those in `order` first."""
    there = list(dict.fromkeys(str(panel) for panel in table["panel"]))
    return [panel for panel in order if panel in there] + [panel for panel in there if panel not in order]


def ordered_panels(table: pd.DataFrame) -> list[str]:
    """Every panel of a table that has been through `with_arms`; 'none' before any other
    intermediate stage.
    """
    first = table.drop_duplicates("panel").assign(staged=lambda t: t["intermediate"] != "none")
    return [str(panel) for panel in first.sort_values(["staged", "panel"], kind="stable")["panel"]]
