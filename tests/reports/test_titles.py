"""The title of a figure holds for every panel and series that the figure shows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis import summarise_cells
from reports.evidence import LEVEL, Evidence, gather
from reports.figures.returns import label_steps
from reports.figures.scores import ends_claim
from reports.page import Figure
from reports.registry import compose_section
from reports.report_data import read_study

ORDER = ("none", "500", "2,000")


@pytest.fixture(scope="module")
def evidence(full_study: Path) -> Evidence:
    """A study with two panels, whose second has the opposite trend with labels."""
    study = read_study(full_study)
    runs = study.runs
    turned = runs["miou"] - 0.3 * (runs["finetune_images"] > 1000) * (runs["intermediate"] != "none")
    return gather(replace(study, runs=runs.assign(miou=turned)))


def figure_of(evidence: Evidence, section: str) -> Figure:
    return compose_section(section, evidence).figures[0]


def cells(*rows: tuple[str, str, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["panel", "series", "finetune_images", "mean"])


def test_scores_of_several_panels_or_series_are_told_as_ranges() -> None:
    one = cells(("", "none", 40, 0.2), ("", "none", 240, 0.3), ("", "500", 40, 0.25), ("", "500", 240, 0.35))
    assert ends_claim(one, ORDER) == "40 to 240 labels: mIoU from scratch 0.200–0.300, pre-trained 0.250–0.350"
    longer = pd.concat([one, cells(("", "2,000", 40, 0.4), ("", "2,000", 240, 0.5))])
    assert ends_claim(longer, ORDER) == "With 240 labels mean mIoU is 0.300 from scratch, 0.350–0.500 pre-trained"
    two = pd.concat([one.assign(panel="a"), one.assign(panel="b", mean=one["mean"] + 0.01)])
    assert ends_claim(two, ORDER) == "With 240 labels mean mIoU is 0.300–0.310 from scratch, 0.350–0.360 pre-trained"
    trained = two.loc[two["series"] != "none"]
    assert ends_claim(trained, ORDER) == "Mean mIoU is 0.250–0.260 at 40 labels, 0.350–0.360 at 240"
    assert ends_claim(trained.loc[trained["finetune_images"] == 40], ORDER) == "With 40 labels, mean mIoU is 0.250–0.260"


def test_effects_are_told_over_all_panels_and_series(evidence: Evidence) -> None:
    assert evidence.pretraining is not None
    table = evidence.pretraining.table
    spans = []
    for size in (table["finetune_images"].min(), table["finetune_images"].max()):
        part = table.loc[table["finetune_images"] == size, "difference"]
        spans.append(f"{part.min():+.3f} to {part.max():+.3f}".replace("-", "−"))
    assert figure_of(evidence, "pretraining").claim == f"Pre-training: mIoU {spans[0]} at 100 labels, {spans[1]} at 3,000"


def test_effects_at_equal_labels_count_the_intervals_that_exclude_zero(evidence: Evidence) -> None:
    runs = evidence.study.runs
    single = gather(replace(evidence.study, runs=runs.loc[runs["finetune_images"] == 300]))
    assert single.pretraining is not None
    sure = int((single.pretraining.table["low"] > 0).sum() + (single.pretraining.table["high"] < 0).sum())
    assert figure_of(single, "pretraining").claim.endswith(f", {sure} of {len(single.pretraining.table)} intervals exclude zero")


def test_the_average_of_a_stage_has_its_interval_and_every_stage_is_named(evidence: Evidence) -> None:
    row = evidence.intermediate.overall.iloc[0] if evidence.intermediate else pd.Series()
    ends = f"({row['low']:+.3f} to {row['high']:+.3f})".replace("-", "−")
    figure = figure_of(evidence, "intermediate")
    assert figure.claim.startswith("An intermediate classification stage: −")
    assert figure.claim.endswith(f"on average {ends}")
    runs = evidence.study.runs
    staged = runs.loc[runs["intermediate"] != "none"]
    names = {column: staged[column] + "-spatial" for column in ("run_id", "intermediate_id", "cell_id") if column in staged.columns}
    spatial = staged.assign(intermediate="spatial", miou=staged["miou"] + 0.2, **names)
    both = gather(replace(evidence.study, runs=pd.concat([runs, spatial], ignore_index=True), planned=None))
    claim = figure_of(both, "intermediate").claim
    assert claim.startswith("mIoU on average: classification −")
    assert ", spatial +" in claim


def test_the_last_doubling_is_counted_over_all_panels(evidence: Evidence) -> None:
    last = label_steps(evidence).query("to == 3000")
    low, high = last["gain"].min(), last["gain"].max()
    assert low < 0 < high
    claim = figure_of(evidence, "returns").claim
    assert claim.startswith(f"1,000–3,000 labels: {low:+.3f} to {high:+.3f} mIoU per doubling, ".replace("-", "−"))


def test_the_surface_is_told_over_its_grids(evidence: Evidence) -> None:
    cells = summarise_cells(evidence.runs, by=["panel", "pretrain_images", "finetune_images"], outcome="miou", level=LEVEL)
    corners = cells.set_index(["panel", "pretrain_images", "finetune_images"])["mean"]
    gains = [corners[panel, 0, 3000] - corners[panel, 0, 100] for panel in evidence.panels]
    assert f"3,000 labels {min(gains):+.3f} to {max(gains):+.3f}".replace("-", "−") in figure_of(evidence, "surface").claim


def test_kinds_of_pretraining_are_named_in_the_title_also_where_a_name_leaves_one_out(evidence: Evidence) -> None:
    runs = evidence.study.runs.query("intermediate == 'none'")
    trained = runs.loc[runs["pretrain_images"] > 0].assign(pretrain_objective="simmim")
    most = trained.loc[trained["pretrain_images"] == trained["pretrain_images"].max()]
    ids = [column for column in ("run_id", "pretrain_id", "cell_id", "trunk_id") if column in runs.columns]
    parts = [runs.loc[runs["pretrain_images"] == 0], trained]
    for images, objective, gain in ((30000, "simmim", 0.0), (40000, "simmim", 0.0), (40000, "mae", 0.1)):
        names = {column: most[column] + f"-{images}-{objective}" for column in ids}
        parts.append(most.assign(pretrain_images=images, pretrain_objective=objective, miou=most["miou"] + gain, **names))
    several = gather(replace(evidence.study, runs=pd.concat(parts, ignore_index=True), planned=None))
    assert several.series_names[-2:] == ("40,000", "40,000, mae")
    claim = figure_of(several, "pretraining").claim
    assert "()" not in claim
    assert re.search(r"^Pre-training: mIoU [+−][\d.]+ \(simmim\) to [+−][\d.]+ \(mae\) at 3,000 labels$", claim)
