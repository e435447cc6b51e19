"""The scaling plot of the first screen: the axis that its laws are drawn for, and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from analysis import AnalysisError, Fit, MainEffects, fit, independent_groups, summarise_cells
from analysis.factorial.axes import PRETRAINING, Axis, axes_of
from analysis.factorial.lengths import with_epochs
from analysis.factorial.result import ALPHA, comparison
from analysis.formatting import places_of_effects
from analysis.plots.labels import short_number, told_apart
from reports.charts.first_screen import scaling_plot
from reports.first_screen.bands import band_text, without_bands_as_wide_as_the_plot
from reports.first_screen.groups import SCRATCH_NAME, colours_of, group_of, is_scratch, scratch_by_model, scratch_of, with_law
from reports.first_screen.levels import is_plural, level_name, level_names, level_text, subject_of, turning_title
from reports.first_screen.mixes import AXIS_OF, alike, apart_text, left_out_text, spans
from reports.page import Figure, Panel, make_table
from reports.score import Score
from reports.theme import SCRATCH, count, decimals, padded_domain, signed
from reports.wording import joined, title

LEVEL: Final = 0.95
"""As everywhere on the first screen."""
REACH: Final = 2.0
LONGEST: Final = 22
"""Letters at the end of a line; on a phone half of it."""
MOST_SHADES: Final = 6
MOST_DOTS: Final = 2000
DOT_STEP: Final = 0.016
"""From the dots of one line to those of the next, as a share of the measured range: 7 px of 460."""
PLOT_COLUMNS: Final = ("x", "score", "group", "shade", "seed", "run_id", "unit", "place")
SIZES: Final = (
    ("finetune_images", "labelled images for fine-tuning", "labels"),
    ("pretrain_images", "pre-training images", "pre-training images"),
    ("encoder_params", "parameters of the encoder", "parameters"),
    ("pretrain_image_passes", "images shown in pre-training", "image passes"),
    ("intermediate_images", "intermediate images", "images"),
)
"""Columns that the horizontal axis may show, by preference, with their title and short unit."""


@dataclass(frozen=True, kw_only=True)
class OwnColumns:
    """The columns of a table that is no study: what lies along the axis, and what may divide it."""

    x: str
    x_title: str
    axes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling:
    """What the plot draws."""

    x: str
    """The column along the axis."""
    x_title: str
    x_unit: str
    group: Axis | None
    """The axis with a law a level; None where there is one law."""
    shade: Axis | None
    """The axis that shades and places the dots; None where none does."""
    points: pd.DataFrame
    curves: pd.DataFrame
    ends: pd.DataFrame
    colours: dict[str, str]
    shades: dict[str, str]
    fits: dict[str, Fit]
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a group has no law."""
    only: str = ""
    """Which runs are drawn, where not all are: 'without an intermediate stage'."""
    pooled: tuple[str, ...] = ()
    """Columns of the axes over which a law is a mean, as a table that is no study calls them."""
    apart: tuple[str, ...] = ()
    """Groups without a line, since no setting is there at all of their sizes."""
    own: OwnColumns | None = None
    """The columns, where the table is no study."""


