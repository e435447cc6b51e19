"""The heat map of both sizes, its law and what the law leaves over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.charts.surface import score_surface
from reports.evidence import Evidence, gather
from reports.figures.surface import drawn_law
from reports.registry import compose_section
from reports.report_data import read_study
from reports.theme import FigureError, specification
from tests.reports.conftest import write_study

CELLS = pd.DataFrame({"pretrain_images": [0, 0, 2000, 2000], "finetune_images": [100, 300, 100, 300], "value": [0.2, 0.36, 0.3, 0.6]})


@pytest.fixture(scope="module")
def evidence(full_study: Path) -> Evidence:
    return gather(read_study(full_study))


def test_each_tile_prints_its_value_in_an_ink_that_can_be_read() -> None:
    spec = specification(score_surface(CELLS))
    rows = next(iter(spec["datasets"].values()))
    assert [row["printed"] for row in rows] == ["0.200", "0.360", "0.300", "0.600"]
    assert [row["ink"] for row in rows] == ["white", "white", "white", "black"]
    assert spec["layer"][0]["encoding"]["y"]["sort"] == ["2,000", "none"]
    signed = specification(score_surface(CELLS.assign(value=[-0.04, 0.0, 2.0, -2.0]), is_signed=True, places=1))
    assert [row["printed"] for row in next(iter(signed["datasets"].values()))] == ["0.0", "0.0", "+2.0", "−2.0"]
    assert signed["layer"][0]["encoding"]["color"]["scale"]["domain"] == [-2.0, 2.0]
    with pytest.raises(FigureError, match="cannot draw 1 of 4 values of 'value'"):
        score_surface(CELLS.assign(value=[np.nan, 0, 0, 0]))


def test_the_law_stands_beside_with_its_parameters_and_residuals(evidence: Evidence) -> None:
    figure = compose_section("surface", evidence).figures[0]
    assert [panel.identity for panel in figure.panels] == ["surface-0", "surface-1", "surface-law-0"]
    captions = [table.caption for table in figure.tables]
    assert any(caption.startswith("Effective data transferred") and caption.endswith("parameters") for caption in captions)
    assert any("The law is asked of the runs without an intermediate stage" in note for note in figure.notes)


def test_residual_and_law_add_up_to_the_mean(evidence: Evidence) -> None:
    from reports.figures.surface import _grid, _parts, residuals

    name, part = next(iter(_parts(evidence)))
    grid = _grid(name, part, evidence.score)
    law = drawn_law(grid)
    assert law is not None
    left = residuals(grid, law)
    assert (left["law"] + left["residual"]).to_numpy() == pytest.approx(grid.cells["mean"].to_numpy())
    assert left["law"].to_numpy() == pytest.approx(1 - law.predict(grid.cells[["pretrain_images", "finetune_images"]].to_numpy(dtype=float)).mean)


def test_a_grid_too_small_for_a_law_says_so(tmp_path: Path) -> None:
    study = write_study(tmp_path / "small", pretrain_sizes=(0, 2000), intermediates=("none",), finetune_sizes=(100, 300), examples=False)
    figure = compose_section("surface", gather(read_study(study))).figures[0]
    assert len(figure.panels) == 1
    assert any("too few for a law of six parameters" in note for note in figure.notes)
    assert "No law of both sizes is drawn" in figure.subtitle


def test_one_size_alone_is_no_surface(tmp_path: Path) -> None:
    study = write_study(tmp_path / "one", pretrain_sizes=(2000,), intermediates=("none",), examples=False)
    assert "It takes two pre-training sizes" in compose_section("surface", gather(read_study(study))).paragraphs[0]
