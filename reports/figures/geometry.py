"""What the encoders have learned, from the diagnostics of their stages: similarity, variances,
patch probe, rank, CKA and heat maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import pandas as pd

from analysis import summarise_cells
from reports.charts.arms import values_by_arm
from reports.charts.geometry import attention_by_layer, similarity_by_distance, value_by_encoder
from reports.diagnostics import Diagnostics, read_diagnostics
from reports.evidence import LEVEL, Evidence
from reports.page import Figure, Panel, PictureBlock, Section, make_table
from reports.pictures import gallery
from reports.registry import FigureKind, SectionKind, register
from reports.series import panels_of, series_phrase
from reports.theme import count, decimals, padded_domain, signed
from reports.wording import joined

LEGEND = "pre-training images"
FEWEST_ROWS = 3
"""Panels from which on a measure has one chart with a row for each."""
UNTRAINED = "'none' had no pre-training; where it had no intermediate stage either, it was never trained."


@lru_cache(maxsize=1)
def _diagnostics(evidence: Evidence) -> Diagnostics | None:
    found = read_diagnostics(evidence.study.folder / "stages", once_each(evidence.runs))
    return None if found is None or found.encoders.empty else found


def once_each(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with one panel for all whose encoders are the same, under what their names share:
    panels that differ in fine-tuning alone were fine-tuned from the same encoders.
    """
    stages = runs["intermediate_id"].fillna(runs["pretrain_id"]).fillna("")
    encoders: dict[frozenset[tuple[object, ...]], list[str]] = {}
    for panel in dict.fromkeys(runs["panel"]):
        part = runs["panel"] == panel
        one = frozenset(zip(runs.loc[part, "encoder"], runs.loc[part, "series"], runs.loc[part, "seed"], stages[part], strict=True))
        encoders.setdefault(one, []).append(str(panel))
    names = {panel: _shared_name(panels) if len(panels) > 1 else panel for panels in encoders.values() for panel in panels}
    if len(set(names.values())) < len(encoders):  # what names share is the name of another panel
        names = {panel: panels[0] for panels in encoders.values() for panel in panels}
    return runs.assign(panel=runs["panel"].map(names))


def _shared_name(panels: Sequence[str]) -> str:
    """The parts that all names of panels have: 'no intermediate stage'."""
    return ", ".join(part for part in panels[0].split(", ") if all(part in one.split(", ") for one in panels))


def _if_measured(build: Callable[[Diagnostics, Evidence], Figure]) -> Callable[[Evidence], Figure | str]:
    """The figure of an evidence from one of its diagnostics."""

    def figure(evidence: Evidence) -> Figure | str:
        found = _diagnostics(evidence)
        return "" if found is None else build(found, evidence)

    return figure


def attention_distance(evidence: Evidence) -> Figure | str:
    """Attention distance by layer, where an encoder has attention."""
    found = _diagnostics(evidence)
    return "" if found is None or found.attention.empty else _attention(found, evidence)


def patch_probe(evidence: Evidence) -> Figure | str:
    """Accuracy of the patch probe, where there is one."""
    found = _diagnostics(evidence)
    return "" if found is None or found.encoders["probe"].isna().all() else _probe(found, evidence)


def with_diagnostics(evidence: Evidence, section: Section) -> Section:
    """The section with what was measured on and with the heat maps, or how to measure."""
    found = _diagnostics(evidence)
    if found is None:
        command = f"python -m trials.diagnose runs/{evidence.study.name} --store data/store"
        description = f"The encoders have not been measured yet; to do so, run {command} with the store that the study was trained from."
        return replace(section, paragraphs=(description,))
    paragraphs = [
        f"Measured on {count(found.images)} held-out images of {found.source}, on which no pre-training or intermediate stage was trained, with "
        f"the encoder frozen as the fine-tuning received it. {UNTRAINED} Intervals are {100 * LEVEL:g}% for the mean over seeds."
    ]
    if found.no_probe:
        paragraphs.append(found.no_probe)
    if found.missing:
        of = "encoder of a finished run was" if found.missing == 1 else "encoders of finished runs were"
        paragraphs.append(f"{found.missing} {of} not measured; run trials.diagnose again to add what is finished since.")
    heat = _heat_maps(found, evidence)
    return replace(section, paragraphs=(*paragraphs, *section.paragraphs), galleries=(heat,) if heat.pictures.rows else ())


