"""Phrases that several sections share."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from analysis.formatting import percent
from analysis.runs.columns import RUN_COLUMNS
from analysis.runs.matching import split_of
from reports.theme import count

_COLUMN = re.compile(rf"(?<![\w'/.=])(?:{'|'.join(name for name in RUN_COLUMNS if '_' in name)})(?![\w'/.=])")


MOST_TITLE_WORDS = 14
"""A title has fewer words."""


def joined(parts: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence(text: str) -> str:
    """The text with a capital first letter, a full stop, true minus signs (and ±) before numbers, and
    columns by their titles; a column in quotes keeps its name, which a reader has to type.
    """
    text = _COLUMN.sub(lambda found: RUN_COLUMNS[found[0]].title, text)
    text = with_minus_signs(text.strip())
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")


def with_minus_signs(text: str) -> str:
    """True minus signs, and ±, before numbers."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text.replace("+-", "±"))


def title(*choices: str) -> str:
    """The title of a figure: the first of several, the fullest first, that has fewer than
    MOST_TITLE_WORDS words; else the last.
    """
    return next((one for one in choices if len(one.split()) < MOST_TITLE_WORDS), choices[-1])


def by_reason(lead: str, cases: Sequence[tuple[str, str]], *, of: int) -> list[str]:
    """'No law is drawn after pre-training on 2,000 images: reason.', one for each reason; all `of`
    cases together are 'any series'.
    """
    reasons: dict[str, list[str]] = {}
    for name, reason in cases:
        reasons.setdefault(reason, []).append(name)
    where = {reason: "for any series" if len(names) == of > 1 else joined(names) for reason, names in reasons.items()}
    return [sentence(f"{lead} {where[reason]}: {reason}") for reason in reasons]


def interval_note(method: str, level: float) -> str:
    """States how wide the bands are, as a share such as 0.95, and how they were made."""
    return sentence(f"bands: {percent(level)} intervals for the law's mean ({method})") if method else "There are no bands; the notes say why."


def sets_of_test_images(runs: pd.DataFrame) -> int:
    """How many different sets of test images the runs were scored on, as far as the table says; a run
    without the number of its images says nothing.
    """
    runs = runs.dropna(subset=["test_images"]) if "test_images" in runs.columns else runs
    recipes = runs["finetune_recipe"].astype(str) if "finetune_recipe" in runs.columns else pd.Series("", index=runs.index)
    told = pd.DataFrame({"split": recipes.map(split_of)})
    told = told.join(runs[[name for name in ("finetune_source", "test_images") if name in runs.columns]])
    return len(told.drop_duplicates())


def measured_on(runs: pd.DataFrame) -> str:
    """', scored on the same 1,000 test images' where the whole table agrees on that."""
    if "test_images" not in runs.columns or runs["test_images"].nunique() != 1:
        return ""
    images = count(float(runs["test_images"].dropna().iloc[0]))
    sets = sets_of_test_images(runs)
    return f", scored on the same {images} test images" if sets == 1 else f", scored on {sets} different sets of {images} test images"
