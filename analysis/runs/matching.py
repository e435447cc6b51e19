"""Pairs each treatment run with the baseline run that has the same settings but the factor studied."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from analysis.errors import AnalysisError
from analysis.formatting import format_setting

PRETRAIN: Final = ("pretrain_source", "pretrain_images", "pretrain_recipe", "pretrain_length", "pretrain_sampling", "pretrain_objective")
INTERMEDIATE: Final = ("intermediate", "intermediate_source", "intermediate_images", "intermediate_steps", "intermediate_recipe")
FINETUNE: Final = ("finetune_source", "finetune_task", "finetune_images", "finetune_recipe", "finetune_steps")
# The settings of a run. Steps of the pre-training are not among them: they follow from its
# length and images.
SETTINGS: Final = ("seed", "encoder", *PRETRAIN, *INTERMEDIATE, *FINETUNE)
# Steps follow from these where a length is stated in epochs, so pairs that differ in them need not
# agree in steps.
STEPS_FOLLOW: Final = {
    "intermediate_images": "intermediate_steps",
    "finetune_images": "finetune_steps",
    "finetune_recipe": "finetune_steps",
}


_SPLIT: Final = re.compile(r"\+split=([^+]*)")


def split_of(recipe: object) -> str:
    """Which split of labelled and test images a fine-tuning recipe names; '' for the usual one."""
    return "".join(_SPLIT.findall(str(recipe)))


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Positions in the runs table of the two runs of each pair."""

    treatment: list[int]
    """Shape (pairs,)."""
    baseline: list[int]
    """Shape (pairs,); one baseline run may stand in several pairs."""
    matched_on: tuple[str, ...]
    """Columns in which the two runs of a pair are equal."""
    unmatched_treatment: int
    """Treatment runs without a partner."""
    baseline_runs: frozenset[int]
    """All baseline runs, matched or not."""


def match_columns(columns: Sequence[str], *, factor: str, values: Sequence[Any]) -> tuple[str, ...]:
    """The settings among `columns` that two runs must share if they differ in `factor` by these
    values.

    Against a run without pre-training (0 images, or a missing source, recipe or length) nothing
    that describes the pre-training can be matched; between two pre-trainings all of it must be, but
    the factor. The same holds for the intermediate stage.
    """
    freed = {factor, STEPS_FOLLOW.get(factor, factor)}
    for family in (PRETRAIN, INTERMEDIATE):
        if factor in family and any(pd.isna(value) or value in (0, "none") for value in values):
            freed |= set(family)
    return tuple(name for name in SETTINGS if name in columns and name not in freed)


def match_runs(runs: pd.DataFrame, *, factor: str, baseline: Any, treatment: Any, match: Sequence[str] | None) -> Matches:
    """Pairs the runs. Raises AnalysisError where two runs are equal in all settings."""
    on = match_columns(list(runs.columns), factor=factor, values=(baseline, treatment)) if match is None else tuple(match)
    positions = {value: _positions(runs, factor, value) for value in (baseline, treatment)}
    keys = _keys(runs, on)
    partner: dict[Hashable, int] = {}
    for position in positions[baseline]:
        if keys[position] in partner:
            raise AnalysisError(
                f"two runs with {factor} = {format_setting(baseline)} are equal in all settings ({_format_key(on, keys[position])}): "
                f"keep one of them, or name in match= the columns that must agree."
            )
        partner[keys[position]] = position
    whole = _keys(runs, tuple(dict.fromkeys((*on, *(name for name in SETTINGS if name in runs.columns)))))
    seen: set[Hashable] = set()
    for position in positions[treatment]:
        if whole[position] in seen:
            raise AnalysisError(
                f"two runs with {factor} = {format_setting(treatment)} are equal in all settings ({_format_key(on, keys[position])}): keep one of "
                f"them, or name in match= the columns that must agree."
            )
        seen.add(whole[position])
    found = [position for position in positions[treatment] if keys[position] in partner]
    return Matches(
        treatment=found,
        baseline=[partner[keys[position]] for position in found],
        matched_on=on,
        unmatched_treatment=len(positions[treatment]) - len(found),
        baseline_runs=frozenset(positions[baseline]),
    )


def check_value_exists(runs: pd.DataFrame, with_outcome: pd.DataFrame, *, factor: str, value: Any, outcome: str) -> None:
    """Raises AnalysisError where no run with the outcome has this value of the factor."""
    if not _positions(runs, factor, value):
        there = sorted(runs[factor].dropna().unique().tolist(), key=lambda one: (isinstance(one, str), one))
        raise AnalysisError(
            f"no run has '{factor}' = {format_setting(value)}: its values are {', '.join(map(format_setting, there)) or 'all missing'}."
        )
    if not _positions(with_outcome, factor, value):
        raise AnalysisError(f"no run with {factor} = {format_setting(value)} has '{outcome}' yet: finish one, or name another outcome.")


def why_none(runs: pd.DataFrame, *, factor: str, baseline: Any, treatment: Any, on: Sequence[str]) -> str:
    """A clause that names the settings in which no treatment run equals a baseline run."""
    sides = [runs.iloc[_positions(runs, factor, value)] for value in (treatment, baseline)]
    for name in on:
        values = [sorted({format_setting(value) for value in side[name].dropna()}) or ["missing"] for side in sides]
        if not set(values[0]) & set(values[1]):
            return f"they never agree in '{name}' ({', '.join(values[0][:3])} against {', '.join(values[1][:3])})"
    return f"they agree in each of {', '.join(on)}, but never in all of them at once"


def _positions(runs: pd.DataFrame, factor: str, value: Any) -> list[int]:
    return [position for position, one in enumerate(runs[factor].tolist()) if one == value]


def _keys(runs: pd.DataFrame, on: Sequence[str]) -> list[tuple[Hashable, ...]]:
    columns = [[None if pd.isna(value) else value for value in runs[name].tolist()] for name in on]
    return list(zip(*columns, strict=True)) if columns else [()] * len(runs)


def _format_key(on: Sequence[str], key: Hashable) -> str:
    assert isinstance(key, tuple)
    shown = [f"{name} {format_setting(value)}" for name, value in zip(on, key, strict=True) if value is not None]
    return ", ".join(shown[:6]) or "there are none"
