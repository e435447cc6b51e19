"""Names for what a study varies: the series (how the encoder was pre-trained) and the panel
(everything else but labels and seed).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import PairedEffects
from reports.theme import NO_PRETRAINING, count

SERIES_SETTINGS = ("pretrain_images", "pretrain_source", "pretrain_length", "pretrain_recipe", "pretrain_sampling", "pretrain_objective")
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
STAGE_SETTINGS = ("intermediate_source", "intermediate_images", "intermediate_recipe")
"""Settings of an intermediate stage beside what it learns."""
PANEL_TITLES = {
    "encoder": "encoder",
    "finetune_task": "task",
    "finetune_source": "fine-tuning data",
    "finetune_recipe": "fine-tuning recipe",
    "arm": "arm",
}


def varying(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Returns the columns that take at least two values, not counting missing ones."""
    return [column for column in columns if column in table.columns and table[column].nunique(dropna=True) > 1]


def separating_settings(whole: pd.DataFrame) -> list[str]:
    """Finds the settings that separate the series and panels of `whole`, without those that follow
    from another.
    """
    pretrained = whole.loc[whole["pretrain_images"] > 0]
    staged = whole.loc[whole["intermediate"] != "none"]
    settings = ["pretrain_images"] if whole["pretrain_images"].nunique() > 1 else []
    sizes = pretrained["pretrain_images"].nunique()
    for name in varying(pretrained, [name for name in SERIES_SETTINGS if name != "pretrain_images"]):
        # One length for each size, say, tells no two series apart.
        if len(pretrained[["pretrain_images", name]].drop_duplicates()) > sizes:
            settings.append(name)
    # The data of an intermediate stage are missing or 0 for 'none', which is no second value.
    settings += varying(whole, [name for name in PANEL_SETTINGS if name not in STAGE_SETTINGS])
    return settings + varying(staged, STAGE_SETTINGS)


USUAL_SHARE = 2 / 3
"""Of the pre-trainings: a value that more of them have goes without saying."""


def usual_settings(whole: pd.DataFrame) -> dict[str, str]:
    """The value of each setting that the names of series leave out, since most pre-trainings have it.

    None of a length: where it varies at all, each series names its own.
    """
    settings = [name for name in separating_settings(whole) if name in SERIES_SETTINGS]
    kinds = [name for name in settings if name not in ("pretrain_images", "pretrain_length")]
    distinct = whole.loc[whole["pretrain_images"] > 0, settings].drop_duplicates() if kinds else whole.iloc[:0]
    usual = {}
    for name in kinds:
        if (value := _usual(distinct[name])) is not None:
            usual[name] = value
    return usual


def _usual(values: pd.Series) -> str | None:
    """The value that goes without saying, if one does and none is missing."""
    shares = values.value_counts(normalize=True)
    return str(shares.index[0]) if len(shares) and values.notna().all() and shares.iloc[0] > USUAL_SHARE else None


def usual_sentence(whole: pd.DataFrame) -> str:
    """'Unless its name says otherwise, a pre-training has the recipe compact.', and the same of an
    intermediate stage; '' where every name says all.
    """
    usual = [f"the {name.removeprefix('pretrain_')} {value}" for name, value in usual_settings(whole).items()]
    told = [f"a pre-training has {' and '.join(usual)}"] if usual else []
    of_stages = _usual_recipe_of_stages(whole)
    told += [f"an intermediate stage has the recipe {of_stages}"] if of_stages is not None else []
    return f"Unless its name says otherwise, {' and '.join(told)}." if told else ""


def _usual_recipe_of_stages(whole: pd.DataFrame) -> str | None:
    """The recipe that the names of panels leave out, since most intermediate stages have it."""
    stages = _stages(whole)
    return _usual(stages["intermediate_recipe"]) if varying(stages, ["intermediate_recipe"]) else None


def _stages(whole: pd.DataFrame) -> pd.DataFrame:
    """What the intermediate stages learn and from what, each once."""
    names = [name for name in ("intermediate", *STAGE_SETTINGS) if name in whole.columns]
    return whole.loc[whole["intermediate"] != "none", names].drop_duplicates()


def _told_of_panels(whole: pd.DataFrame, split: Sequence[str]) -> list[str]:
    """Those of the settings of panels that their names say: without what follows from the others, as
    the number of images of an intermediate stage does where each data set has one.
    """
    told, stages = [name for name in split if name not in STAGE_SETTINGS], _stages(whole)
    for name in (one for one in STAGE_SETTINGS if one in split):
        known = [one for one in dict.fromkeys(("intermediate", *told)) if one in stages.columns]
        if stages.groupby(known, dropna=False)[name].nunique(dropna=False).gt(1).any():
            told.append(name)
    return told