def _means(table: pd.DataFrame, outcome: str, *more: str) -> pd.DataFrame:
    """Mean over seeds with its interval; panel and series lead."""
    return summarise_cells(table.dropna(subset=[outcome]), by=["panel", "series", *more], outcome=outcome, level=LEVEL)


def _over(found: Diagnostics) -> str:
    """What a point is: 'mean over 5 seeds an encoder, with its interval'."""
    n = found.encoders.groupby(["panel", "series"])["seed"].nunique()
    if n.max() == 1:
        return "one seed an encoder, so without an interval"
    return f"mean over {f'{n.min()} to ' if n.min() != n.max() else ''}{n.max()} seeds an encoder, with its interval"


def _named(found: Diagnostics, series: str, panel: str) -> str:
    """An encoder in running text."""
    plain = "untrained" if (panel, series) in found.untrained else series_phrase(series)
    return plain + (f" ({panel})" if panel else "")


def _value_panels(found: Diagnostics, evidence: Evidence, outcome: str, title: str, *, floor: str | None = None) -> list[Panel]:
    """A panel for each of the report's panels, or of three or more one with a row for each; `floor`
    is the column of what a dashed line marks.
    """
    means = _means(found.encoders, outcome).rename(columns={"mean": "value"})
    names = panels_of(means, evidence.panels)
    floors = found.encoders.groupby("panel")[floor].first().dropna() if floor is not None else pd.Series(dtype=float)
    low, high = padded_domain(means["value"], means["low"], means["high"], floors)
    if len(names) >= FEWEST_ROWS and floors.nunique() < 2:
        return [_in_rows(found, evidence, means, names, outcome, title, (low, high), float(floors.iloc[0]) if len(floors) else None)]
    domain = (low, high) if floor is not None else (min(low, 0.0) if means["value"].min() < 0 else 0.0, max(high, 0.0))
    panels = []
    for number, panel in enumerate(names):
        part = means.loc[means["panel"] == panel].rename(columns={"series": "encoder"})
        value = dict(zip(part["encoder"].astype(str), part["value"].astype(float), strict=True))
        series_names = [series for series in evidence.series_names if series in value]
        text = "; ".join(f"{_named(found, series, panel)} {decimals(value[series])}" for series in series_names)
        line = None if floor is None else float(found.encoders.loc[found.encoders["panel"] == panel, floor].dropna().iloc[0])
        dashed = "" if line is None else f" The dashed line is at {decimals(line)}."
        chart = value_by_encoder(part, encoders=list(evidence.series_names), x_title=title, floor=line, x_domain=domain)
        heading = f"{title}; {panel}" if panel else title
        identity = f"geometry-{outcome.replace('_', '-')}-{number}"
        panels.append(Panel(identity=identity, chart=chart, alternative=f"{title}: {text}.{dashed}", heading=heading))
    return panels


def _in_rows(
    found: Diagnostics,
    evidence: Evidence,
    means: pd.DataFrame,
    names: Sequence[str],
    outcome: str,
    title: str,
    domain: tuple[float, float],
    floor: float | None,
) -> Panel:
    """One chart with a row for each of the report's panels."""
    order = {name: place for place, name in enumerate((*names, *evidence.series_names))}
    rows = means.assign(panels=means["panel"].map(order), place=means["series"].map(order)).sort_values(["panels", "place"], kind="stable")
    text = "; ".join(f"{_named(found, str(row['series']), str(row['panel']))} {decimals(row['value'])}" for _, row in rows.iterrows())
    dashed = "" if floor is None else f" The dashed line is at {decimals(floor)}."
    chart = values_by_arm(
        means.rename(columns={"panel": "arm"}),
        arms=names,
        series_names=evidence.series_names,
        x_title=title,
        x_domain=domain,
        rule=floor,
        is_floor=True,
    )
    return Panel(identity=f"geometry-{outcome.replace('_', '-')}-0", chart=chart, alternative=f"{title}: {text}.{dashed}", heading=title)


