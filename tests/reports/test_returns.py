"""What another doubling brings and what pre-training is worth in labels: the numbers of analysis,
and figures that say what they lack.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import diminishing_returns, exchange_rate
from reports.charts.cells import gain_per_doubling
from reports.charts.worth import worth_in_labels
from reports.evidence import LEVEL, Evidence, gather
from reports.figures.returns import between_two_runs, image_steps, label_steps, stopping_points
from reports.figures.worth import panel_of_scratch, worth_rows
from reports.registry import compose_section
from reports.report_data import read_study
from reports.theme import FigureError, specification
from tests.reports.conftest import write_study

WORTH = pd.DataFrame(
    {
        "series": "2,000",
        "finetune_images": [100, 300, 1000],
        "ratio": [1.5, 3.0, np.nan],
        "low": [1.2, np.nan, 5.0],
        "high": [2.0, np.nan, np.inf],
        "status": ["found", "found", "never"],
        "extrapolated": [False, True, True],
    }
)


@pytest.fixture(scope="module")
def evidence(full_study: Path) -> Evidence:
    return gather(read_study(full_study))


def marks(spec: dict[str, Any]) -> list[str]:
    return [layer["mark"]["type"] for layer in spec["layer"]]


def test_a_step_is_the_difference_of_cell_means_per_doubling(evidence: Evidence) -> None:
    steps = label_steps(evidence).set_index(["panel", "series", "from"])
    assert evidence.cells is not None
    means = evidence.cells.set_index(["panel", "series", "finetune_images"])["mean"]
    panel = evidence.panels[0]
    gain = (means[panel, "2,000", 300] - means[panel, "2,000", 100]) / np.log2(3)
    assert steps.loc[(panel, "2,000", 100), "gain"] == pytest.approx(gain)
    assert steps.loc[(panel, "2,000", 100), "low"] < gain < steps.loc[(panel, "2,000", 100), "high"]
    assert set(image_steps(evidence)["step"]) == {"2,000 → 20,000"}  # from scratch to 2,000 images is no doubling


def test_the_noise_is_between_two_runs_of_one_cell(evidence: Evidence) -> None:
    spread = evidence.runs.groupby(["panel", "series", "finetune_images"])["miou"].var(ddof=1)
    assert between_two_runs(evidence) == pytest.approx(np.sqrt(2 * spread.mean()))


def test_intervals_are_called_what_they_are(evidence: Evidence) -> None:
    """Cell means and laws have 95% intervals, and said 90%."""
    assert LEVEL == 0.95
    for name in ("scores", "returns", "worth", "runs"):
        section = compose_section(name, evidence)
        texts = [table.caption for table in section.tables]
        texts += [text for one in section.figures for text in (one.subtitle, *one.notes, *(table.caption for table in one.tables))]
        assert not [text for text in texts if "90%" in text]
        assert "95%" in " ".join(texts)


def test_many_panels_of_few_steps_are_one_chart_with_a_row_each(evidence: Evidence) -> None:
    assert len(compose_section("returns", evidence).figures[1].panels) == 2
    runs = evidence.runs
    third = runs.assign(panel="a third", run_id=runs["run_id"] + "-third")
    three = replace(evidence, runs=pd.concat([runs, third], ignore_index=True), panels=(*evidence.panels, "a third"))
    labels, images = compose_section("returns", three).figures
    assert len(labels.panels) == 3  # three steps each
    (panel,) = images.panels
    spec = specification(panel.chart)
    assert marks(spec) == ["rect", "rule", "rule", "point"]
    assert spec["layer"][-1]["encoding"]["y"]["sort"] == [*evidence.panels, "a third"]
    assert "evenly spaced" not in images.subtitle
    assert not [note for note in images.notes if "are drawn" in note]
    names = [f"panel {number}" for number in range(20)]
    parts = [runs.loc[runs["panel"] == evidence.panels[0]].assign(panel=name) for name in names]
    many = replace(evidence, runs=pd.concat(parts, ignore_index=True), panels=tuple(names))
    assert "16 of 20 panels are drawn; the table has all." in compose_section("returns", many).figures[1].notes


def test_a_step_stands_in_one_line_where_there_is_room() -> None:
    steps = pd.DataFrame({"series": "2,000", "step": [f"{n}00 → {n + 1}00" for n in range(1, 6)], "gain": 0.1, "low": 0.05, "high": 0.15})
    texts = [specification(gain_per_doubling(steps.head(many), series_names=["2,000"]))["layer"][-1]["encoding"]["x"]["axis"] for many in (4, 5)]
    assert [text["labelExpr"].startswith("split") for text in texts] == [False, True]


def test_stopping_points_are_those_of_analysis(evidence: Evidence) -> None:
    noise = between_two_runs(evidence)
    law = evidence.laws[0]
    assert law.fit is not None
    row = stopping_points(evidence, noise).iloc[0]
    assert row["labels"] == diminishing_returns(law.fit, noise_sd=noise).noise.x


def test_the_band_of_noise_is_drawn_beneath_and_the_title_judges_by_it(evidence: Evidence) -> None:
    steps = pd.DataFrame({"series": "2,000", "step": ["100 → 300"], "gain": [0.1], "low": [0.05], "high": [0.15]})
    assert marks(specification(gain_per_doubling(steps, series_names=["2,000"], noise=0.01))) == ["rect", "rule", "rule", "point"]
    assert marks(specification(gain_per_doubling(steps, series_names=["2,000"]))) == ["rule", "rule", "point"]
    labels, images = compose_section("returns", evidence).figures
    assert labels.claim.endswith(", above noise")
    assert "more than the 0.005 by which two runs of one cell differ" in labels.notes[0]
    assert "0.005" in images.subtitle


def test_one_run_a_cell_has_no_band_and_says_so(tmp_path: Path) -> None:
    single = gather(read_study(write_study(tmp_path / "single", seeds=(0,), intermediates=("none",), examples=False)))
    figure = compose_section("returns", single).figures[0]
    assert "what re-running brings is not known and no band is drawn" in figure.subtitle
    assert any("one seed only" in note for note in figure.notes)


def test_worth_is_the_exchange_rate_of_the_two_laws(evidence: Evidence) -> None:
    rows, reasons = worth_rows(evidence)
    assert reasons == []
    laws = {(law.panel, law.series): law.fit for law in evidence.laws}
    panel = evidence.panels[0]
    with_it, without = laws[panel, "20,000"], laws[panel, "none"]
    assert with_it is not None
    assert without is not None
    wanted = exchange_rate(with_it, without, 300.0, paired=True)
    row = rows.loc[(rows["panel"] == panel) & (rows["series"] == "20,000") & (rows["finetune_images"] == 300)].iloc[0]
    assert row["more_labels"] == wanted.extra
    assert (row["labels_low"], row["labels_high"]) == wanted.interval


def test_what_has_no_finite_answer_is_an_arrow_and_what_is_extrapolated_hollow() -> None:
    spec = specification(worth_in_labels(WORTH, series_names=["none", "2,000"]))
    assert marks(spec) == ["rule", "rule", "point", "point", "text"]
    assert [layer["mark"].get("filled") for layer in spec["layer"] if layer["mark"]["type"] == "point"] == [True, False]
    assert spec["layer"][-1]["mark"]["text"] == "↑"
    with pytest.raises(FigureError, match="holds values of zero or less"):
        worth_in_labels(WORTH.assign(ratio=[-1.0, 1.0, 1.0]), series_names=["2,000"])


def test_beyond_what_was_measured_the_title_says_so(evidence: Evidence) -> None:
    figure = compose_section("worth", evidence).figures[0]
    assert figure.claim.startswith("At 100 labels pre-training is worth ×1.63 to ×1.67 in 2 panels")
    assert "more labels (95% interval" in figure.notes[0]
    assert "more than any measured at 3,000 labels" in figure.notes[0]


def test_where_scratch_does_not_rise_with_labels_there_is_no_worth_and_the_page_says_why(full_study: Path) -> None:
    """From scratch the score falls by less than seeds differ: pre-training is better throughout, and
    still no labels from scratch would give its score.
    """
    study = read_study(full_study)
    runs = study.runs
    flat = 0.3 - 1e-7 * runs["finetune_images"] + 0.004 * ((runs["seed"] + runs["finetune_images"] // 3000) % 3)
    scratch = runs["pretrain_images"] == 0
    section = compose_section("worth", gather(replace(study, runs=runs.assign(miou=runs["miou"].mask(scratch, flat)))))
    assert section.figures == ()
    assert "for any series: from scratch mIoU does not rise with labels beyond its noise" in section.paragraphs[0]
    assert "from 100 to 3,000 labels, 95% interval −" in section.paragraphs[0]


def test_stages_are_compared_with_the_runs_from_scratch_of_their_own_arm(evidence: Evidence) -> None:
    """Before, with those of the first panel, whose fine-tuning may be another."""
    runs = evidence.runs
    staged = runs["intermediate"] != "none"
    names = {True: "stage", False: "baseline"}
    own = runs.assign(panel=staged.map(names), arm="main").loc[~(staged & (runs["pretrain_images"] == 0))]
    other = own.loc[~staged].assign(panel="another length", arm="epochs")
    both = replace(evidence, runs=pd.concat([other, own], ignore_index=True), panels=("another length", "baseline", "stage"))
    assert panel_of_scratch(both, "stage") == "baseline"
    assert panel_of_scratch(both, "another length") == "another length"
    assert panel_of_scratch(replace(both, runs=both.runs.drop(columns="arm")), "stage") is None


def test_without_scratch_there_is_no_worth_and_the_reason_is_said(tmp_path: Path) -> None:
    section = compose_section("worth",
        gather(read_study(write_study(tmp_path / "trained", pretrain_sizes=(2000, 20000), intermediates=("none",), examples=False)))
    )  # fmt: skip
    assert section.figures == ()
    assert "It takes a law with pre-training and one without" in section.paragraphs[0]