def with_series(table: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """Adds the columns `series` and `panel`, which name what varies in `whole` (the grid, or all
    runs).

    `series` is 'none' for runs from scratch, else the number of pre-training images with whatever
    else of the pre-training varies and is not what `usual_settings` says; `panel` is '' where
    nothing but series, labels and seeds varies. The grid's own arms are distinguished as
    `_place_of_arms` says.
    """
    settings = separating_settings(whole)
    extra = [name for name in settings if name in SERIES_SETTINGS and name != "pretrain_images"]
    usual: dict[str, str | None] = {**usual_settings(whole)}
    split = [name for name in settings if name in PANEL_SETTINGS]
    place = _place_of_arms(whole, ["pretrain_images", *extra], split) if "arm" in table.columns else ""
    named = table
    told = _told_of_panels(whole, split)
    if place:
        names = [None if _is_missing(arm) else str(arm).partition(",")[0] for arm in table["arm"]]
        if place == "panel" and (crowded := _crowded_panels(whole, ["pretrain_images", *extra], split)):
            plain = _arms_without_a_name(whole, split)
            names = [name if key in crowded and plain.get(key) != name else None for name, key in zip(names, _keys(table, split), strict=True)]
        named = table.assign(arm=pd.Series(names, index=table.index, dtype="object"))
        (extra if place == "series" else split).append("arm")
        told += ["arm"] if place == "panel" else []
        if place == "series":
            pretrained = whole.loc[whole["pretrain_images"] > 0, ["pretrain_images", *extra]]
            usual["arm"] = _usual(pretrained.assign(arm=pretrained["arm"].str.partition(",")[0]).drop_duplicates()["arm"])
    return table.assign(
        series=_named(
            named,
            ["pretrain_images", *extra],
            lambda row: _series_name(row, [one for one in extra if usual.get(one) is None or row.get(one) != usual[one]]),
        ),
        panel=_named(named, split, lambda row: _panel(row, told, _usual_recipe_of_stages(whole))),
    )


def _place_of_arms(whole: pd.DataFrame, series: Sequence[str], panel: Sequence[str]) -> str:
    """Decides whether a grid's arms separate 'series' or 'panel', or neither ('').

    Runs that are equal in all that is drawn and belong to different arms must be kept apart: by
    panel if arms differ in how scratch runs are trained, else by series. Where the other settings
    keep arms apart already, an arm's name is added to what it is the only one of. A run of several
    arms has the name of the first.
    """
    if not varying(whole, ["arm"]):
        return ""
    if _crowded_panels(whole, series, panel):
        scratch = whole.loc[whole["pretrain_images"] == 0]
        return "panel" if scratch.empty or _crowded_panels(scratch, series, panel) else "series"
    pretrained = whole.loc[whole["pretrain_images"] > 0]
    if panel and _decide(whole, panel):
        return "panel"
    return "series" if len(pretrained) and _decide(pretrained, [*panel, *series]) else ""


def _crowded_panels(whole: pd.DataFrame, series: Sequence[str], panel: Sequence[str]) -> set[tuple[object, ...]]:
    """The panels in which two runs are equal in series, number of labels and seed, as a key of
    their settings.
    """
    drawn = [name for name in (*panel, *series, "finetune_images", "seed") if name in whole.columns]
    return set(_keys(whole.loc[whole.duplicated(drawn, keep=False)], panel))


def _arms_without_a_name(whole: pd.DataFrame, split: Sequence[str]) -> dict[tuple[object, ...], str]:
    """The arm that goes unnamed in a panel, by the panel's settings: the only one there whose runs
    other arms share, or whose baseline without an intermediate stage stands there.

    Such runs do not have what the arm is named after.
    """
    arms = whole["arm"].astype("string").fillna("")
    first = arms.str.partition(",")[0]
    staged = set(first[(whole["intermediate"] != "none").to_numpy()])
    lent = arms.str.contains(",", regex=False) | ((whole["intermediate"] == "none") & first.isin(staged))
    found: dict[tuple[object, ...], tuple[set[str], set[str]]] = {}
    for key, arm, is_lent in zip(_keys(whole, split), first, lent, strict=True):
        every, plain = found.setdefault(key, (set(), set()))
        every.add(str(arm))
        plain.update([str(arm)] if is_lent else [])
    return {key: next(iter(plain)) for key, (every, plain) in found.items() if len(plain) == 1 < len(every)}


def _keys(table: pd.DataFrame, columns: Sequence[str]) -> list[tuple[object, ...]]:
    if not columns:
        return [()] * len(table)
    rows = table.loc[:, list(columns)].astype("object").itertuples(index=False, name=None)
    return [tuple(None if _is_missing(value) else value for value in row) for row in rows]


def _decide(table: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether these settings determine the arm of a run."""
    return bool((table.groupby(list(columns), dropna=False)["arm"].nunique(dropna=False) <= 1).all())


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


def _series_name(row: Mapping[Hashable, Any], extra: Sequence[str]) -> str:
    images = float(str(row["pretrain_images"]))
    if images == 0:
        return NO_PRETRAINING
    return ", ".join([count(images), *(setting_in_words(column, row[column]) for column in extra if not _is_missing(row.get(column)))])


def setting_in_words(column: str, value: object) -> str:
    """A length in images is one of image passes, which is no number of pre-training images."""
    text = _formatted(value)
    return f"{text.removesuffix(' images')} image passes" if column == "pretrain_length" and text.endswith(" images") else text


def _panel(row: Mapping[Hashable, Any], told: Sequence[str], usual_recipe: str | None) -> str:
    """'no intermediate stage', 'encoder: nano/8@32, intermediate stage: classification on scenes'."""
    parts = []
    for column in (one for one in told if one not in STAGE_SETTINGS and not _is_missing(row.get(one))):
        if column != "intermediate":
            parts.append(f"{PANEL_TITLES[column]}: {_formatted(row[column])}")
        elif row[column] == "none":
            parts.append("no intermediate stage")
        else:
            parts.append(f"intermediate stage: {_formatted(row[column])}{_stage(row, told, usual_recipe)}")
    if "intermediate" not in told and row.get("intermediate") != "none" and (stage := _stage(row, told, usual_recipe)):
        parts.append(f"intermediate stage{stage}")
    return ", ".join(parts)


def _stage(row: Mapping[Hashable, Any], told: Sequence[str], usual_recipe: str | None) -> str:
    """' on intel-scenes, 4,000 images, recipe wide', as far as it is told."""
    own = {name: row[name] for name in STAGE_SETTINGS if name in told and not _is_missing(row.get(name))}
    text = f" on {_formatted(own['intermediate_source'])}" if "intermediate_source" in own else ""
    text += f", {_formatted(own['intermediate_images'])} images" if own.get("intermediate_images") else ""
    recipe = own.get("intermediate_recipe")
    return text + (f", recipe {_formatted(recipe)}" if recipe is not None and recipe != usual_recipe else "")


def _is_missing(value: object) -> bool:
    return value is None or value != value  # NaN is the one value unequal to itself


def _formatted(value: object) -> str:
    """The value as text, numbers in it with separators: '100,000 images'."""
    if isinstance(value, (int, float)):
        return count(value)
    return re.sub(r"(?<![\w.])\d{4,}(?![\w.])", lambda found: count(int(found[0])), str(value))


def effects_with_series(effects: PairedEffects, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`effects.table` and `effects.pairs` with the columns `series` and `panel` of the runs that
    had the treatment.

    `runs` has been through `with_series`. The names come from the runs themselves, because a row of
    effects does not hold settings that follow from others; a row over several series, which
    analysis makes only where it sees no difference, has the first one's.
    """
    names = runs.set_index("run_id")[["series", "panel"]]
    found = names.loc[effects.pairs["treatment_run_id"]]
    pairs = effects.pairs.assign(series=found["series"].to_numpy(), panel=found["panel"].to_numpy())
    keys = ["treatment", *effects.by]
    first = pairs.drop_duplicates(keys)[[*keys, "series", "panel"]]
    return effects.table.merge(first, on=keys, how="left"), pairs


def rest_of(series: str) -> str:
    """The name of a series without its images: '20 epochs' of '2,000, 20 epochs'; '' where nothing
    is left.
    """
    return series.partition(", ")[2]


def spread_out(names: Sequence[str], most: int) -> list[str]:
    """At most `most` of the names in their order, the first and the last among them, the others
    evenly between: chosen without a look at outcomes.
    """
    if len(names) <= most:
        return list(names)
    return [names[round(place * (len(names) - 1) / (most - 1))] for place in range(most)]


def series_phrase(series: str) -> str:
    """A series in words: 'without pre-training', 'after pre-training on 2,000 images'."""
    if series == NO_PRETRAINING:
        return "without pre-training"
    images, _, rest = series.partition(", ")
    return f"after pre-training on {images} images" + (f" ({rest})" if rest else "")


def ordered_series(table: pd.DataFrame) -> list[str]:
    """Every series of a table that has been through `with_series`: scratch first, then by
    pre-training images, then as the grid has them.
    """
    first = table.drop_duplicates("series").assign(scratch=lambda t: t["series"] != NO_PRETRAINING)
    return [str(series) for series in first.sort_values(["scratch", "pretrain_images"], kind="stable")["series"]]


def panels_of(table: pd.DataFrame, order: Sequence[str]) -> list[str]:
    """The panels that `table` has rows for, those in `order` first."""
    there = list(dict.fromkeys(str(panel) for panel in table["panel"]))
    return [panel for panel in order if panel in there] + [panel for panel in there if panel not in order]


def ordered_panels(table: pd.DataFrame) -> list[str]:
    """Every panel of a table that has been through `with_series`; 'none' before any other
    intermediate stage.
    """
    first = table.drop_duplicates("panel").assign(staged=lambda t: t["intermediate"] != "none")
    return [str(panel) for panel in first.sort_values(["staged", "panel"], kind="stable")["panel"]]