def _probe(found: Diagnostics, evidence: Evidence) -> Figure:
    table = found.encoders.dropna(subset=["probe"])
    floor, by_place = float(table["floor"].iloc[0]), float(table["place_floor"].iloc[0])
    gained = table.loc[table["stage_id"].notna()]
    gains = _means(gained.assign(gain=gained["probe"] - gained["probe_untrained"]), "gain")
    order = {
        (panel, series): len(evidence.series_names) * i + j
        for i, panel in enumerate(panels_of(gains, evidence.panels))
        for j, series in enumerate(evidence.series_names)
    }
    places = sorted(range(len(gains)), key=lambda at: order[gains["panel"].iloc[at], gains["series"].iloc[at]])
    phrases = [f"{_named(found, str(gains['series'].iloc[at]), str(gains['panel'].iloc[at]))}, {_points(gains.iloc[at])}" for at in places]
    panels = _value_panels(found, evidence, "probe", "patch probe accuracy", floor="place_floor")
    columns = ["panel", "series", "seed", "probe", "probe_se", "probe_untrained", "floor", "place_floor", "stage_id"]
    return Figure(
        claim=f"Patch probe: {_range(_means(table, 'probe')['mean'])} right; by a patch's place alone {decimals(100 * by_place, 1)}%",
        subtitle="A linear layer on frozen tokens names the majority class of each patch of images that it was not fitted to; "
        f"{_over(found)}. The dashed line is what knowing a patch's place alone gives ({decimals(by_place)}); always naming the commonest class "
        f"is right on {decimals(100 * floor, 1)}%.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=(f"Against the untrained encoder of the same seed the probe changes, in points of accuracy: {'; '.join(phrases)}.",) if phrases else (),
        tables=(make_table(table[columns], caption="Patch probe, an encoder a row", file_name="patch_probe.csv"),),
    )


def _range(values: pd.Series) -> str:
    low, high = (decimals(100 * float(value), 1) for value in (values.min(), values.max()))
    return f"{low}%" if low == high else f"{low} to {high}%"


def _points(row: pd.Series) -> str:
    """'+0.9 (95% interval +0.1 to +1.7)'."""
    interval = f" ({100 * LEVEL:g}% interval {signed(100 * row['low'], 1)} to {signed(100 * row['high'], 1)})" if row["n"] > 1 else " (one seed)"
    return f"{signed(100 * row['mean'], 1)}{interval}"


def _similarity(found: Diagnostics, evidence: Evidence) -> Figure:
    means = _means(found.similarity, "similarity", "distance").rename(columns={"mean": "similarity", "series": "encoder"})
    low, high = padded_domain(means["similarity"], means["low"], means["high"], [0.0])
    domain = (low if means["similarity"].min() < 0 else 0.0, high)
    panels, ends = [], []
    for number, panel in enumerate(panels_of(means, evidence.panels)):
        part = means.loc[means["panel"] == panel]
        phrases = []
        for series in evidence.series_names:
            line = part.loc[part["encoder"] == series].sort_values("distance")
            if len(line):
                near, far = line.iloc[0], line.iloc[-1]
                phrases.append(f"{_named(found, series, panel)} {decimals(near['similarity'], 2)} at distance {near['distance']} and "
                            f"{decimals(far['similarity'], 2)} at {far['distance']}")  # fmt: skip
                ends.append((_named(found, series, panel), float(near["similarity"]) - float(line["similarity"].min())))
        chart = similarity_by_distance(part, encoders=list(evidence.series_names), title=LEGEND, y_domain=domain)
        description = f"Mean cosine similarity of two patches: {'; '.join(phrases)}."
        panels.append(Panel(identity=f"geometry-similarity-{number}", chart=chart, alternative=description, heading=panel))
    least, most = min(ends, key=lambda one: one[1]), max(ends, key=lambda one: one[1])
    span = list(dict.fromkeys(decimals(one[1], 2) for one in (least, most)))
    note = f"It falls most {most[0]} and least {least[0]}." if len(span) > 1 else ""
    return Figure(
        claim=f"Similarity of patches falls with distance by {' to '.join(span)}",
        subtitle="Mean cosine of two patches of one image by the Manhattan distance of their places; "
        f"{_over(found)}. The longest distances are corners alone.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=(note,) if note else (),
        tables=(make_table(means, caption="Similarity by distance", file_name="similarity_by_distance.csv"),),
    )


MEASURES = {
    "within_image_share": "share of variance within images",
    "content_share": "share that depends on image and place",
    "effective_rank": "effective rank of the tokens",
    "cka_random": "CKA with the untrained encoder",
    "cka_parent": "CKA with the parent stage",
}


