"""The levels of an axis in the few words that a first screen has room for."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from analysis import MainEffects
from analysis.factorial.axes import PRETRAINING, Axis
from analysis.factorial.result import ALPHA, pairs_tried
from analysis.formatting import format_setting
from analysis.plots.labels import in_one_form, short_number
from reports.wording import sentence

NUMBER = re.compile(r"(?<![\w.,])\d{4,}(?![\w.,])")
MOST_WORDS = 25
"""Of the first sentence."""
UNITS = {
    "pretrain_images": "images",
    "finetune_images": "labels",
    "finetune_steps": "steps",
    "intermediate_images": "intermediate images",
    "intermediate_steps": "intermediate steps",
}
"""What the levels of an axis count."""
SUBJECTS = {
    PRETRAINING: "pre-training",
    "pretrain_images": "more pre-training images",
    "pretrain_length": "longer pre-training",
    "encoder": "the model",
    "finetune_images": "more labels",
    "finetune_steps": "more fine-tuning steps",
    "intermediate_images": "more intermediate images",
    "intermediate_steps": "more intermediate steps",
}


def level_text(level: object) -> str:
    """100000 -> '100,000'; '512000 images' -> '512,000 images'."""
    return NUMBER.sub(lambda found: f"{int(found[0]):,}", format_setting(level))


def level_name(axis: str, level: object, *, short: bool = False) -> str:
    """A level as the name of a line: '512,000 image passes', '20,000 images', 'with classification'.

    `short` is for a phone: '512k passes', '20k images'.
    """
    text = level_text(level)
    if short:
        text = re.sub(r"\d{1,3}(?:,\d{3})+", lambda found: short_number(float(found[0].replace(",", ""))), text)
    if axis == "pretrain_length":
        return re.sub(r" images?$", " passes" if short else " image passes", text)
    if axis in UNITS:
        return f"{text} {UNITS[axis]}"
    if axis == "intermediate":
        return ("no stage" if short else "no intermediate stage") if text == "none" else text if short else f"with {text}"
    # A number alone is no name: it takes the axis with it.
    return f"{axis.replace('_', ' ')} {text}" if axis not in SUBJECTS and re.fullmatch(r"[\d.,]+[kMBT]?", text) else text


def level_names(axis: Axis) -> list[str]:
    """The name of the line of each level."""
    return in_one_form([level_name(axis.column, level) for level in axis.levels])


def subject_of(axis: str, name: str) -> str:
    """What a higher level of an axis is called where a title begins with it."""
    return SUBJECTS.get(axis, name if name.startswith("the ") else f"the {name}")


def is_plural(subject: str) -> bool:
    """Whether a verb after the subject is plural: after 'four times more steps (at 40 labels)', and
    not after '16 times more n', a column that is one number.
    """
    counted = subject.partition(" more ")[2].partition(" (")[0]
    return counted.endswith("s") and not counted.endswith("ss")


def widened(row: pd.Series) -> str:
    """'widened for the choice among 6 pairs' of an interval of the two levels that differ most; '' of
    one that was meant from the start.
    """
    pairs = pairs_tried(row)
    return f"widened for the choice among {pairs} pairs" if pairs > 1 else ""


def sentence_of(effects: MainEffects) -> str:
    """What moved the score, in one sentence of at most 25 words; where nothing did, that, and what
    would tell.
    """
    known = effects.table[np.isfinite(effects.table["effect"].to_numpy(dtype=float))]
    turning = any(effects.turn(axis, kind) for axis, kind in zip(known["axis"], known["kind"], strict=True))
    if not (known["p_holm"] < ALPHA).any() and not turning:
        return nothing_found(effects)
    text = effects.headline()
    if len(text.split()) > MOST_WORDS:
        text = effects.headline(brief=True)
    text = sentence(level_text(text)).replace("top-", "top‑").replace("re-training", "re‑training")
    while len(text.split()) > MOST_WORDS and "; " in text:
        text = f"{text[: text.rfind('; ')]}."
    return text


def turning_title(effects: MainEffects, axis: str) -> str:
    """'vit-s has the higher error at 10,000 images, vit-b at 100,000'; '' where the effect of the
    axis has one sign.
    """
    if not (turn := effects.turn(axis)):
        return ""
    row = effects.table.loc[effects.table["axis"] == axis].iloc[0]
    first, last = (level_text(row[end]) for end in ("high_level", "low_level")[:: 1 if turn[0][0] > 0 else -1])
    if re.fullmatch(r"[\d.,]+", first):
        first, last = f"{row['name']} {first}", last
    return f"{first} has the higher {effects.outcome_title} {turn[0][1]}, {last} {turn[1][1]}"


def nothing_found(effects: MainEffects) -> str:
    """Says that no axis can be told from zero, how large an effect may yet be, and what would tell."""
    from analysis.student import t_quantile

    score = effects.outcome_title.replace("top-", "top‑")
    if not np.isfinite(effects.table["effect"].to_numpy(dtype=float)).any():
        return f"Nothing can be told about {score} yet: no two settings were run with everything else equal."
    seeds = effects.n_seeds
    told = f"{seeds} seeds" if seeds > 1 else "one seed" if seeds == 1 else effects.without_seeds
    nothing = f"Nothing moved {score} by more than {told} can tell from zero"
    rows = effects.table.dropna(subset=["low", "high"])
    if rows.empty:
        wanted = "a second seed" if seeds == 1 else "a second run of each setting" if not (seeds or effects.has_spreads) else ""
        return f"{nothing}; {wanted} would give intervals." if wanted else f"{nothing}."
    if len(effects.odd):
        low, high = (f"{effects.odd[end].iloc[0]:.{effects.places}f}" for end in ("lowest", "highest"))
        return f"{nothing}; equal runs give {low} and {high}: check them first."
    parts = []
    if (rows["p"] < ALPHA).any():  # then the interval of one setting, drawn below, holds no zero
        nothing += f" after correction over {len(rows)} {'comparisons' if (effects.table['kind'] != '').any() else 'settings'}"
    else:
        most = float(np.nanmax(np.abs(rows[["low", "high"]].to_numpy(dtype=float))))
        parts.append(f"the data allow effects up to {most:.{effects.places}f}")
    if seeds > 1:
        more = 5 if seeds < 5 else 2 * seeds
        half = float(np.nanmax((rows["high"] - rows["low"]).to_numpy(dtype=float))) / 2
        narrower = t_quantile(effects.level, more - 1.0) / t_quantile(effects.level, seeds - 1.0) * float(np.sqrt(seeds / more))
        parts.append(f"{more} seeds would tell {half * narrower:.{effects.places}f}")
    return f"{'; '.join([nothing, ', '.join(parts)]) if parts else nothing}."
