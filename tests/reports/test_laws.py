"""How well the laws hold: residuals as analysis has them, and the backtest beside repeating the
last value.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis import choose_law
from reports.charts.laws import law_backtest, law_residuals
from reports.evidence import gather
from reports.figures.laws import backtest, residual_points
from reports.registry import compose_section
from reports.report_data import read_study
from reports.theme import specification
from tests.reports.conftest import write_study

SIZES = (50, 100, 200, 400, 800, 1600, 3200)


def test_residuals_are_those_of_the_fits(full_study: Path) -> None:
    evidence = gather(read_study(full_study))
    points = residual_points(evidence)
    law = evidence.laws[0]
    assert law.fit is not None
    own = points.loc[(points["panel"] == law.panel) & (points["series"] == law.series)]
    assert own["residual"].to_numpy() == pytest.approx(law.fit.plot_data()["points"]["residual"].to_numpy())
    section = compose_section("laws", evidence)
    assert [figure.identity for figure in section.figures] == ["figure-residuals"]
    assert section.paragraphs == ("There is no backtest for any series: 4 sizes leave no later one to predict from enough earlier ones.",)


def test_the_backtest_is_the_table_of_choose_law(tmp_path: Path) -> None:
    study = write_study(tmp_path / "sizes", pretrain_sizes=(0, 2000), intermediates=("none",), finetune_sizes=SIZES, examples=False)
    evidence = gather(read_study(study))
    table, reasons = backtest(evidence)
    assert reasons == []
    means = evidence.runs.loc[evidence.runs["series"] == "none"].groupby("finetune_images")["miou"].mean()
    wanted = choose_law(means.index.to_numpy(dtype=float), means.to_numpy(), y_range=(0.0, 1.0)).table
    own = table.loc[table["series"] == "none"]
    assert own["error"].to_numpy() == pytest.approx(wanted["rolling_error"].to_numpy(), nan_ok=True)
    assert "last value" in set(own["law"])
    figure = compose_section("laws", evidence).figures[-1]
    assert figure.claim == "For 2 of 2 series the law predicts better than the last value"
    assert len(figure.panels) == 2


def test_the_chosen_law_is_filled_and_the_last_value_a_line() -> None:
    errors = pd.DataFrame({"law": ["power", "last value"], "error": [1.0, 4.0], "chosen": [True, False]})
    layers = specification(law_backtest(errors, x_title="error, %"))["layer"]
    assert [layer["mark"]["type"] for layer in layers] == ["rule", "point", "point"]
    assert [layer["mark"]["filled"] for layer in layers[1:]] == [False, True]


def test_arms_stand_side_by_side_around_their_size() -> None:
    points = pd.DataFrame({"series": ["none", "2,000"] * 2, "finetune_images": [100, 100, 1000, 1000], "residual": [0.0, 0.1, 0.0, -0.1]})
    spec = specification(law_residuals(points, series_names=["none", "2,000"], y_title="residual"))
    name = spec["layer"][-1]["data"]["name"]
    places = [row["at"] for row in spec["datasets"][name]]
    assert places[0] < 100 < places[1] < places[2] < 1000 < places[3]
