"""The published geometry of patch tokens: one number an encoder, so it is drawn and not tested."""

from __future__ import annotations

import pandas as pd

from analysis.published.load import Published
from reports.charts.geometry import similarity_by_distance, value_by_encoder
from reports.page import Figure, Panel, Section, make_table
from reports.theme import decimals
from reports.wording import title

ENCODERS = {
    "simmim_pretrained": "pre-trained only",
    "classification_intel": "classification, Intel scenes",
    "classification_pets": "classification, pets",
    "spatial_pets": "spatial task, pets",
}
MEASURES = {
    "within_image_variance": "variance within images",
    "across_image_variance": "variance across images",
    "patch_probe_accuracy_pct": "patch probe accuracy, %",
}
CAVEAT = "No spread and no number of runs is published for these values, so nothing here can be tested: a difference may be chance."


def geometry_section(published: Published) -> Section | None:
    """Both geometry tables as small figures with their caveat; None where the paper has none."""
    figures = []
    if "patch_similarity_by_distance" in published.tables:
        figures.append(_similarity(published.tables["patch_similarity_by_distance"]))
    if "patch_geometry" in published.tables:
        figures.append(_measures(published.tables["patch_geometry"]))
    return Section(identity="geometry", heading="Geometry of the patches", paragraphs=(CAVEAT,), figures=tuple(figures)) if figures else None


def _similarity(table: pd.DataFrame) -> Figure:
    long = table.melt(id_vars="distance_manhattan", var_name="encoder", value_name="similarity")
    long = long.assign(encoder=[_named(name) for name in long["encoder"]], similarity=long["similarity"].astype(float))
    encoders = list(dict.fromkeys(long["encoder"]))
    points = long.rename(columns={"distance_manhattan": "distance"})
    phrases = []
    for name in encoders:
        part = points.loc[points["encoder"] == name].sort_values("distance")
        phrases.append(f"{name}: {decimals(part['similarity'].iloc[0], 2)} at distance {part['distance'].iloc[0]} and "
                    f"{decimals(part['similarity'].iloc[-1], 2)} at {part['distance'].iloc[-1]}")  # fmt: skip
    far = points.loc[points["distance"] == points["distance"].max()].sort_values("similarity")
    description = f"Mean cosine similarity of two patches: {'; '.join(phrases)}."
    at = far["distance"].iloc[0]
    ends = [(decimals(far["similarity"].iloc[place], 2), far["encoder"].iloc[place]) for place in (0, -1)]
    return Figure(
        identity="figure-similarity",
        claim=title(
            f"At distance {at} similarity is {' to '.join(f'{value} ({name})' for value, name in ends)}",
            f"At distance {at} similarity is {ends[0][0]} to {ends[1][0]}",
        ),
        subtitle="Each point is one published value, read off the paper's figure; no interval can be given.",
        description=description,
        panels=(Panel(identity="similarity", chart=similarity_by_distance(points, encoders=encoders), alternative=description),),
        tables=(make_table(points, caption="Similarity by distance", file_name="patch_similarity_by_distance.csv"),),
    )


def _measures(table: pd.DataFrame) -> Figure:
    table = table.assign(encoder=[_named(name) for name in table["encoder"]])
    encoders = list(table["encoder"])
    panels: list[Panel] = []
    for name, description in MEASURES.items():
        if name not in table.columns:
            continue
        points = table[["encoder", name]].rename(columns={name: "value"}).astype({"value": float})
        text = "; ".join(f"{row['encoder']} {row['value']:g}" for _, row in points.iterrows())
        chart = value_by_encoder(points, encoders=encoders, x_title=description)
        panels.append(Panel(identity=f"geometry-{len(panels)}", chart=chart, alternative=f"{description}: {text}.", heading=description))
    largest = table.iloc[int(table["patch_probe_accuracy_pct"].astype(float).argmax())]
    return Figure(
        identity="figure-geometry",
        claim=f"The patch probe is most accurate on {largest['encoder']} ({float(largest['patch_probe_accuracy_pct']):g}%)",
        subtitle="Each point is one published value; no interval can be given. The probe's accuracy is on the images it was trained on.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        tables=(make_table(table, caption="Patch geometry", file_name="patch_geometry.csv"),),
    )


def _named(name: str) -> str:
    return ENCODERS.get(name.removeprefix("intermediate_"), name)
