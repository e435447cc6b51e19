"""What `python -m trials.diagnose` left in a study folder, as tables: one row an encoder as the
fine-tuning received it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reports.errors import ReportError
from reports.report_data import read_json

NUMBERS = (
    "within_image_variance",
    "across_image_variance",
    "within_image_share",
    "content_share",
    "position_share",
    "effective_rank",
)


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """The encoders that a study's runs were fine-tuned from, measured on held-out images;
    trials/diagnostics defines every number.
    """

    encoders: pd.DataFrame
    """One row per panel, series and seed: stage_id (missing for an untrained encoder), the columns
    NUMBERS, cka_parent, cka_random; and, missing where there is no probe, probe, probe_se,
    probe_untrained (of the same seed's start), floor, place_floor.
    """
    similarity: pd.DataFrame
    """panel, series, seed, distance, similarity."""
    attention: pd.DataFrame
    """panel, series, seed, layer, distance, uniform (that of uniform attention), in pixels. Encoders
    without attention have no rows.
    """
    images: int
    """Held-out images that were measured on."""
    source: str
    no_probe: str
    """Why there is no patch probe; '' where there is one."""
    missing: int
    """Encoders of finished runs that were not measured."""

    @property
    def untrained(self) -> frozenset[tuple[str, str]]:
        """Pairs of panel and series whose encoder was never trained before the fine-tuning."""
        start = self.encoders.loc[self.encoders["stage_id"].isna()]
        return frozenset(zip(start["panel"].astype(str), start["series"].astype(str), strict=True))


def read_diagnostics(stages: Path, runs: pd.DataFrame) -> Diagnostics | None:
    """The diagnostics of every encoder behind `runs`; None where nothing was measured.

    Args:
        stages: the stages/ folder of a study.
        runs: finished runs with the columns panel, series and seed, as `with_series` makes them.

    Raises:
        ReportError: if a diagnostics.json is not of the form that docs/study_folder.md shows.
    """
    keys = ["panel", "series", "seed", "encoder"]
    wanted = runs.drop_duplicates(keys)[[*keys, "pretrain_id", "intermediate_id"]]
    found: dict[str, dict[str, Any]] = {}
    for identity in sorted({str(one) for column in ("pretrain_id", "intermediate_id") for one in wanted[column].dropna()}):
        values = read_json(stages.parent, stages.name, identity, "diagnostics.json")
        if values is not None:
            found[identity] = values
    if not found:
        return None
    try:
        return _tables(wanted, found)
    except (KeyError, TypeError, ValueError) as error:
        raise ReportError(
            f"A diagnostics.json below {stages} is not of the form in docs/study_folder.md ({error!r}); delete it and run trials.diagnose again."
        ) from error


def _tables(wanted: pd.DataFrame, found: dict[str, dict[str, Any]]) -> Diagnostics:
    # what chains of a seed began with, which is what a run from scratch was fine-tuned from
    untrained = {(values["encoder"], int(values["seed"])): values["random"] for values in found.values()}
    rows, similarity, attention = [], [], []
    for row in wanted.to_dict("records"):
        identity = next((str(row[name]) for name in ("intermediate_id", "pretrain_id") if not pd.isna(row[name])), None)
        values = found.get(identity) if identity is not None else untrained.get((row["encoder"], int(row["seed"])))
        place = {"panel": row["panel"], "series": row["series"], "seed": int(row["seed"])}
        if values is None:
            continue
        probe = values["probe"] or {}
        cka = values.get("cka", {})
        measured: dict[str, Any] = {name: float(values["measures"][name]) for name in NUMBERS}
        measured |= {"probe": probe.get("test_accuracy"), "probe_se": probe.get("test_accuracy_se")}
        measured |= {"probe_untrained": ((values.get("random") or {}).get("probe") or {}).get("test_accuracy")}
        measured |= {"floor": probe.get("floor"), "place_floor": probe.get("place_floor")}
        rows.append(place | {"stage_id": identity} | measured | {"cka_parent": cka.get("parent"), "cka_random": cka.get("random")})
        similarity += [place | {"distance": int(one["distance"]), "similarity": float(one["similarity"])} for one in values["similarity_by_distance"]]
        uniform = {"uniform": float(values["uniform_attention_distance_px"])}
        attention += [place | {"layer": int(one["layer"]), "distance": float(one["mean"])} | uniform for one in values["attention_distance_px"]]
    first = next(iter(found.values()))
    numbers = ["probe", "probe_se", "probe_untrained", "floor", "place_floor", "cka_parent", "cka_random"]
    columns = ["panel", "series", "seed", "stage_id", *NUMBERS, *numbers]
    return Diagnostics(
        encoders=pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, "float64")),
        similarity=pd.DataFrame(similarity),
        attention=pd.DataFrame(attention, columns=["panel", "series", "seed", "layer", "distance", "uniform"]),
        images=int(first["settings"]["data"]["test_images"]),
        source=str(first["settings"]["data"]["source"]),
        no_probe=str(first.get("no_probe", "")),
        missing=len(wanted) - len(rows),
    )
