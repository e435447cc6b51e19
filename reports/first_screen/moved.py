"""What moved the score: one row for each axis that the study varies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from analysis import AnalysisError, MainEffects, main_effects
from analysis.factorial.wording import ALPHA, CHOSEN
from analysis.plots.labels import in_one_form, told_apart
from reports.charts.first_screen import moved_score
from reports.first_screen.levels import level_text
from reports.page import Figure, Panel, make_table
from reports.score import Score
from reports.theme import decimals, signed
from reports.wording import sentence

MOST_ROWS: Final = 6
"""Axes on the first screen; the table under it has all."""
MOST_SEEDS: Final = 10
LONGEST: Final = 31
"""Letters under the name of an axis."""
SHOWN: Final = ["name", "low_level", "high_level", "where", "effect", "low", "high", "p_holm", "per_doubling", "share", "n_pairs", "n_seeds", "note"]


def moved_figure(effects: MainEffects, table: pd.DataFrame, score: Score, axes: Sequence[str] | None = None) -> Figure | None:
    """The figure with its wide and its phone chart; None where no effect could be estimated.

    `axes` are the columns of a table that is no study, which tells repeated runs apart by `seed`.
    """
    known = effects.table[np.isfinite(effects.table["effect"].to_numpy(dtype=float))].head(MOST_ROWS)
    if known.empty:
        return None
    rows = pd.DataFrame(
        {
            "name": [str(row["name"]) if axes is not None else _name(row) for row in known.to_dict("records")],
            "levels": [_compared(row) for row in known.to_dict("records")],
            "value": [signed(value, effects.places) for value in known["effect"]],
            "effect": known["effect"].to_numpy(),
            "low": known["low"].to_numpy(),
            "high": known["high"].to_numpy(),
            "sure": (known["p_holm"] < ALPHA).to_numpy(),
        }
    )
    seeds = seed_effects(effects, table, score, axes)
    keys = dict(zip(zip(known["axis"], known["kind"], strict=True), rows["name"], strict=True))
    seeds = seeds.assign(name=[keys.get(key, "") for key in zip(seeds["axis"], seeds["kind"], strict=True)])
    seeds = seeds.loc[seeds["name"] != ""]
    noise = effects.noise_sd
    domain = _domain(rows, seeds, noise)
    charts = [
        moved_score(rows, seeds[["name", "seed", "effect"]], noise=noise, x_title=score.title, x_domain=domain, phone=phone)
        for phone in (False, True)
    ]
    held = [sentence(one) for one in effects.sentences()]
    return Figure(
        identity="figure-moved",
        claim="What moved the score",
        subtitle=_subtitle(effects, known, score, bool(len(seeds))),
        description=" ".join(held),
        panels=(Panel(identity="moved-score", chart=charts[0], narrow=charts[1], alternative=" ".join(held[: len(rows)])),),
        tables=(
            make_table(effects.table, caption="Main effects; the CSV has every column", file_name="main_effects.csv", shown=SHOWN),
            *(
                (make_table(effects.interactions, caption="Interactions of two axes", file_name="interactions.csv", shown=_INTERACTIONS),)
                if len(effects.interactions)
                else ()
            ),
        ),
    )


_INTERACTIONS: Final = ["name", "by_name", "by_low", "by_high", "effect_at_low", "effect_at_high", "difference", "low", "high", "p_holm", "n_pairs"]


def seed_effects(effects: MainEffects, table: pd.DataFrame, score: Score, axes: Sequence[str] | None = None) -> pd.DataFrame:
    """The same effects in each seed alone: axis, kind, seed, effect. Empty without seeds."""
    columns = ["axis", "kind", "seed", "effect"]
    if effects.n_seeds < 2 or effects.n_seeds > MOST_SEEDS:
        return pd.DataFrame(columns=columns)
    parts = []
    levels = {(row["axis"], row["kind"]): (row["low_level"], row["high_level"]) for row in effects.table.to_dict("records")}
    for seed, part in table.groupby("seed", sort=True):
        try:
            own = main_effects(part.reset_index(drop=True), outcome=score.column, axes=axes, interactions=False).table
        except AnalysisError:
            continue  # a seed of which too little is finished
        for row in own.to_dict("records"):
            if np.isfinite(row["effect"]) and levels.get((row["axis"], row["kind"])) == (row["low_level"], row["high_level"]):
                parts.append((row["axis"], row["kind"], seed, row["effect"]))
        for row in effects.table.loc[[_chosen(one) for _, one in effects.table.iterrows()]].to_dict("records"):
            # Another pair of levels may differ most in one seed alone.
            parts = [one for one in parts if (one[0], one[2]) != (row["axis"], seed)]
            parts += [(row["axis"], row["kind"], seed, one) for one in _of_the_same_levels(part, row, score, axes)]
    return pd.DataFrame(parts, columns=columns)


def _of_the_same_levels(part: pd.DataFrame, row: dict[Any, Any], score: Score, axes: Sequence[str] | None) -> list[float]:
    """The effect of one seed between the two levels of a row; empty where it has none."""
    two = part.loc[part[row["axis"]].isin([row["low_level"], row["high_level"]])].reset_index(drop=True)
    try:
        table = main_effects(two, outcome=score.column, axes=axes, interactions=False).table
    except AnalysisError:
        return []
    own = table.loc[(table["axis"] == row["axis"]) & np.isfinite(table["effect"].to_numpy(dtype=float))]
    return [float(one["effect"]) * (1.0 if one["low_level"] == row["low_level"] else -1.0) for one in own.to_dict("records")]


def _name(row: dict[Any, Any]) -> str:
    """The name of a row: 'Model size', 'Spatial stage', 'Pre- and fine-tuning recipe'."""
    name = str(row["name"]).removeprefix("intermediate ") if row["kind"] else str(row["name"])
    name = name.replace("pre-training and fine-tuning ", "pre- and fine-tuning ")
    return name[0].upper() + name[1:]


def _compared(row: dict[Any, Any]) -> str:
    """'100,000 → 512,000 passes, × 5'; of a setting without an order '3 levels: mae → simmim'."""
    low, high = in_one_form([level_text(row[end]) for end in ("low_level", "high_level")])
    if row["axis"] == "pretrain_length":  # not to be taken for the number of pre-training images
        low, high = (text.replace(" images", " passes").replace(" image", " pass") for text in (low, high))
    unit = high.partition(" ")[2]
    if unit and low.endswith(f" {unit}"):
        low = low.removesuffix(f" {unit}")
    ratio = float(str(row["ratio"]))
    text = f"{low} → {high}"
    if np.isfinite(ratio) and ratio >= 1.5:
        times = f", × {ratio:.2g}" if ratio < 10 and abs(ratio - round(ratio)) > 0.15 else f", × {ratio:,.0f}"
        if 10.0 < ratio < 1000.0 and abs(ratio - round(ratio, 1)) < 1e-9:
            times = f", × {ratio:g}"  # 62.5, which is neither 62 nor 63
        text += times if len(text + times) <= LONGEST else ""
    if row["where"]:
        where = f", {str(row['where']).partition(', ')[0]}"
        text += where if len(text + where) <= LONGEST else ""
    elif _chosen(row):
        text = f"{row['levels']} levels: {text if len(text) <= LONGEST - 10 else 'farthest apart'}"
    return text if len(text) <= LONGEST else _shorter(low, high)


def _shorter(low: str, high: str) -> str:
    """Two long levels in one line, of which the part that differs is kept: 'vit → …+crop=64'."""
    for place in [found.start() for found in re.finditer(r"[+=,/ @-]", high)]:
        text = f"{low} → …{high[place:]}"
        if low.startswith(high[:place]) and len(text) <= LONGEST:
            return text
    return " → ".join(told_apart([low, high], LONGEST // 2 - 1))


def _domain(rows: pd.DataFrame, seeds: pd.DataFrame, noise: float) -> tuple[float, float]:
    """From the farthest end to the farthest end, and zero; an end of an interval far beyond all
    effects does not stretch the axis.
    """
    most = float(rows["effect"].abs().max()) or 0.01
    ends = np.concatenate([rows[["effect", "low", "high"]].to_numpy(dtype=float).ravel(), seeds["effect"].to_numpy(dtype=float), [0.0]])
    ends = np.clip(ends[np.isfinite(ends)], -4 * most, 4 * most)
    if np.isfinite(noise):
        ends = np.append(ends, np.clip([-noise, noise], -4 * most, 4 * most))
    low, high = float(ends.min()), float(ends.max())
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _chosen(row: dict[Any, Any] | pd.Series) -> bool:
    """Whether the two levels of a row are the two of several that differ most."""
    return bool(CHOSEN in row["note"])


def _subtitle(effects: MainEffects, known: pd.DataFrame, score: Score, has_seeds: bool) -> str:
    text = f"Change in {score.title} from the lowest to the highest setting, all else equal"
    if (known["where"] != "").any():
        text += ", or as far apart as pairs of runs are"
    if (known["kind"] != "").any():
        text += "; each kind against none"
    if any(_chosen(row) for _, row in known.iterrows()):
        text += "; without an order, between the two levels that differ most among pairs that runs have, its interval corrected for that choice"
    number = int(np.isfinite(effects.table["p_holm"].to_numpy(dtype=float)).sum())
    hollow = "hollow where it holds zero"
    if number > 1:
        hollow = f"hollow where zero is not excluded after correction over all {number}"
    text += f". Bar: {effects.level:.0%} interval, {hollow}"
    text += "; ticks: seeds" if has_seeds else ""
    text += f"; grey: noise between runs, ±{decimals(effects.noise_sd, effects.places)}" if np.isfinite(effects.noise_sd) else ""
    return f"{text}." + (f" The {MOST_ROWS} largest of {len(effects.table)}." if len(known) < len(effects.table) else "")
