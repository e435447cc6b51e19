"""Curves of training: thinned without losing their ends, overfitting marked where analysis finds
it, and phases by dash and shape.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import change_point, phase_relations, split_by_overfitting
from reports.charts.dynamics import HELD_OUT, TRAINING, learning_curves, training_and_held_out
from reports.charts.scaling import FALLS, WITHIN, loss_by_length
from reports.curves import MOST_POINTS, fixed_gaps, gaps, read_curves, thinned, turning_points
from reports.evidence import Evidence, gather
from reports.figures.lengths import loss_by_lengths, loss_by_models
from reports.page import Figure
from reports.registry import compose_section
from reports.report_data import read_study
from reports.theme import FigureError, specification
from tests.prose import complaints
from tests.reports.overfitting_study import write_overfitting_study

CURVES = pd.DataFrame({"stage_id": "p", "measure": "val_mim_loss", "step": range(1000), "image_passes": np.arange(1000.0) * 10})


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return gather(read_study(write_overfitting_study(tmp_path_factory.mktemp("runs") / "overfitting")))


def test_long_curves_are_thinned_and_keep_their_range() -> None:
    curves = CURVES.assign(value=1.0 / (1.0 + CURVES["image_passes"]), series="a")
    means = thinned(curves, ["series"])
    assert len(means) <= MOST_POINTS
    assert means["image_passes"].min() == 10  # what was measured before the first image has no place on the axis
    assert (means["low"] <= means["mean"]).all()
    two = pd.concat([curves.head(5), curves.head(5).assign(stage_id="q", value=2.0)])
    assert thinned(two, ["series"])["high"].tolist() == [2.0] * 4
    assert thinned(two, ["series"])["trainings"].tolist() == [2] * 4


def test_the_gap_is_to_the_mean_training_loss_since_the_measurement_before() -> None:
    rows = [("p", "train", passes, loss) for passes, loss in ((1, 1.0), (2, 3.0), (3, 5.0), (4, 7.0))]
    rows += [("p", "held", 2, 4.0), ("p", "held", 4, 10.0)]
    curves = pd.DataFrame(rows, columns=["stage_id", "measure", "image_passes", "value"])
    assert gaps(curves, training="train", held_out="held")["value"].tolist() == [2.0, 4.0]


def test_losses_on_fixed_images_are_compared_at_the_same_step() -> None:
    rows = [("p", "train", 1, 9.0), ("p", "train", 2, 3.0), ("p", "held", 2, 4.5), ("p", "held", 4, 10.0), ("q", "held", 2, 1.0)]
    curves = pd.DataFrame(rows, columns=["stage_id", "measure", "image_passes", "value"])
    assert fixed_gaps(curves, training="train", held_out="held").to_dict("records") == [{"stage_id": "p", "image_passes": 2, "value": 1.5}]


def test_fixed_training_images_take_the_place_of_training_batches(tmp_path: Path) -> None:
    folder = write_overfitting_study(tmp_path / "fixed")
    for path in (folder / "stages").glob("*/metrics.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            if "val_mim_loss" in line:
                line["train_eval_mim_loss"] = line["val_mim_loss"] - 0.25
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    figures = {figure.identity: figure for figure in compose_section("dynamics", gather(read_study(folder))).figures}
    assert "dashed: training images, with the same masks" in figures["figure-dynamics"].subtitle
    assert figures["figure-gap"].subtitle.startswith("Loss on held-out images minus loss on training images, both with fixed crops")
    assert figures["figure-gap"].claim.startswith("Held-out minus training loss ends at +0.25")


def test_a_turn_is_where_analysis_finds_the_change_point(evidence: Evidence) -> None:
    identity = str(evidence.runs.loc[(evidence.runs["pretrain_images"] == 1000) & (evidence.runs["pretrain_steps"] == 10_000), "pretrain_id"].iloc[0])
    curves = read_curves(evidence.study, [identity], ("val_mim_loss",))
    own = curves.loc[curves["image_passes"] > 0]
    wanted = change_point(own["image_passes"].to_numpy(), own["value"].to_numpy())
    assert wanted.overfitting
    assert turning_points(curves, held_out="val_mim_loss")["image_passes"].tolist() == [wanted.step]


def test_only_what_overfits_has_an_upright(evidence: Evidence) -> None:
    figure = compose_section("dynamics", evidence).figures[0]
    assert figure.claim.endswith("pre-trainings the held-out loss turns up")
    uprights = {panel.heading: "rule" in [layer["mark"]["type"] for layer in specification(panel.chart)["layer"]] for panel in figure.panels}
    assert any(uprights.values())
    assert not any(drawn for heading, drawn in uprights.items() if "16,000" in heading)


def test_training_is_dashed_and_held_out_solid_with_points() -> None:
    curves = pd.DataFrame({"kind": [TRAINING, HELD_OUT], "image_passes": 1.0, "mean": 0.5, "low": 0.4, "high": 0.6})
    layers = specification(training_and_held_out(curves, curves.iloc[:0]))["layer"]
    assert [layer["mark"]["type"] for layer in layers] == ["area", "line", "line", "point"]
    assert [layer["mark"]["strokeDash"] for layer in layers[1:3]] == [[5, 3], [1, 0]]
    with pytest.raises(FigureError, match="logarithmic axis for 'image_passes'"):
        learning_curves(curves.assign(series="a", image_passes=0), series_names=["a"], y_title="loss")


def test_series_are_split_as_analysis_splits_them(evidence: Evidence) -> None:
    figures = {figure.identity: figure for figure in compose_section("losses", evidence).figures}
    assert list(figures) == ["figure-loss-by-length", "figure-loss-by-model"]
    table = evidence.runs.loc[evidence.runs["pretrain_images"] > 0].drop_duplicates("pretrain_id")
    over = int((split_by_overfitting(table).series["label"] == "overfitting").sum())
    assert figures["figure-loss-by-length"].claim == f"In {over} of 12 series longer pre-training raises the loss beyond noise"
    assert over == 4  # two encoders and two seeds of 1,000 images


def test_a_rise_within_noise_is_told_and_drawn_as_a_rise(evidence: Evidence) -> None:
    """Of 1,000 images the losses of two seeds fall and then rise, by less than seeds differ."""
    runs = evidence.runs
    lengths = {passes: place for place, passes in enumerate(sorted(set(runs["pretrain_image_passes"]) - {0}))}
    course = {(1000, 0): (0.70, 0.60, 0.61), (1000, 1): (0.70, 0.66, 0.62)}
    losses = [
        course.get((images, seed), (0.70, 0.60, 0.50))[lengths[passes]] if images else np.nan
        for images, seed, passes in zip(runs["pretrain_images"], runs["seed"], runs["pretrain_image_passes"], strict=True)
    ]
    figure = loss_by_lengths(replace(evidence, runs=runs.assign(val_mim_loss=losses)))
    assert isinstance(figure, Figure)
    assert figure.claim == "In 2 of 12 series (1,000 images each) the loss rises, within noise"
    assert figure.notes[0].startswith("In 2 of 12 series (with 1,000 images) the loss rises at a step to a longer training, in 2 at the last step")
    assert "Solid lines: the loss falls at every step to a longer training; dashed: it does not." in figure.subtitle
    line, *points = specification(figure.panels[0].chart)["layer"][:3]
    assert line["encoding"]["strokeDash"]["scale"] == {"domain": [FALLS, WITHIN], "range": [[1, 0], [5, 4]]}
    assert [layer["mark"]["filled"] for layer in points] == [True, True]


def test_a_line_a_seed_is_told_apart_and_overfitting_is_dashed_and_hollow() -> None:
    points = pd.DataFrame({"size": "1,000", "steps": [1, 2] * 2, "val_mim_loss": [0.5, 0.4, 0.5, 0.6], "line": ["0", "0", "1", "1"]})
    points["phase"] = ["loss falls at every step"] * 2 + ["overfitting"] * 2
    spec = specification(loss_by_length(points, sizes=["1,000"]))
    assert spec["layer"][0]["encoding"]["detail"]["field"] == "line"
    assert [layer["mark"]["filled"] for layer in spec["layer"][1:]] == [True, False]


def test_the_scatter_by_phase_has_the_slopes_of_analysis(evidence: Evidence) -> None:
    section = compose_section("correlation", evidence)
    figure = section.figures[0]
    assert figure.identity == "figure-phases"
    runs = evidence.runs.reset_index(drop=True)
    slopes = phase_relations(runs, split_by_overfitting(runs), y="miou").table.set_index("phase")["slope"]
    phrases = [f"{float(slopes[phase]):.2f}".replace("-", "−") for phase in ("falling", "overfitting")]
    assert figure.claim == f"Slope of mIoU on loss: {phrases[0]} where it falls, {phrases[1]} where overfitting"
    assert figure.notes[0].startswith(
        f"Per unit of validation loss mIoU changes by {phrases[0]} in series where it falls and {phrases[1]} in those that overfit"
    )
    spec = specification(figure.panels[0].chart)
    lines = [row for row in spec["datasets"][spec["layer"][0]["data"]["name"]] if row["group"] == "overfitting"]
    rise = (lines[1]["score"] - lines[0]["score"]) / (lines[1]["val_mim_loss"] - lines[0]["val_mim_loss"])
    assert rise == pytest.approx(float(slopes["overfitting"]))


def test_a_study_of_one_length_keeps_its_scatter_and_its_loss_by_images(full_study: Path) -> None:
    one = gather(read_study(full_study))
    assert [figure.identity for figure in compose_section("losses", one).figures] == ["figure-loss-by-images", "figure-loss-during-training"]
    assert compose_section("correlation", one).figures[0].identity == "figure-correlation"


def test_losses_of_two_objectives_are_lines_of_their_own_and_are_not_averaged(tmp_path: Path) -> None:
    study = read_study(write_overfitting_study(tmp_path / "objectives", seeds=3))
    runs = study.runs
    trained = runs.loc[runs["pretrain_images"] > 0]
    names = {column: trained[column] + "-mae" for column in ("run_id", "pretrain_id", "cell_id", "trunk_id")}
    mae = trained.assign(pretrain_objective="mae", val_mim_loss=trained["val_mim_loss"] + 1.0, **names)
    both = pd.concat([runs.assign(pretrain_objective=runs["pretrain_images"].gt(0).map({True: "simmim", False: None})), mae], ignore_index=True)
    evidence = gather(replace(study, runs=both, planned=None))
    lengths, models = loss_by_lengths(evidence), loss_by_models(evidence)
    assert isinstance(lengths, Figure)
    assert isinstance(models, Figure)
    assert lengths.notes == ()  # all lines are drawn
    assert [panel.heading for panel in models.panels] == ["simmim", "mae"]
    assert len(models.tables[0].rows) == 12
    assert models.claim == "With 16,000 images (mae) validation loss is 1.395 for micro/8@64, 1.388 for tiny/8@64"
    assert complaints(f"{models.subtitle} {models.description}") == []
