"""Everything that a user can add, added from outside: an objective, an encoder and a source in one
plug-in file beside the grid (tests/toys.py), a law and a figure here. One grid runs with all of them
to its report, and no file of the project knows of any.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import altair as alt
import numpy as np
import pytest

import reports.registry
from analysis import fit, load_runs, main_effects
from reports.build import main as build_report
from reports.evidence import Evidence
from reports.page import Figure, Panel, make_table
from reports.registry import FigureKind, figure_kinds, register

ROOT = Path(__file__).resolve().parents[1]
GRID = """
study: extended
encoder: toyconv-8x2@16
plugins: toys
pretrain:
  source: gradients
  images: [0, 40]
  length: 6 steps
  objective: [simmim, mean-colour]
  recipe: {name: compact, batch_images: 8}
  heldout_images: 8
finetune:
  source: gradients
  images: [8, 16, 32]
  length: 6 steps
  task: mean-colour
  recipe: {name: compact, batch_images: 8}
  test_images: 8
seeds: 2
"""


def halving(x: np.ndarray, floor: float, scale: float) -> np.ndarray:
    """A law of one's own: what is above the floor halves with every fourfold x."""
    return floor + scale / np.sqrt(x)


def mean_error(evidence: Evidence) -> Figure | str:
    """The mean colour error at each number of labels."""
    table = evidence.runs.groupby("finetune_images")["colour_error"].mean().rename("error").reset_index()
    return Figure(
        claim=f"The mean colour error is {table['error'].mean():.3f}",
        subtitle="Each point is the mean of all runs.",
        description="Mean errors.",
        panels=(Panel(identity="mean-error-0", chart=alt.Chart(table).mark_line().encode(x="finetune_images:Q", y="error:Q"), alternative="Means."),),
        tables=(make_table(table, caption="Mean errors", file_name="mean_error.csv"),),
    )


@pytest.fixture
def extended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure is registered, in a registry that forgets it after the test."""
    figure_kinds()
    monkeypatch.setattr(reports.registry, "_figures", dict(reports.registry._figures))
    monkeypatch.setattr(reports.registry, "_sections", dict(reports.registry._sections))
    register(
        FigureKind(
            name="mean-error", section="scores", place=90, title="Mean error", draws="the mean error", needs=("colour_error",), build=mean_error
        )
    )


@pytest.mark.slow
@pytest.mark.usefixtures("extended")
def test_a_grid_of_extensions_runs_to_its_report(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("toys.py"), tmp_path / "toys.py")
    (tmp_path / "grid.yaml").write_text(GRID)
    out = tmp_path / "runs" / "extended"
    options = ["--data", str(tmp_path / "data"), "--out", str(out), "--no-report"]
    command = [sys.executable, "-m", "scaling.launch", str(tmp_path / "grid.yaml"), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = load_runs(out)
    assert len(runs) == 3 * 3 * 2  # scratch and two objectives, three numbers of labels, two seeds
    assert set(runs["encoder"]) == {"toyconv-8x2@16"}
    assert set(runs["finetune_source"]) == {"gradients"}
    assert runs["colour_error"].between(0, 5).all()
    assert runs.loc[runs["pretrain_objective"] == "mean-colour", "val_colour_error"].notna().all()
    documented = json.loads((out / "columns.json").read_text())["runs"]
    assert documented["colour_error"]["better"] == "lower"
    effects = main_effects(runs)
    assert effects.outcome_title == "colour error"
    assert {"pretraining", "pretrain_objective", "finetune_images"} <= set(effects.table["axis"])
    law = fit(runs["finetune_images"], runs["colour_error"], law=halving, cluster=runs["seed"])
    assert law.law == "halving"
    assert set(law.params) == {"floor", "scale"}
    assert build_report([str(out)]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "The mean colour error is" in page
    assert "colour error" in page
