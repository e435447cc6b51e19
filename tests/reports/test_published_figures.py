"""Figures of published tables as data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports import (
    FigureError,
    cell_score_by_labels,
    gain_per_doubling,
    loss_against_score,
    loss_by_length,
    score_by_images,
    similarity_by_distance,
    value_by_encoder,
)
from reports.charts.cells import READINGS, WIDTHS
from reports.charts.scaling import FALLS, RISES
from reports.theme import GREY, ramp, specification

SERIES = ["none", "45,000"]
CELLS = pd.DataFrame(
    {
        "series": ["none", "45,000"] * 2,
        "finetune_images": [250] * 4,
        "reading": [READINGS[0]] * 2 + [READINGS[1]] * 2,
        "mean": [0.44, 0.53] * 2,
        "low": [0.42, 0.52, 0.40, np.nan],
        "high": [0.46, 0.54, 0.48, np.nan],
    }
)
CURVES = pd.DataFrame(
    {
        "series": "45,000",
        "finetune_images": [250.0, 6000.0, 6000.0, 12000.0],
        "mean": [0.5, 0.6, 0.6, 0.63],
        "low": [0.49, 0.59, 0.59, 0.6],
        "high": [0.51, 0.61, 0.61, 0.66],
        "extrapolated": [False, False, True, True],
    }
)
LOSSES = pd.DataFrame({"size": ["100", "100", "200"], "steps": [125, 250, 125], "val_mim_loss": [0.5, 0.51, 0.47], "phase": [RISES, RISES, FALLS]})
SCATTER = pd.DataFrame({"group": [FALLS, RISES], "run": ["a", "b"], "val_mim_loss": [0.45, 0.5], "score": [0.86, 0.83]})
NO_LINES = pd.DataFrame(columns=["group", "val_mim_loss", "score"])


def rows(spec: dict[str, Any], layer: dict[str, Any]) -> list[dict[str, Any]]:
    data = layer.get("data") or spec["data"]
    return list(spec["datasets"][data["name"]])


def test_both_readings_of_a_spread_are_drawn_and_told_apart_by_width() -> None:
    spec = specification(cell_score_by_labels(CELLS, CURVES, series_names=SERIES))
    bars = [layer for layer in spec["layer"] if layer["mark"]["type"] == "rule"]
    assert [layer["mark"]["strokeWidth"] for layer in bars] == list(WIDTHS)
    assert [len(rows(spec, layer)) for layer in bars] == [2, 1]  # a cell without an interval has no bar
    assert len(rows(spec, spec["layer"][-1])) == 2  # and each cell one point


def test_a_law_of_cells_is_dashed_beyond_the_data_and_scratch_is_grey() -> None:
    spec = specification(cell_score_by_labels(CELLS, CURVES, series_names=SERIES))
    solid, dashed = (layer for layer in spec["layer"] if layer["mark"]["type"] == "line")
    assert solid["mark"]["strokeDash"] == [1, 0]
    assert dashed["mark"]["strokeDash"] != [1, 0]
    assert spec["layer"][-1]["encoding"]["color"]["scale"]["range"] == [GREY, *ramp(1)]


def test_steps_stand_in_the_order_of_the_table() -> None:
    steps = pd.DataFrame({"series": "45,000", "step": ["500 → 1,000", "250 → 500"], "gain": [0.02, 0.01], "low": np.nan, "high": np.nan})
    spec = specification(gain_per_doubling(steps, series_names=SERIES))
    assert spec["layer"][-1]["encoding"]["x"]["sort"] == ["500 → 1,000", "250 → 500"]
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["rule", "point"]


def test_overfitting_series_are_dashed_with_hollow_points() -> None:
    spec = specification(loss_by_length(LOSSES, sizes=["100", "200"]))
    line, falling, rising = spec["layer"]
    assert line["encoding"]["strokeDash"]["scale"] == {"domain": [FALLS, RISES], "range": [[1, 0], [5, 4]]}
    assert (falling["mark"]["filled"], rising["mark"]["filled"]) == (True, False)
    assert [row["size"] for row in rows(spec, rising)] == ["100", "100"]


def test_a_line_is_drawn_only_where_a_finished_one_is_given() -> None:
    lines = pd.DataFrame({"group": FALLS, "val_mim_loss": [0.4, 0.5], "score": [0.9, 0.8]})
    drawn = [loss_against_score(SCATTER, table, groups=[FALLS, RISES], y_title="top-1") for table in (lines, NO_LINES)]
    assert [[layer["mark"]["type"] for layer in specification(chart)["layer"]] for chart in drawn] == [["line", "point"], ["point"]]


def test_sizes_are_ticks_of_a_logarithmic_axis_and_zero_is_refused() -> None:
    points = pd.DataFrame({"pretrain_images": [128_117, 14_197_122], "length": "125k steps", "score": [0.82, 0.86]})
    x = specification(score_by_images(points, lengths=["125k steps"], y_title="top-1"))["layer"][-1]["encoding"]["x"]
    assert (x["scale"]["type"], x["axis"]["values"]) == ("log", [128_117, 14_197_122])
    with pytest.raises(FigureError, match="score_by_images has a logarithmic axis for 'pretrain_images', which holds values of zero or less"):
        score_by_images(points.assign(pretrain_images=[0, 1]), lengths=["125k steps"], y_title="top-1")


def test_geometry_is_drawn_from_zero_and_refuses_what_is_not_finite() -> None:
    points = pd.DataFrame({"encoder": ["a", "b"], "value": [0.1, 0.2], "distance": 1, "similarity": [0.5, 0.6]})
    assert rows(spec := specification(value_by_encoder(points, encoders=["a", "b"], x_title="variance")), spec["layer"][0])[0]["zero"] == 0.0
    assert specification(similarity_by_distance(points, encoders=["a", "b"]))["width"] == "container"
    with pytest.raises(FigureError, match="cannot draw 1 of 2 values of 'value'"):
        value_by_encoder(points.assign(value=[0.1, np.nan]), encoders=["a", "b"], x_title="variance")