def scaling_figure(table: pd.DataFrame, effects: MainEffects | None, score: Score, own: OwnColumns | None = None) -> Figure | None:
    """The figure with its wide and its phone chart; None where no size takes two values.

    `own` names the columns of a table that is no study.
    """
    found = scaling_of(table, effects, score, own)
    if found is None:
        return None
    inner = found.curves.loc[~found.curves["extrapolated"].astype(bool)] if len(found.curves) else found.curves
    low, high = float(found.points["score"].min()), float(found.points["score"].max())
    spare = 0.3 * (high - low) or 0.05
    beyond = found.curves["mean"].clip(low - spare / 3, high + spare / 3)
    domain = padded_domain(found.points["score"], beyond, inner["low"].clip(lower=low - spare), inner["high"].clip(upper=high + spare))
    domain = score.clipped(domain)
    drawn, hidden = without_bands_as_wide_as_the_plot(found.curves, domain)
    charts = []
    for phone in (False, True):
        names = {False: "name", True: "short_name"}[phone]
        detail = {False: "detail", True: "short_detail"}[phone]
        longest = LONGEST // 2 if phone and own is not None else LONGEST
        ends = found.ends[["group", "y"]].assign(name=told_apart(list(found.ends[names]), longest), detail=found.ends[detail])
        charts.append(
            scaling_plot(
                found.points,
                drawn,
                ends,
                colours=found.colours,
                shades=found.shades,
                x_title=found.x_title,
                y_title=score.title,
                y_domain=domain,
                dotted=[name for name in found.colours if is_scratch(name) and name != SCRATCH_NAME],
                phone=phone,
            )
        )
    words = "; ".join(f"{row['name'] or 'all runs'}: {row['detail']}" for row in found.ends.to_dict("records"))
    description = f"{score.start} against {found.x_title}. {words}."
    tables = [make_table(found.points.drop(columns=["place"]), caption="Runs (the dots)", file_name="scaling_runs.csv")]
    if len(found.curves):
        tables.append(make_table(found.curves, caption="Laws along the axis (lines and bands)", file_name="scaling_laws.csv"))
    return Figure(
        identity="figure-scaling",
        claim=claim_of(found, effects, score),
        subtitle=_subtitle(found, effects, hidden),
        description=description,
        panels=(Panel(identity="scaling-plot", chart=charts[0], narrow=charts[1], alternative=description),),
        notes=tuple(f"No law is drawn{f' ({name})' if name else ' here'}: {reason}" for name, reason in found.reasons.items()),
        tables=tuple(tables),
    )


def scaling_of(table: pd.DataFrame, effects: MainEffects | None, score: Score, own: OwnColumns | None = None) -> Scaling | None:
    """Chooses the axes and fits the laws."""
    known = SIZES if own is None else ((own.x, own.x_title, own.x_title),)
    sizes = [one for one in known if one[0] in table.columns and table.loc[table[one[0]] > 0, one[0]].nunique() > 1]
    if not sizes:
        return None
    x, x_title, x_unit = sizes[0]
    table = with_epochs(table) if own is None else table
    axes = {axis.column: axis for axis in axes_of(table, None if own is None else own.axes)}
    ranked = list(dict.fromkeys(map(str, effects.table["axis"]))) if effects is not None else list(axes)
    same = {x, "encoder"} if x == "encoder_params" else {x, "pretrain_length"} if x == "pretrain_image_passes" else {x}
    others = [axes[name] for name in ranked if name in axes and name not in same]
    keep = np.ones(len(table), dtype=bool)
    size = table[x].to_numpy(dtype=float)
    group = group_of([axis for axis in others if spans(axis, size, keep)] or others, effects)
    only = ""
    if "intermediate" in axes and (group is None or group.column != "intermediate"):
        plain = (table["intermediate"] == "none").to_numpy()
        if plain.any() and table.loc[plain, x].nunique() == table[x].nunique():
            keep, only = plain, "without an intermediate stage"
    split = own is None and "pretrain_images" in table.columns and PRETRAINING in axes
    scratch = (table["pretrain_images"] == 0).to_numpy() if split else np.zeros(len(table), dtype=bool)
    drop = {group.column if group else "", PRETRAINING, "intermediate" if only else ""}
    rest = [axis for axis in others if axis.column not in drop]
    frame = pd.DataFrame({"x": table[x].astype(float), "score": table[score.column].astype(float)})
    if group is None or group.column == PRETRAINING:
        names = ["pre-trained" if split else ""]
        code = np.zeros(len(table), dtype=np.int64)
    else:
        names = level_names(group)
        code = group.code
    by_model = scratch_by_model(group)
    own_scratch = np.array([scratch_of(name) for name in names])[np.clip(code, 0, None)] if by_model else SCRATCH_NAME
    frame["group"] = np.where(scratch, own_scratch, np.where(code >= 0, np.array(names)[np.clip(code, 0, None)], ""))
    keep = keep & (scratch | (code >= 0))
    before, along = keep, axes.get(AXIS_OF.get(x, x))
    held = list(own.axes) if own is not None else list(along.blocks) if along is not None else []
    keep, apart = alike(table, x, frame["group"].to_numpy(), keep, [name for name in held if name != x and (group is None or name != group.column)])
    only = ", ".join(one for one in (only, left_out_text(table, rest, before, keep)) if one)
    shade = next((axis for axis in rest if axis.ordered and 1 < len(np.unique(axis.code[keep & (axis.code >= 0)])) <= MOST_SHADES), None)
    shade_names = [level_name(shade.column, level) for level in shade.levels] if shade else []
    shade_code = np.where(scratch, -1, shade.code) if shade else np.full(len(table), -1)
    lines = "none" if not (scratch & keep).any() else "each" if by_model else "one"
    colours, by_place = colours_of(names, len(shade_names), ordered=group is None or group.ordered, scratch=lines)
    shown = np.where(shade_code >= 0, np.array([*shade_names, ""])[shade_code], "")
    frame["shade"] = [f"{one} · {other}" if other else one for one, other in zip(frame["group"], shown, strict=True)]
    shades = {}
    for name, place, label in zip(frame["group"], shade_code, frame["shade"], strict=True):
        shades[str(label)] = by_place.get((str(name), int(place)), colours.get(str(name), SCRATCH))
    if group is not None and group.column != PRETRAINING:
        frame[_free_name(group.name)] = [level_text(group.levels[place]) if place >= 0 else "none" for place in code]
    if shade is not None:
        frame[_free_name(shade.name)] = np.array([*map(level_text, shade.levels), "none"])[shade.code]
    for column in ("seed", "run_id"):
        if column in table.columns:
            frame[column] = table[column].to_numpy()
    grouped = "seed" in table.columns and ("n_runs" not in table.columns or own is not None)
    frame["unit"] = independent_groups(table) if grouped else np.arange(len(table))
    kept = frame.loc[keep & (frame["x"] > 0).to_numpy() & np.isfinite(frame["score"].to_numpy())].reset_index(drop=True)
    if kept.empty or kept["x"].nunique() < 2:
        return None
    drawn = [name for name in colours if (kept["group"] == name).any()]
    colours = {name: colours[name] for name in drawn}
    each_row = grouped or (own is not None and "n_runs" not in table.columns)
    curves, fits, reasons = _laws(kept, [name for name in with_law(drawn, group) if name not in apart], grouped=each_row)
    points = _dodged(kept, [SCRATCH_NAME, *shade_names], shade.name if shade else "")
    if len(points) > MOST_DOTS:
        points = points.groupby(["group", "shade", "x", "place"], sort=False)["score"].mean().reset_index()
    pooled = tuple(axis.column if own is None else axis.name for axis in rest if axis.column != "finetune_images")
    return Scaling(
        x=x,
        x_title=x_title,
        x_unit=x_unit,
        group=group,
        shade=shade,
        points=points.drop(columns=["unit"], errors="ignore"),
        curves=curves,
        ends=_ends(kept, curves, drawn, group, x_unit),
        colours=colours,
        shades={name: colour for name, colour in shades.items() if name in set(kept["shade"])},
        fits=fits,
        reasons=reasons,
        only=only,
        pooled=pooled,
        apart=apart,
        own=own,
    )


