"""Figures as data: what each chart's specification says, and the sentences for tables that cannot
be drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports import (
    FigureError,
    coverage_map,
    loss_and_score,
    paired_effect,
    score_by_labels,
    validation_loss_by_images,
    validation_loss_during_training,
)
from reports.charts.effects import effect_by_series
from reports.charts.scores import score_by_series
from reports.figures.rows import are_one_chart, as_rows
from reports.theme import GREY, RAMP, log_ticks, padded_domain, ramp, specification, styles

SERIES = ["none", "2,000", "20,000"]
POINTS = pd.DataFrame({"series": ["none", "2,000"], "finetune_images": [100, 100], "miou": [0.3, 0.4]})
CURVES = pd.DataFrame(
    {
        "series": ["none"] * 4,
        "finetune_images": [100.0, 300.0, 300.0, 600.0],
        "mean": [0.3, 0.4, 0.4, 0.45],
        "low": [0.29, 0.39, 0.39, np.nan],
        "high": [0.31, 0.41, 0.41, np.nan],
        "extrapolated": [False, False, True, True],
    }
)
MEANS = CURVES.iloc[:0].drop(columns="extrapolated")


def marks(spec: dict[str, Any]) -> list[str]:
    return [layer["mark"]["type"] for layer in spec["layer"]]


def rows(spec: dict[str, Any], layer: dict[str, Any]) -> list[dict[str, Any]]:
    data = layer.get("data") or spec["data"]  # Altair lifts the data of a single layer
    return list(spec["datasets"][data["name"]])


def test_a_law_is_solid_where_measured_and_dashed_where_extrapolated() -> None:
    spec = specification(score_by_labels(POINTS, CURVES, MEANS, series_names=SERIES))
    assert marks(spec) == ["area", "line", "line", "point"]
    solid, dashed = spec["layer"][1], spec["layer"][2]
    assert [row["finetune_images"] for row in rows(spec, solid)] == [100, 300]
    assert [row["finetune_images"] for row in rows(spec, dashed)] == [300, 600]
    assert solid["mark"]["strokeDash"] == [1, 0]
    assert dashed["mark"]["strokeDash"] != [1, 0]


def test_a_band_without_an_interval_is_left_out_rather_than_drawn_as_nothing() -> None:
    spec = specification(score_by_labels(POINTS, CURVES, MEANS, series_names=SERIES))
    assert len(rows(spec, spec["layer"][0])) == 3


def test_scratch_is_grey_squares_and_arms_keep_their_colour_where_others_are_absent() -> None:
    colour = specification(score_by_labels(POINTS, CURVES, MEANS, series_names=SERIES))["layer"][-1]["encoding"]["color"]["scale"]
    assert colour == {"domain": SERIES, "range": [GREY, *ramp(2)]}
    effects = pd.DataFrame({"series": ["20,000"], "finetune_images": [100], "difference": [0.1], "low": [0.0], "high": [0.2]})
    spec = specification(paired_effect(effects, effects, series_names=SERIES))
    assert spec["layer"][-1]["encoding"]["color"]["scale"] == {"domain": ["20,000"], "range": [ramp(2)[1]]}


def test_no_two_of_many_arms_look_the_same() -> None:
    colours, shapes = styles([str(number) for number in range(30)])
    assert len(set(zip(colours.to_dict()["range"], shapes.to_dict()["range"], strict=True))) == 30


def test_sizes_are_the_ticks_of_a_logarithmic_axis() -> None:
    spec = specification(score_by_labels(POINTS.assign(finetune_images=[100, 3000]), CURVES, MEANS, series_names=SERIES))
    x = spec["layer"][-1]["encoding"]["x"]
    assert x["scale"]["type"] == "log"
    assert x["axis"]["values"] == [100, 3000]


def test_an_effect_has_a_line_at_zero_and_no_bar_without_an_interval() -> None:
    effects = pd.DataFrame({"series": "2,000", "finetune_images": [100, 300], "difference": [0.1, 0.2], "low": np.nan, "high": np.nan})
    spec = specification(paired_effect(effects, effects, series_names=SERIES))
    assert marks(spec) == ["rule", "tick", "point"]
    assert rows(spec, spec["layer"][0]) == [{"zero": 0.0}]


def test_sizes_of_effects_stand_in_numerical_order() -> None:
    effects = pd.DataFrame({"series": "2,000", "finetune_images": [3000, 100], "difference": [0.1, 0.2], "low": 0.0, "high": 0.3})
    spec = specification(paired_effect(effects, effects, series_names=SERIES))
    assert spec["layer"][-1]["encoding"]["x"]["sort"] == ["100", "3,000"]


def test_every_chart_is_as_wide_as_its_container_and_names_no_host() -> None:
    losses = pd.DataFrame({"series": ["2,000"], "pretrain_images": [2000], "val_mim_loss": [0.4], "pretrain_id": ["p"], "image_passes": [64]})
    scatter = pd.DataFrame({"labels": ["100"], "val_mim_loss": [0.4], "miou": [0.5]})
    charts = [
        score_by_labels(POINTS, CURVES, MEANS, series_names=SERIES),
        validation_loss_by_images(losses, series_names=SERIES),
        validation_loss_during_training(losses, series_names=SERIES),
        loss_and_score(scatter, sizes=["100", "300"]),
    ]
    for chart in charts:
        spec = specification(chart)
        assert spec["width"] == "container"
        assert "http" not in str(spec)


def test_a_misspelt_column_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(FigureError, match=r"score_by_labels needs the column 'miou', .* did you mean to pass 'mIou'"):
        score_by_labels(POINTS.rename(columns={"miou": "mIou"}), CURVES, MEANS, series_names=SERIES)


def test_a_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(FigureError, match="cannot draw 1 of 2 values of 'miou': not a finite number; drop those rows first"):
        score_by_labels(POINTS.assign(miou=[0.3, np.inf]), CURVES, MEANS, series_names=SERIES)


def test_a_zero_on_a_logarithmic_axis_is_refused() -> None:
    losses = pd.DataFrame({"series": ["none"], "pretrain_images": [0], "val_mim_loss": [0.4]})
    with pytest.raises(FigureError, match="logarithmic axis for 'pretrain_images', which holds values of zero or less; draw those apart"):
        validation_loss_by_images(losses, series_names=SERIES)


def test_more_than_five_thousand_points_are_drawn() -> None:
    many = pd.DataFrame({"labels": "100", "val_mim_loss": np.linspace(0, 1, 6000), "miou": np.linspace(0, 1, 6000)})
    spec = specification(loss_and_score(many, sizes=["100"]))
    assert len(rows(spec, spec["layer"][0])) == 6000


def test_a_shared_axis_covers_all_finite_values() -> None:
    assert padded_domain([0.0, np.nan], [1.0]) == pytest.approx((-0.05, 1.05))
    assert padded_domain([np.nan]) == (0.0, 1.0)


def test_a_legend_can_be_clicked_and_fades_the_rest_where_colours_are_named() -> None:
    points = pd.DataFrame({"labels": ["100", "300"], "val_mim_loss": [0.4, 0.5], "miou": [0.5, 0.6], "seed": [0, 1], "run_id": ["a", "b"]})
    spec = specification(loss_and_score(points, sizes=["100", "300"]))
    params = spec.get("params", []) + [one for layer in spec["layer"] for one in layer.get("params", [])]
    assert [(one["bind"], one["select"]["fields"]) for one in params] == [("legend", ["labels"])]
    opacity = spec["layer"][0]["encoding"]["opacity"]
    assert opacity["condition"]["value"] == pytest.approx(0.75)
    assert opacity["value"] < 0.2


def test_a_points_tooltip_says_which_run_it_is() -> None:
    points = pd.DataFrame({"labels": ["100"], "val_mim_loss": [0.4], "miou": [0.5], "seed": [3], "run_id": ["finetune-a"]})
    spec = specification(loss_and_score(points, sizes=["100"]))
    assert [one["field"] for one in spec["layer"][0]["encoding"]["tooltip"]] == ["labels", "val_mim_loss", "miou", "seed", "run_id"]
    assert rows(spec, spec["layer"][0])[0]["run_id"] == "finetune-a"


def test_a_cell_of_the_coverage_map_has_the_worst_state_of_its_runs() -> None:
    cells = pd.DataFrame(
        {
            "series": ["none", "none", "2,000", "2,000"],
            "finetune_images": [100, 300, 100, 300],
            "planned": 3,
            "done": [3, 2, 2, 0],
            "failed": [0, 0, 1, 0],
            "blocked": [0, 0, 0, 3],
            "missing": [0, 1, 0, 0],
        }
    )
    spec = specification(coverage_map(cells, series_names=["none", "2,000"]))
    tiles = rows(spec, spec["layer"][0])
    assert [(tile["state"], tile["printed"]) for tile in tiles] == [
        ("done", "✓ 3/3"),
        ("missing", "… 2/3"),
        ("failed", "✗ 2/3"),
        ("blocked", "‖ 0/3"),
    ]


ROWS = pd.DataFrame({"series": ["none", "2,000, mae", "2,000, mae"], "finetune_images": 100, "miou": [0.3, 0.4, 0.5]})


def test_runs_with_equal_labels_stand_in_a_row_for_each_series() -> None:
    means = pd.DataFrame({"series": ["none", "2,000, mae"], "mean": [0.3, 0.45], "low": [np.nan, 0.4], "high": [np.nan, 0.5]})
    spec = specification(score_by_series(ROWS, means, series_names=["none", "2,000, simmim", "2,000, mae"]))
    assert marks(spec) == ["rule", "tick", "point"]
    assert spec["layer"][0]["encoding"]["y"]["sort"] == ["from scratch", "2,000 images, mae"]
    assert [row["row"] for row in rows(spec, spec["layer"][2])] == ["from scratch", "2,000 images, mae", "2,000 images, mae"]
    assert len(rows(spec, spec["layer"][0])) == 1  # no bar without an interval
    assert "legend" not in spec.get("config", {}) or spec["layer"][2]["encoding"]["color"]["legend"] is None


def test_effects_at_equal_labels_stand_in_a_row_for_each_series() -> None:
    effects = pd.DataFrame({"series": ["20, mae"], "difference": [0.02], "low": [0.01], "high": [0.03]})
    pairs = pd.DataFrame({"series": ["20, mae", "20, mae"], "difference": [0.01, 0.03]})
    spec = specification(effect_by_series(effects, pairs, series_names=["20, simmim", "20, mae"]))
    assert marks(spec) == ["rule", "rule", "tick", "point"]
    assert rows(spec, spec["layer"][0]) == [{"zero": 0.0}]
    assert [row["row"] for row in rows(spec, spec["layer"][2])] == ["20 images, mae"] * 2


def test_rows_line_up_across_panels_and_have_one_colour_but_scratch() -> None:
    """Rows are told apart by their names: six colours in turn would say nothing."""
    means = pd.DataFrame({"series": ["none", "500"], "mean": [0.3, 0.4], "low": np.nan, "high": np.nan})
    points = means.assign(finetune_images=100, miou=means["mean"], seed=0)
    names = ["none", "50", "500", "2,000"]
    specs = [
        specification(score_by_series(part, part, series_names=names, every_row=("none", "50", "500")))
        for part in (points.head(1), points.tail(1))
    ]  # fmt: skip
    for spec in specs:
        encoding = spec["layer"][-1]["encoding"]
        assert encoding["y"]["scale"]["domain"] == ["from scratch", "50 images", "500 images"]
        assert encoding["color"]["scale"]["range"] == [GREY, RAMP[3], RAMP[3], RAMP[3]]
    effects = means.assign(difference=means["mean"])
    spec = specification(effect_by_series(effects, effects.head(0), series_names=names, every_row=("2,000",)))
    assert spec["layer"][-1]["encoding"]["y"]["scale"]["domain"] == ["from scratch", "500 images", "2,000 images"]


def test_panels_of_one_row_each_are_rows_of_one_chart() -> None:
    table = pd.DataFrame({"panel": ["recipe: b", "recipe: a", "recipe: a"], "series": ["none", "none", "none"], "miou": [0.1, 0.2, 0.3]})
    assert are_one_chart(table)
    (rows,), names = as_rows((table,), ("recipe: a", "recipe: b"))
    assert names == ["recipe: a", "recipe: b"]
    assert rows["series"].tolist() == ["recipe: b", "recipe: a", "recipe: a"]
    assert set(rows["panel"]) == {""}
    _, names = as_rows((table.assign(series=["none", "500, wide", "500, wide"]),), ("recipe: a", "recipe: b"))
    assert names == ["500, wide; recipe: a", "from scratch; recipe: b"]
    assert not are_one_chart(table.assign(series=["none", "none", "500"]))
    assert not are_one_chart(table.assign(panel=""))


def test_every_tick_of_a_logarithmic_axis_has_room_for_its_label() -> None:
    assert log_ticks(12_000, 96_000) == [15_000, 20_000, 30_000, 50_000, 70_000]
    assert log_ticks(6, 1e6) == [10, 100, 1000, 1e4, 1e5, 1e6]
    assert log_ticks(31, 33) == [31, 33]
    for high in np.geomspace(3, 1e9, 40):
        assert 2 <= len(log_ticks(2.0, float(high))) <= 6


def test_a_legend_of_one_label_is_left_out() -> None:
    points = pd.DataFrame({"labels": ["500", "500"], "val_mim_loss": [0.4, 0.5], "miou": [0.3, 0.2]})
    assert specification(loss_and_score(points, sizes=["500"]))["layer"][0]["encoding"]["color"]["legend"] is None
