"""The forest plot as data: who is filled, who is hollow, and what may share an axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports import FigureError, forest
from reports.charts.forest import ALONE, ALONE_FAILS, FAILS, SURVIVES, UNTESTED
from reports.theme import GREY, PALETTE, specification

TESTS = pd.DataFrame(
    {
        "finding": "hurts",
        "topic": "The intermediate stage",
        "reading": "spread read as SD",
        "label": ["250 labels", "500 labels", "one run"],
        "estimate": [-0.05, -0.01, 0.02],
        "low": [-0.07, -0.03, np.nan],
        "high": [-0.03, 0.01, np.nan],
        "p": [0.001, 0.3, np.nan],
        "p_holm": [0.002, 0.3, np.nan],
        "p_bh": [0.002, 0.3, np.nan],
        "n": "3 runs",
        "note": "",
    }
)


def drawn(tests: pd.DataFrame, **settings: Any) -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
    """The specification, and the rows behind each of its layers."""
    spec = specification(forest(tests, **settings))
    return spec, [spec["datasets"][layer["data"]["name"]] for layer in spec["layer"]]


def test_one_row_a_test_with_a_line_at_zero_and_bars_where_there_are_intervals() -> None:
    spec, rows = drawn(TESTS)
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["rule", "rule", "text", "point"]
    assert rows[0] == [{"zero": 0.0}]
    assert [row["label"] for row in rows[1]] == ["250 labels", "500 labels"]
    assert spec["layer"][-1]["encoding"]["y"]["sort"] == list(TESTS["label"])


def test_survivors_are_filled_others_hollow_and_the_untested_a_cross() -> None:
    spec, rows = drawn(TESTS)
    assert [row["state"] for row in rows[-1]] == [SURVIVES, FAILS, UNTESTED]
    looks = {name: spec["layer"][-1]["encoding"][name]["scale"]["range"] for name in ("fill", "stroke", "shape")}
    assert looks == {
        "fill": [PALETTE[0], "transparent", "transparent"],
        "stroke": [PALETTE[0], GREY, GREY],
        "shape": ["circle", "circle", "cross"],
    }


def test_a_test_that_stands_alone_is_a_diamond_and_not_called_corrected() -> None:
    spec, rows = drawn(TESTS.assign(p_holm=np.nan))
    assert [row["state"] for row in rows[-1]] == [ALONE, ALONE_FAILS, UNTESTED]
    assert spec["layer"][-1]["encoding"]["shape"]["scale"]["range"] == ["diamond", "diamond", "cross"]


def test_a_state_looks_the_same_where_others_are_absent() -> None:
    spec, _ = drawn(TESTS.iloc[1:2])
    assert spec["layer"][-1]["encoding"]["stroke"]["scale"] == {"domain": [FAILS], "range": [GREY]}


@pytest.mark.parametrize("column", ["finding", "reading"])
def test_findings_of_different_units_never_share_an_axis(column: str) -> None:
    with pytest.raises(FigureError, match="forest draws one finding, because units may differ between findings"):
        forest(TESTS.assign(**{column: ["a", "b", "b"]}))


def test_long_labels_stand_whole_over_their_rows_and_equal_ones_are_told_apart() -> None:
    spec, rows = drawn(TESTS.assign(label=["200,000 pre-training images, 6,000 labels", "same", "same"]))
    labels = [row["label"] for row in rows[-1]]
    assert labels == ["200,000 pre-training images, 6,000 labels", "same", "same (2)"]
    assert spec["layer"][-1]["encoding"]["y"]["axis"] is None
    assert spec["layer"][-2]["mark"]["limit"] == {"expr": "width"}
    assert spec["height"] >= 30 * len(labels)


def test_panels_can_share_an_axis_and_fill_their_container() -> None:
    spec, _ = drawn(TESTS, x_domain=(-0.1, 0.1), x_title="mIoU")
    assert {tuple(layer["encoding"]["x"]["scale"]["domain"]) for layer in spec["layer"] if layer["mark"]["type"] != "text"} == {(-0.1, 0.1)}
    assert {layer["encoding"]["x"]["title"] for layer in spec["layer"] if layer["mark"]["type"] != "text"} == {"mIoU"}
    assert spec["width"] == "container"


def test_an_interval_without_an_end_reaches_the_edge_of_the_axis() -> None:
    spec, rows = drawn(TESTS.assign(low=[-np.inf, -0.03, np.nan]))
    left = spec["layer"][-1]["encoding"]["x"]["scale"]["domain"][0]
    assert [row["low"] for row in rows[1]] == [left, -0.03]


def test_an_estimate_that_is_not_finite_is_left_out_and_none_at_all_refused() -> None:
    _, rows = drawn(TESTS.assign(estimate=[np.nan, -0.01, np.inf]))
    assert [row["label"] for row in rows[-1]] == ["500 labels"]
    with pytest.raises(FigureError, match="forest has no finite estimate to draw"):
        forest(TESTS.assign(estimate=np.nan))


def test_a_missing_column_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(FigureError, match=r"forest needs the column 'p_holm', .* did you mean to pass 'holm_p'"):
        forest(TESTS.rename(columns={"p_holm": "holm_p", "p_bh": "bh", "p": "p"}))