def _free_name(name: str) -> str:
    """The name of an axis as a column beside the plot's own."""
    return f"{name} (column)" if name in PLOT_COLUMNS else name


def _laws(kept: pd.DataFrame, drawn: list[str], *, grouped: bool) -> tuple[pd.DataFrame, dict[str, Fit], dict[str, str]]:
    """A power law with an offset for each group; where there is none, the means of its cells."""
    columns = ["group", "x", "mean", "low", "high", "extrapolated"]
    parts, fits, reasons = [pd.DataFrame(columns=columns)], {}, {}
    for name in drawn:
        part = kept.loc[kept["group"] == name].reset_index(drop=True)
        try:
            fitted = fit(part["x"], part["score"], law="power", level=LEVEL, cluster=part["unit"] if grouped else None)
        except AnalysisError as error:
            reasons[name] = str(error)
        else:
            if fitted.status != "not identified":
                fits[name] = fitted
                parts.append(_curve(name, fitted)[columns])
                continue
            reasons[name] = fitted.status_detail or "The data cannot tell the law's parameters."
        means = summarise_cells(part, by=["x"], outcome="score", level=LEVEL) if grouped else part.groupby("x")["score"].mean().reset_index()
        means = means.rename(columns={"score": "mean"}).assign(group=name, extrapolated=False)
        for end in ("low", "high"):
            means[end] = means[end] if end in means.columns else np.nan
        parts.append(means[columns])
    filled = [part for part in parts if len(part)]
    return (pd.concat(filled, ignore_index=True) if filled else parts[0]), fits, reasons


