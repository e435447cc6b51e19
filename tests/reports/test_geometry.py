"""What the encoder has learned, and the pictures chosen by rule: from files of known content to
sections.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reports.charts.arms import values_by_arm, wrapped
from reports.charts.geometry import attention_by_layer, similarity_by_distance, value_by_encoder
from reports.diagnostics import read_diagnostics
from reports.errors import ReportError
from reports.evidence import Evidence, gather
from reports.figures.geometry import attention_distance, once_each
from reports.pictures import gallery, ranked_gallery
from reports.registry import compose_section
from reports.report_data import read_study
from reports.sections.reconstructions import reconstruction_blocks
from reports.theme import GREY, FigureError, ramp, specification

ENCODERS = ["none", "2,000", "20,000"]
TRUE_PROBE = {"untrained": 0.60, "pretrain": 0.66, "intermediate": 0.63}


def numbers(kind: str, seed: int) -> dict[str, Any]:
    shared = dict.fromkeys(("within_image_variance", "across_image_variance", "within_image_share", "content_share", "position_share"), 0.5)
    probe = {"test_accuracy": TRUE_PROBE[kind] + 0.001 * seed, "test_accuracy_se": 0.01, "floor": 0.5, "place_floor": 0.55}
    slope = {"untrained": 0.05, "pretrain": 0.1, "intermediate": 0.08}[kind]
    return {
        "measures": shared | {"effective_rank": 30.0 + seed},
        "similarity_by_distance": [{"distance": d, "similarity": 0.9 - slope * d, "pairs": 3} for d in (1, 2, 3)],
        "attention_distance_px": [{"layer": n, "mean": 10.0 + n, "heads": []} for n in (1, 2)],
        "uniform_attention_distance_px": 20.0,
        "probe": probe,
    }


def write_diagnostics(study: Path) -> None:
    """As docs/study_folder.md says, for every pre-training and intermediate stage."""
    for spec in study.glob("stages/*/spec.json"):
        kind, seed, folder = json.loads(spec.read_text())["kind"], json.loads(spec.read_text())["seed"], spec.parent
        if kind == "finetune":
            continue
        settings = {"data": {"source": "pets", "test_images": 100}}
        made = {
            "id": folder.name,
            "encoder": "micro/8@64",
            "seed": seed,
            "settings": settings,
            "no_probe": "",
            "cka": {"parent": None, "random": 0.7},
        }
        (folder / "diagnostics.json").write_text(json.dumps(made | numbers(kind, seed) | {"random": numbers("untrained", seed)}))
        (folder / "diagnostics").mkdir()
        write_pictures(folder / "diagnostics", ["image", "similarity", "untrained encoder"], [{"caption": "held-out image 0"}])


def write_pictures(folder: Path, columns: list[str], items: list[dict[str, Any]]) -> None:
    for number in range(len(items)):
        row = np.concatenate([np.full((8, 8, 3), 80 * tile + number, np.uint8) for tile in range(3)], axis=1)
        Image.fromarray(row).save(folder / f"{number}.png")
    listed = [{"file": f"{number}.png"} | item for number, item in enumerate(items)]
    (folder / "index.json").write_text(json.dumps({"columns": columns, "tile_px": 8, "items": listed}))


@pytest.fixture
def measured(write: Callable[..., Path], tmp_path: Path) -> Evidence:
    study = write(tmp_path / "measured", finetune_sizes=(100, 300))
    write_diagnostics(study)
    return gather(read_study(study))


def test_encoders_without_attention_have_no_figure_of_it(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(tmp_path / "convolutions")
    write_diagnostics(study)
    for file in study.glob("stages/*/diagnostics.json"):
        values = json.loads(file.read_text())
        values["attention_distance_px"] = values["random"]["attention_distance_px"] = []
        file.write_text(json.dumps(values))
    evidence = gather(read_study(study))
    assert attention_distance(evidence) == ""
    section = compose_section("geometry", evidence)
    assert section is not None
    assert "patch-similarity" in str([figure.identity for figure in section.figures])


def test_every_run_finds_the_encoder_it_was_fine_tuned_from(measured: Evidence) -> None:
    found = read_diagnostics(measured.study.folder / "stages", measured.runs)
    assert found is not None
    assert len(found.encoders) == 2 * 3 * 3  # panels, series, seeds
    assert found.missing == 0
    probes = found.encoders.groupby(["panel", "series"])["probe"].mean().round(3).to_dict()
    none, staged = measured.panels
    assert {probes[none, series] for series in ("2,000", "20,000")} == {0.661}
    assert probes[none, "none"] == 0.601
    assert {probes[staged, series] for series in ENCODERS} == {0.631}
    assert found.untrained == {(none, "none")}


def test_the_section_says_the_numbers_and_pairs_by_seed(measured: Evidence) -> None:
    section = compose_section("geometry", measured)
    assert [figure.identity for figure in section.figures] == [
        "figure-probe", "figure-patch-similarity", "figure-token-geometry", "figure-attention-distance"]  # fmt: skip
    probe = section.figures[0]
    assert probe.claim == "Patch probe: 60.1 to 66.1% right; by a patch's place alone 55.0%"
    assert "always naming the commonest class is right on 50.0%" in probe.subtitle
    assert "after pre-training on 2,000 images (no intermediate stage), +6.0 (95% interval +6.0 to +6.0)" in probe.notes[0]
    assert "untrained (no intermediate stage) 0.601" in probe.panels[0].alternative
    assert section.figures[1].claim.startswith("Similarity of patches falls with distance by 0.")
    assert section.figures[1].claim.endswith("0.20")
    rows = section.galleries[0].pictures.rows
    assert [row.label for row in rows][:3] == ["image", "untrained encoder", "after pre-training on 2,000 images (no intermediate stage)"]
    assert len(rows) == 2 + 5  # a run from scratch has no picture of its own
    identities = [panel.identity for figure in section.figures for panel in figure.panels]
    assert len(identities) == len(set(identities))


def test_an_unmeasured_study_gets_the_command_and_a_partly_measured_one_the_count(measured: Evidence, full_study: Path) -> None:
    bare = compose_section("geometry", gather(read_study(full_study)))
    assert len(bare.paragraphs) == 1
    assert f"run python -m trials.diagnose runs/{full_study.name} --store data/store" in bare.paragraphs[0]
    assert not bare.figures
    next(measured.study.folder.glob("stages/pretrain-*/diagnostics.json")).unlink()
    assert "1 encoder of a finished run was not measured" in " ".join(compose_section("geometry", measured).paragraphs)


def test_without_masks_the_probe_is_left_out_and_the_reason_said(measured: Evidence) -> None:
    reason = "The fine-tuning data x have no masks that a probe could learn, so there is no patch probe."
    for path in measured.study.folder.glob("stages/*/diagnostics.json"):
        values = json.loads(path.read_text()) | {"probe": None, "no_probe": reason}
        values["random"]["probe"] = None
        path.write_text(json.dumps(values))
    section = compose_section("geometry", measured)
    assert reason in section.paragraphs
    assert "figure-probe" not in [figure.identity for figure in section.figures]


def test_a_file_of_another_form_is_named(measured: Evidence) -> None:
    next(measured.study.folder.glob("stages/pretrain-*/diagnostics.json")).write_text('{"encoder": "a"}')
    with pytest.raises(ReportError, match=r"is not of the form in docs/study_folder.md \(.*\); delete it and run trials.diagnose again"):
        compose_section("geometry", measured)


def test_figures_have_bands_only_where_there_are_intervals_and_keep_an_arms_colour() -> None:
    points = pd.DataFrame({"encoder": ["20,000"] * 2, "distance": [1, 2], "similarity": [0.8, 0.5], "low": [0.7, 0.4], "high": [0.9, 0.6]})
    marks = [layer["mark"]["type"] for layer in specification(similarity_by_distance(points, encoders=ENCODERS))["layer"]]
    assert marks == ["area", "line", "point"]
    one_seed = specification(similarity_by_distance(points.assign(low=np.nan, high=np.nan), encoders=ENCODERS))
    assert [layer["mark"]["type"] for layer in one_seed["layer"]] == ["line", "point"]
    assert one_seed["layer"][0]["encoding"]["color"]["scale"] == {"domain": ["20,000"], "range": [ramp(2)[1]]}


def test_a_floor_is_a_dashed_grey_line_in_the_place_of_the_stems() -> None:
    points = pd.DataFrame({"encoder": ["none", "2,000"], "value": [0.6, 0.7], "low": [0.5, np.nan], "high": [0.7, np.nan]})
    spec = specification(value_by_encoder(points, encoders=ENCODERS, x_title="accuracy", floor=0.55))
    floor, bar, dots = spec["layer"]
    assert (floor["mark"]["color"], floor["mark"]["strokeDash"]) == (GREY, [5, 4])
    assert spec["datasets"][floor["data"]["name"]] == [{"floor": 0.55}]
    assert len(spec["datasets"][bar["data"]["name"]]) == 1
    assert dots["encoding"]["y"]["sort"] == ["none", "2,000"]
    with pytest.raises(FigureError, match="cannot draw 1 of 1 values of 'floor'"):
        value_by_encoder(points, encoders=ENCODERS, x_title="accuracy", floor=float("nan"))


def test_attention_is_drawn_against_uniform_attention() -> None:
    points = pd.DataFrame({"encoder": ["none", "none"], "layer": [1, 2], "distance": [20.0, 10.0]})
    spec = specification(attention_by_layer(points, encoders=ENCODERS, uniform=33.0))
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["rule", "line", "point"]
    assert spec["datasets"][spec["layer"][0]["data"]["name"]] == [{"uniform": 33.0}]


def ranked_items(best: float) -> list[dict[str, Any]]:
    plain = {"caption": "test image 0", "miou": 0.5, "miou_ucl": 0.4, "place": 5, "of": 9}
    scores = {"best": (best, 1), "median": (0.5, 5), "worst": (0.1, 9)}
    return [plain, *({"caption": f"test image {place}", "rank": r, "miou": s, "place": place, "of": 9} for r, (s, place) in scores.items())]


def test_ranked_pictures_stand_side_by_side_with_their_scores_and_stay_out_of_the_gallery_of_the_same_images(tmp_path: Path) -> None:
    stages = [("first series", tmp_path / "a"), ("second series", tmp_path / "b"), ("old series", tmp_path / "c")]
    for (_, folder), best in zip(stages, (0.9, 0.8, None), strict=True):
        (folder / "examples").mkdir(parents=True)
        items = ranked_items(best) if best else [{"caption": "test image 0", "miou_ucl": 0.3}]
        write_pictures(folder / "examples", ["image", "truth", "prediction"], items)
    ranked = ranked_gallery(stages)
    assert [[tile.caption for tile in row.tiles] for row in ranked.rows] == [
        ["best of 9: mIoU 0.90", "median, place 5 of 9: mIoU 0.50", "worst, place 9 of 9: mIoU 0.10"],
        ["best of 9: mIoU 0.80", "median, place 5 of 9: mIoU 0.50", "worst, place 9 of 9: mIoU 0.10"],
    ]
    assert all(row.whole for row in ranked.rows)
    assert ranked.missing == "Not ranked when they were scored: old series."
    data = base64.b64decode(ranked.rows[0].tiles[2].source.partition("base64,")[2])
    assert np.asarray(Image.open(io.BytesIO(data)))[0, 0, 0] == 3  # the fourth picture is the worst's
    same = gallery(stages, shared=("image", "truth"), own="prediction")
    assert [len(row.tiles) for row in same.rows] == [1] * 5
    assert same.rows[-1].tiles[0].alternative.endswith("mIoU of this image 0.30")


def test_folders_without_ranks_have_no_ranked_block(full_study: Path) -> None:
    headings = [block.heading for block in compose_section("pictures", gather(read_study(full_study))).galleries]
    assert headings == ["Segmentations of the same images", "Reconstructions"]


def test_the_fewest_and_most_images_are_reconstructed_where_lengths_tell_nothing(full_study: Path) -> None:
    (block,) = reconstruction_blocks(gather(read_study(full_study)))
    assert "The pre-trainings on the fewest (2,000) and the most images (20,000)" in block.subtitle
    assert [row.label.partition(", held-out loss")[0] for row in block.pictures.rows[2:]] == [
        "after pre-training on 2,000 images", "after pre-training on 20,000 images"]  # fmt: skip


def test_reconstructions_of_training_images_stand_below_where_they_were_kept(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(tmp_path / "kept", intermediates=("none",), finetune_sizes=(100,), seeds=(0,))
    for stage in (study / "stages").glob("pretrain-*"):
        shutil.copytree(stage / "examples", stage / "examples_train")
    held_out, *own = reconstruction_blocks(gather(read_study(study)))
    assert held_out.heading == "Reconstructions"
    assert [block.heading.partition(", held-out loss")[0] for block in own] == [
        "Reconstructions of training images: after pre-training on 2,000 images",
        "Reconstructions of training images: after pre-training on 20,000 images",
    ]
    assert all(block.folded and len(block.pictures.rows) == 3 for block in own)


def test_the_series_that_overfits_most_is_set_beside_the_best_that_does_not(write: Callable[..., Path], tmp_path: Path) -> None:
    """2,000 images overfit by 0.1 at the longer training, 20,000 fall; the pair is of the longer
    length.
    """
    study = write(tmp_path / "lengths", lengths=("5 epochs", "20 epochs"), intermediates=("none",), finetune_sizes=(100, 300))
    runs = pd.read_parquet(study / "runs.parquet")
    long, small = runs["pretrain_length"] == "20 epochs", runs["pretrain_images"] == 2000
    runs.loc[long, "pretrain_steps"] *= 4
    base = runs["val_mim_loss"] - 0.002 * (runs["seed"] - 1)
    noise = 0.0001 * ((runs["seed"] * 7 + long) % 3)
    runs["val_mim_loss"] = base + noise + np.where(long & small, 0.1, np.where(long, -0.05, 0.0))
    runs.to_parquet(study / "runs.parquet")
    (block,) = reconstruction_blocks(gather(read_study(study)))
    labels = [row.label for row in block.pictures.rows[2:]]
    assert labels[0].startswith("overfitting, after pre-training on 2,000 images (20 epochs), held-out loss ")
    assert labels[1].startswith("not overfitting, after pre-training on 20,000 images (20 epochs), held-out loss ")
    loss = runs.loc[long & small & (runs["seed"] == 0), "val_mim_loss"].iloc[0]
    assert labels[0].endswith(f"{loss:.4f}")
    assert "rises most with longer training (by 0.10" in block.subtitle


def test_a_row_of_an_encoder_says_what_its_number_counts() -> None:
    points = pd.DataFrame({"encoder": ["none", "500", "500, mae"], "value": [0.7, 0.8, 0.9]})
    spec = specification(value_by_encoder(points, encoders=["none", "500", "500, mae"], x_title="accuracy"))
    labels = spec["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]
    assert labels == """split({"none": "none", "500": "500 images", "500, mae": "500 images, mae"}[datum.label], ', ')"""


def test_encoders_that_only_fine_tuning_tells_apart_are_drawn_once(measured: Evidence) -> None:
    """Two lengths of fine-tuning from the same encoders are one panel, under their common name."""
    runs = measured.runs
    none, staged = measured.panels
    again = runs.loc[runs["panel"] == none].assign(panel=f"{none}, arm: epochs")
    both = pd.concat([runs, again], ignore_index=True)
    assert list(dict.fromkeys(once_each(both)["panel"])) == [none, staged]
    apart = both.assign(panel=both["panel"].where(both["panel"] != none, f"{none}, arm: steps"))
    assert list(dict.fromkeys(once_each(apart)["panel"])) == [none, staged]
    assert once_each(runs)["panel"].tolist() == runs["panel"].tolist()
    section = compose_section("geometry", replace(measured, runs=both, panels=(*measured.panels, f"{none}, arm: epochs")))
    assert [panel.heading for panel in section.figures[1].panels] == [none, staged]


def test_a_measure_of_many_arms_has_one_chart_with_a_row_each(measured: Evidence) -> None:
    runs = measured.runs
    none, staged = measured.panels
    third = runs.loc[(runs["panel"] == staged) & (runs["series"] != "none")].assign(panel="a third")
    three = replace(measured, runs=pd.concat([runs, third], ignore_index=True), panels=(none, staged, "a third"))
    probe = compose_section("geometry", three).figures[0]
    assert [panel.heading for panel in probe.panels] == ["patch probe accuracy"]
    spec = specification(probe.panels[0].chart)
    dots = spec["layer"][-1]
    assert dots["encoding"]["y"]["sort"] == [none, staged, "a third"]
    assert dots["encoding"]["yOffset"]["sort"] == ["none", "2,000", "20,000"]
    assert "2,000 images (a third) 0." in probe.panels[0].alternative


def test_a_row_of_an_arm_has_its_name_in_lines_and_no_offset_for_one_series() -> None:
    points = pd.DataFrame({"arm": ["intermediate stage: classification on intel-scenes, arm: scenes_cls"], "series": "2,000", "value": [0.1]})
    spec = specification(
        values_by_arm(points.assign(low=np.nan, high=np.nan), arms=list(points["arm"]), series_names=["2,000"], x_title="v", rule=0.0)
    )
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["rule", "point"]  # no bar without an interval
    assert wrapped(points["arm"].iloc[0]) == ["classification on intel-scenes,", "arm: scenes_cls"]
    assert "yOffset" not in spec["layer"][1]["encoding"]
    with pytest.raises(FigureError, match="cannot draw 1 of 1 values of 'value'"):
        values_by_arm(points.assign(value=np.nan, low=0.0, high=1.0), arms=list(points["arm"]), series_names=["2,000"], x_title="v")