def _measures(found: Diagnostics, evidence: Evidence) -> Figure:
    table, panels = found.encoders, []
    for outcome, title in MEASURES.items():
        if table[outcome].notna().any():
            panels += _value_panels(found, evidence, outcome, title)
    means = _means(table, "within_image_share")
    ordered = [
        f"{decimals(100 * row['mean'], 0)}% {_named(found, str(row['series']), str(row['panel']))}" for _, row in means.sort_values("mean").iterrows()
    ]
    note = f"The share of the tokens' variance that lies within images is {joined(ordered[:: len(ordered) - 1] if len(ordered) > 1 else ordered)}."
    return Figure(
        claim=f"{_range(means['mean'])} of the tokens' variance lies within images",
        subtitle=f"Each point: {_over(found)}. Shares are of the variance over all patches of all "
        "images: what is not within images lies between them, and what is within but not of image and place together is the same at a place in "
        "every image. CKA is 1 for the same tokens up to rotation and scale.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=(note,),
        tables=(make_table(table, caption="Encoders, one a row", file_name="encoder_geometry.csv"),),
    )


def _attention(found: Diagnostics, evidence: Evidence) -> Figure:
    means = _means(found.attention, "distance", "layer").rename(columns={"mean": "distance", "series": "encoder"})
    panels = []
    for number, panel in enumerate(panels_of(means, evidence.panels)):
        part = means.loc[means["panel"] == panel]
        uniform = float(found.attention.loc[found.attention["panel"] == panel, "uniform"].iloc[0])
        phrases = []
        for series in (series for series in evidence.series_names if (part["encoder"] == series).any()):
            layers = part.loc[part["encoder"] == series].sort_values("layer")["distance"]
            phrases.append(f"{_named(found, series, panel)} {', '.join(decimals(value, 1) for value in layers)}")
        description = f"Mean attention distance in pixels, first layer to last: {'; '.join(phrases)}. Uniform attention: {decimals(uniform, 1)}."
        chart = attention_by_layer(part, encoders=list(evidence.series_names), uniform=uniform, title=LEGEND)
        panels.append(Panel(identity=f"geometry-attention-{number}", chart=chart, alternative=description, heading=panel))
    shortest = means.iloc[int(means["distance"].to_numpy(dtype=float).argmin())]
    reach = float(found.attention.loc[found.attention["panel"] == shortest["panel"], "uniform"].iloc[0])
    return Figure(
        claim=f"Attention is most local in layer {shortest['layer']}: {decimals(shortest['distance'], 1)} px, uniform {decimals(reach, 1)} px",
        subtitle="Distance from a patch to what it attends to, weighted by attention, mean over heads, patches, images and seeds; dashed: attention "
        "that weighs every patch alike. Intervals over seeds are in the table.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=(f"Most local: {_named(found, str(shortest['encoder']), str(shortest['panel']))}.",),
        tables=(make_table(means, caption="Attention distance by layer", file_name="attention_distance.csv"),),
    )


def _heat_maps(found: Diagnostics, evidence: Evidence) -> PictureBlock:
    stages = evidence.study.folder / "stages"
    runs = once_each(evidence.runs).sort_values("seed", kind="stable")
    shown = []
    for panel in panels_of(runs, evidence.panels):
        for series in evidence.series_names:
            there = runs.loc[(runs["panel"] == panel) & (runs["series"] == series)]
            identity = [one for column in ("intermediate_id", "pretrain_id") for one in there[column].head(1).dropna()]
            if identity:  # a run from scratch has none: its encoder is the untrained one, which is drawn once
                shown.append((_named(found, series, panel), stages / str(identity[0])))
    return PictureBlock(
        heading="Which patches are alike",
        subtitle="Cosine similarity of every patch to the framed one, the central patch of each image: orange at 1, white at 0, blue at −1, the "
        "same scale in every picture; one encoder for each series (its lowest seed), on evenly spaced held-out images.",
        pictures=gallery(shown, shared=("image", "untrained encoder"), own="similarity", folder="diagnostics"),
    )


register(SectionKind(name="geometry", heading="What the encoder has learned", place=60, finish=with_diagnostics))
for _place, _name, _title, _draws, _build in (
    (10, "probe", "Patch probe", "accuracy of a linear layer on frozen patch tokens", patch_probe),
    (20, "patch-similarity", "Similarity of patches by distance", "mean cosine of two patches by their distance", _if_measured(_similarity)),
    (30, "token-geometry", "Geometry of the patch tokens", "shares of variance, effective rank and CKA", _if_measured(_measures)),
    (40, "attention-distance", "Attention distance by layer", "mean attention distance of each layer", attention_distance),
):
    register(FigureKind(name=_name, section="geometry", place=_place, title=_title, draws=_draws, build=_build))