def _curve(name: str, fitted: Fit) -> pd.DataFrame:
    inside = np.geomspace(fitted.x_min, fitted.x_max, 40)
    inside[[0, -1]] = fitted.x_min, fitted.x_max  # geomspace may miss its own end by one rounding
    beyond = np.geomspace(fitted.x_max, fitted.x_max * REACH, 12)
    parts = [fitted.predict(where).to_frame().assign(extrapolated=beyond_data) for where, beyond_data in ((inside, False), (beyond, True))]
    return pd.concat(parts, ignore_index=True).assign(group=name)


def _dodged(kept: pd.DataFrame, order: list[str], shade: str) -> pd.DataFrame:
    """The dots with `place`: those of one size side by side, scratch and then shade by shade, so near
    that they are seen to belong to the line at their size.
    """
    sizes = np.log(np.sort(kept["x"].unique()))
    room = 0.42 * float(np.diff(sizes).min()) if len(sizes) > 1 else 0.1
    room = min(room, 0.12 * float(sizes[-1] - sizes[0])) if len(sizes) > 1 else room
    key = kept["shade"].str.partition(" · ")[2].where(~kept["group"].map(is_scratch), SCRATCH_NAME)
    there = [name for name in order if (key == name).any()] or [""]
    if not shade:  # by group, where no shade tells the dots apart
        key, there = kept["group"], list(dict.fromkeys(kept["group"]))
        there = [name for name in there if is_scratch(name)] + [name for name in there if not is_scratch(name)]
    room = min(room, DOT_STEP * float(sizes[-1] - sizes[0]) * (len(there) - 1)) if len(sizes) > 1 else room
    number = key.map({name: place for place, name in enumerate(there)}).fillna(0).to_numpy(dtype=float)
    shift = (number - (len(there) - 1) / 2) * room / max(1, len(there) - 1) if len(there) > 1 else np.zeros(len(kept))
    return kept.assign(place=kept["x"] * np.exp(shift))


def _ends(kept: pd.DataFrame, curves: pd.DataFrame, drawn: list[str], group: Axis | None, unit: str) -> pd.DataFrame:
    """The name of each line, and its height where the measured sizes end."""
    rows, places, preposition = [], places_of_effects(float(np.ptp(kept["score"]))), "with" if unit == "labels" else "at"
    # Where one line stops with the data, all are named at their heights there, in that order.
    reach = [curves.loc[curves["group"] == name, "extrapolated"].astype(bool).any() for name in with_law(drawn, group)]
    for name in with_law(drawn, group):
        own = curves.loc[curves["group"] == name]
        inner = own.loc[~own["extrapolated"].astype(bool)]
        if inner.empty:
            continue
        last = inner.iloc[-1]
        short = name
        if group is not None and group.column != PRETRAINING and name != SCRATCH_NAME:
            level = group.levels[level_names(group).index(name.removesuffix(f" {SCRATCH_NAME}"))]
            short = level_name(group.column, level, short=True) + (" scratch" if is_scratch(name) else "")
        rows.append(
            {
                "group": name,
                "name": name if name == SCRATCH_NAME else name.replace(SCRATCH_NAME, "scratch"),
                "short_name": short.removeprefix("from "),
                "detail": f"{decimals(float(last['mean']), places)} {preposition} {_size(float(last['x']))} {_short_unit(unit)}".rstrip(),
                "short_detail": f"{decimals(float(last['mean']), places)} at {short_number(float(last['x']))}",
                "y": float((own if all(reach) else inner)["mean"].iloc[-1]),
            }
        )
    return pd.DataFrame(rows, columns=["group", "name", "short_name", "detail", "short_detail", "y"])


def _short_unit(unit: str) -> str:
    """A unit that has room beside a number; '' for one that has not."""
    short = unit.removeprefix("pre-training ")
    return short if len(short) <= LONGEST // 2 else ""


def claim_of(found: Scaling, effects: MainEffects | None, score: Score) -> str:
    """The title: what the axis with the laws does, in under 14 words."""
    if effects is None or found.group is None:
        means = found.points.groupby("x")["score"].mean()
        change = "rises" if means.iloc[-1] > means.iloc[0] else "falls"
        sizes = f"{short_number(float(means.index[0]))} to {short_number(float(means.index[-1]))}"
        span = " to ".join(decimals(one, places_of_effects(float(np.ptp(means)))) for one in means.iloc[[0, -1]])
        start = f"{score.start} {change} from {span}"
        return title(f"{start} with {found.x_unit} ({sizes})", start)
    row = effects.table.loc[effects.table["axis"] == found.group.column].iloc[0]
    own_subject = found.own is not None or bool(found.group.also or row["kind"])
    subject = comparison(row) if own_subject else subject_of(found.group.column, found.group.name)
    subject = subject[0].upper() + subject[1:]
    if turned := turning_title(effects, found.group.column):
        return title(turned, f"Which {found.group.name} has the higher {score.title} depends on the other settings")
    if not row["p_holm"] < ALPHA:
        if row["low"] > 0 or row["high"] < 0:
            change = f"{signed(row['effect'], effects.places)} {score.title}"
            return title(f"{subject}: {change}, not shown after correction over all settings", f"{subject}: {change}")
        told = f"{effects.n_seeds} seeds" if effects.n_seeds > 1 else "one seed" if effects.n_seeds == 1 else effects.without_seeds
        return title(f"{subject}: no difference in {score.title} that {told} can tell", f"{subject}: no difference that {told} can tell")
    verb = "raises" if row["effect"] > 0 else "lowers"
    if subject.startswith("More ") or (own_subject and is_plural(subject)):
        verb = verb.removesuffix("s")
    if not row["kind"] and (not found.group.ordered or found.group.column == "encoder"):
        ends = [level_text(row[end]) for end in (("high_level", "low_level") if row["effect"] > 0 else ("low_level", "high_level"))]
        return title(f"{ends[0]} has a higher {score.title} than {ends[1]}", f"{subject} {verb} {score.title}", f"{score.start} by {found.x_title}")
    where = "on average" if row["kind"] or row["where"] else _where(found, verb.startswith("raise"))
    return f"{subject} {verb} {score.title} {where}"


def _size(number: float) -> str:
    return count(number) if number < 1e6 else short_number(number)


def _where(found: Scaling, up: bool) -> str:
    """'at every number of labels' where the lines' ends say so at each size, else 'on average'."""
    names = [name for name in found.colours if not is_scratch(name)]
    means = found.points.pivot_table(index="x", columns="group", values="score", aggfunc="mean")
    low = SCRATCH_NAME if found.group is not None and found.group.column == PRETRAINING else names[0]
    if low not in means.columns or names[-1] not in means.columns or low == names[-1] or {low, names[-1]} & set(found.apart):
        return "on average"
    difference = (means[names[-1]] - means[low]).dropna()
    every = bool(len(difference)) and bool(((difference > 0) == up).all())
    return ("at every number of labels" if found.x_unit == "labels" else "at every size") if every else "on average"


def _subtitle(found: Scaling, effects: MainEffects | None, hidden: Sequence[str] = ()) -> str:
    each = "One dot is one run" if "run_id" in found.points.columns else "One dot is the mean of equal runs"
    each = "One dot is one row" if found.own is not None and "run_id" not in found.points.columns else each
    text = f"{each}{f', {found.only}' if found.only else ''}."
    if SCRATCH_NAME in found.colours and found.group is not None and len(found.colours) > 2 and not found.group.column.startswith("pretrain"):
        text += f" The line {SCRATCH_NAME} is over {'all' if found.group.name.endswith('s') else 'every'} {found.group.name} together."
    if any(is_scratch(name) and name != SCRATCH_NAME for name in found.colours):
        text += f" Dotted, hollow: {SCRATCH_NAME}."
    if found.own is None and "encoder" in found.pooled:
        text += " Each line is over all models together."
    if found.own is not None and found.pooled and len(found.curves):
        text += f" Each line is over all values of {joined(found.pooled)}."
    text += apart_text([name for name in found.colours if name in found.apart])
    if bare := [name for name in found.colours if len(found.curves) and name not in {*found.curves["group"], *found.apart}]:
        text += f" Dots without a line: {joined(bare) if len(bare) <= MOST_SHADES else f'{len(bare)} levels between'}."
    if found.shade is not None:
        shown = found.points[_free_name(found.shade.name)] if _free_name(found.shade.name) in found.points.columns else None
        there = [level for level in found.shade.levels if shown is None or level_text(level) in set(shown)]
        levels = [level_name(found.shade.column, level, short=True) for level in there]
        scratch = [SCRATCH_NAME.removeprefix("from ")] if any(map(is_scratch, found.colours)) else []
        text += f" Side by side: {joined([*scratch, *levels])}."
    return text + band_text(found.curves, laws=bool(found.fits), means=bool(found.reasons), level=LEVEL, hidden=hidden)
