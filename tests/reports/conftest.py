"""Synthetic study folders with a known truth, written exactly as docs/study_folder.md says.

`write_study(folder)` writes 2 pre-training sizes and scratch x {none, classification} x 4
fine-tuning sizes x 3 seeds; its keywords make the awkward variants. mIoU follows a saturating power
law of the labels plus a gain from pre-training that shrinks with them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from analysis.runs.columns import RUN_COLUMNS, STAGE_COLUMNS
from reports.page import Figure
from reports.published import build_published
from reports.report import build_report
from reports.wording import MOST_TITLE_WORDS
from tests.reports.visit import Visit

PRETRAIN_SIZES = (0, 2000, 20000)
FINETUNE_SIZES = (100, 300, 1000, 3000)
INTERMEDIATE_EFFECT = -0.02
MEASURED = ("train_mim_loss", "val_mim_loss", "intermediate_accuracy", "finetune_train_loss", "test_images", "test_loss")
MEASURED += ("pixel_accuracy", "miou", "miou_ucl", "iou_foreground", "iou_background", "iou_border")


def true_miou(pretrain_images: int, finetune_images: int, intermediate: str) -> float:
    """0.75 - 1.4 n^-0.3, plus a pre-training gain that falls with n, plus the intermediate stage's
    constant effect.
    """
    gain = 0.02 * np.log10(1 + pretrain_images / 100) * (finetune_images / 100) ** -0.35
    return float(0.75 - 1.4 * finetune_images**-0.3 + gain + (INTERMEDIATE_EFFECT if intermediate != "none" else 0.0))


def true_val_loss(pretrain_images: int) -> float:
    """0.30 + 1.5 N^-0.35."""
    return float(0.30 + 1.5 * pretrain_images**-0.35)


def stage_id(kind: str, *settings: object) -> str:
    return f"{kind}-{hashlib.sha256(repr(settings).encode()).hexdigest()[:12]}"


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_examples(folder: Path, columns: Sequence[str], noise: float, with_score: bool) -> None:
    """Four rows of tiles, 16 px a tile: a disc, and the same disc again with `noise`."""
    items: list[dict[str, Any]] = []
    yy, xx = np.mgrid[0:16, 0:16]
    for index in range(4):
        rng = np.random.default_rng(index)
        disc = ((yy - 8) ** 2 + (xx - 5 - index) ** 2 < 30).astype(float)
        first = 255 * (0.6 * disc + 0.4 * rng.random((16, 16)))
        second = 255 * disc
        third = np.clip(second + 255 * noise * rng.standard_normal((16, 16)), 0, 255)
        row = np.concatenate([first, second, third], axis=1).astype(np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([row, row // 2, 255 - row], axis=-1)).save(folder / f"{index}.png")
        item: dict[str, Any] = {"file": f"{index}.png", "caption": f"held-out image {index}"}
        if with_score:
            item["miou_ucl"] = round(0.9 - noise, 3)
        items.append(item)
    write_json(folder / "index.json", {"columns": list(columns), "tile_px": 16, "items": items})


def plan_runs(
    name: str,
    pretrain_sizes: Sequence[int],
    lengths: Sequence[str],
    intermediates: Sequence[str],
    finetune_sizes: Sequence[int],
    seeds: Sequence[int],
) -> list[dict[str, Any]]:
    """The settings of every run; one pre-training and one intermediate stage for each seed."""
    runs = []
    for images, length, intermediate, labels, seed in product(pretrain_sizes, lengths, intermediates, finetune_sizes, seeds):
        if not images and length != lengths[0]:
            continue  # scratch has no length
        pretrain = stage_id("pretrain", images, length, seed) if images else None
        middle = stage_id("intermediate", images, length, seed) if intermediate != "none" else None
        runs.append(
            {
                "study": name,
                "run_id": stage_id("finetune", images, length, intermediate, labels, seed),
                "cell_id": stage_id("cell", images, length, intermediate, labels).removeprefix("cell-"),
                "seed": seed,
                "trunk_id": pretrain,
                "pretrain_id": pretrain,
                "intermediate_id": middle,
                "encoder": "micro/8@64",
                "encoder_params": 1_000_000,
                "pretrain_source": "coco" if images else None,
                "pretrain_images": images,
                "pretrain_recipe": "simmim" if images else None,
                "pretrain_length": length if images else None,
                "pretrain_steps": images * 20 // 64,
                "pretrain_image_passes": images * 20,
                "intermediate": intermediate,
                "intermediate_source": "intel" if middle else None,
                "intermediate_images": 3000 if middle else 0,
                "intermediate_steps": 900 if middle else 0,
                "finetune_source": "pets",
                "finetune_task": "segmentation",
                "finetune_images": labels,
                "finetune_recipe": "adamw",
                "finetune_steps": 1000,
            }
        )
    return runs


def measure(run: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The run's measured columns: the truth plus seeded noise."""
    images, seed = run["pretrain_images"], run["seed"]
    miou = true_miou(images, run["finetune_images"], run["intermediate"]) + 0.004 * rng.standard_normal()
    val_loss = true_val_loss(images) + 0.002 * (seed - 1) if images else None
    return {
        "train_mim_loss": val_loss and val_loss - 0.01,
        "val_mim_loss": val_loss,
        "intermediate_accuracy": 0.8 if run["intermediate"] != "none" else None,
        "finetune_train_loss": 0.5,
        "test_images": 1000,
        "test_loss": 0.6,
        "pixel_accuracy": miou + 0.15,
        "miou": miou,
        "miou_ucl": miou - 0.02,
        "iou_foreground": miou,
        "iou_background": miou + 0.1,
        "iou_border": miou - 0.1,
    }


def stages_of(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every stage the runs need, once, parents first."""
    stages: dict[str, dict[str, Any]] = {}
    for run in runs:
        pretrain, middle = run["pretrain_id"], run["intermediate_id"]
        if pretrain:
            passes = run["pretrain_image_passes"]
            stages[pretrain] = {"id": pretrain, "kind": "pretrain", "parent": None, "image_passes": passes, "run": run}
        if middle:
            stages[middle] = {"id": middle, "kind": "intermediate", "parent": pretrain, "image_passes": 57_600, "run": run}
    for run in runs:
        parent = run["intermediate_id"] or run["pretrain_id"]
        stages[run["run_id"]] = {"id": run["run_id"], "kind": "finetune", "parent": parent, "image_passes": 64_000, "run": run}
    return stages


def write_stage(folder: Path, stage: dict[str, Any], measured: dict[str, Any]) -> None:
    """A finished stage: spec, metrics, examples, provenance and, last, the result."""
    run = stage["run"]
    write_json(folder / "spec.json", {"kind": stage["kind"], "seed": run["seed"]})
    lines: list[dict[str, Any]] = []
    if stage["kind"] == "pretrain":
        for step in range(0, 101, 10):
            loss = measured["val_mim_loss"] + 0.3 * (1 - step / 100)
            lines.append({"step": step, "image_passes": step * 64, "learning_rate": 1e-3, "train_mim_loss": loss, "val_mim_loss": loss})
        write_examples(folder / "examples", ("image", "masked", "reconstruction"), measured["val_mim_loss"] / 4, False)
    elif stage["kind"] == "finetune":
        write_examples(folder / "examples", ("image", "truth", "prediction"), 1 - measured["miou"], True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    versions = {"python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.6"}
    provenance = {"started": "2025-01-01T00:00:00+00:00", "finished": "2025-01-01T00:02:00+00:00", "train_s": 120.0}
    provenance |= {"images_per_s": 500.0, "gpus": 1, "cpus": 2, "device": "Model GPU", "precision": "bf16", "attempts": 1}
    provenance |= {"precision_reason": "the GPU has bf16", "versions": versions, "git_commit": "0123abc", "platform": "Linux"}
    write_json(folder / "provenance.json", provenance)
    write_json(folder / "result.json", {"id": stage["id"], "kind": stage["kind"], "steps": 1000, "metrics": {}})


def write_study(
    folder: Path,
    *,
    pretrain_sizes: Sequence[int] = PRETRAIN_SIZES,
    lengths: Sequence[str] = ("20 epochs",),
    intermediates: Sequence[str] = ("none", "classification"),
    finetune_sizes: Sequence[int] = FINETUNE_SIZES,
    seeds: Sequence[int] = (0, 1, 2),
    fails: Callable[[dict[str, Any]], bool] = lambda stage: False,
    missing: Callable[[dict[str, Any]], bool] = lambda stage: False,
    examples: bool = True,
    stages_table: bool = True,
) -> Path:
    """Write a study; `fails` and `missing` say which stages (dicts with kind and run) have no
    result.
    """
    name = folder.name
    runs = plan_runs(name, pretrain_sizes, lengths, intermediates, finetune_sizes, seeds)
    stages = stages_of(runs)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "grid.yaml").write_text(f"study: {name}\npretrain_images: {list(pretrain_sizes)}\n", encoding="utf-8")
    planned = [{key: stage[key] for key in ("id", "kind", "parent", "image_passes")} | {"spec": {}} for stage in stages.values()]
    write_json(folder / "plan.json", {"format": 1, "study": name, "grid_sha256": "0" * 64, "stages": planned, "runs": runs})
    rng = np.random.default_rng(7)
    measured = {run["run_id"]: measure(run, rng) for run in runs}
    states: dict[str, tuple[str, str | None]] = {}
    for stage in stages.values():
        state: tuple[str, str | None]
        parent_state = states.get(stage["parent"], ("done", None))[0]
        if parent_state in ("failed", "blocked"):
            state = ("blocked", f"{stage['parent']} {parent_state}.")
        elif parent_state == "missing":
            state = ("missing", None)
        elif fails(stage):
            state = ("failed", "The loss became NaN at step 12; lower the learning rate.")
            write_json(folder / "stages" / stage["id"] / "error.json", {"error": state[1], "type": "Diverged", "time": "…"})
        elif missing(stage):
            state = ("missing", None)
        else:
            state = ("done", None)
            write_stage(folder / "stages" / stage["id"], stage, measured[stage["run"]["run_id"]])
        states[stage["id"]] = state
    if not examples:
        for picture in folder.glob("stages/*/examples/*"):
            picture.unlink()
    done = [run | measured[run["run_id"]] for run in runs if states[run["run_id"]][0] == "done"]
    if done:
        table = pd.DataFrame(done, columns=list(RUN_COLUMNS))
        table.to_parquet(folder / "runs.parquet", index=False)
        table.to_csv(folder / "runs.csv", index=False)
    if stages_table:
        stage_table(stages, states).to_parquet(folder / "stages.parquet", index=False)
    return folder


def stage_table(stages: dict[str, dict[str, Any]], states: dict[str, tuple[str, str | None]]) -> pd.DataFrame:
    """stages.parquet: two minutes on one GPU and two cores for each stage that is done."""
    rows = []
    for stage in stages.values():
        state, reason = states[stage["id"]]
        done = state == "done"
        row: dict[str, Any] = {"stage_id": stage["id"], "kind": stage["kind"], "parent_id": stage["parent"], "state": state}
        row |= {"reason": reason, "steps": 1000 if done else None, "image_passes": stage["image_passes"] if done else None}
        row |= {"train_s": 120.0 if done else None, "images_per_s": 500.0 if done else None}
        row |= {"gpu_hours": 120 / 3600 if done else None, "cpu_hours": 240 / 3600 if done else None}
        row |= {"device": "Model GPU" if done else None, "precision": "bf16" if done else None, "attempts": 1 if done else 0}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(STAGE_COLUMNS))


@pytest.fixture(scope="session", autouse=True)
def titles_are_short() -> Iterator[None]:
    """Every figure that any test of reports makes has a title of under MOST_TITLE_WORDS words."""
    made = Figure.__init__

    def checked(self: Figure, *args: Any, **values: Any) -> None:
        made(self, *args, **values)
        assert len(self.claim.split()) < MOST_TITLE_WORDS, f"{self.identity}: {self.claim}"
        assert not self.claim.endswith("."), self.claim

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "__init__", checked)
        yield


@pytest.fixture(scope="session")
def full_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole grid, finished. Shared by the session: tests must not write into it."""
    return write_study(tmp_path_factory.mktemp("runs") / "synthetic")


@pytest.fixture(scope="session")
def unfinished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pre-training failed (and blocks what descends from it), and the runs with 3,000 labels
    are still to come.
    """
    return write_study(
        tmp_path_factory.mktemp("runs") / "unfinished",
        fails=lambda s: s["kind"] == "pretrain" and s["run"]["pretrain_images"] == 20000 and s["run"]["seed"] == 2,
        missing=lambda s: s["kind"] == "finetune" and s["run"]["finetune_images"] == 3000,
    )


@pytest.fixture(scope="session")
def unstarted_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planned, and not one run finished."""
    return write_study(tmp_path_factory.mktemp("runs") / "unstarted", missing=lambda s: True)


@pytest.fixture
def write() -> Callable[..., Path]:
    """`write_study` itself, for a test that wants a variant of its own."""
    return write_study


@pytest.fixture(scope="session", params=["full", "unfinished", "diminishing-returns", "data-scaling"])
def report_page(request: pytest.FixtureRequest, full_study: Path, unfinished_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of each kind of study, written once a session."""
    target = tmp_path_factory.mktemp("pages") / f"{request.param}.html"
    if request.param in ("full", "unfinished"):
        return build_report(full_study if request.param == "full" else unfinished_study, target)
    return build_published(request.param, target)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a network; of one module, since its event loop must not outlive the tests
    that want it.
    """
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium is installed: pages cannot be looked at")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-quic"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def visit(report_page: Path, browser: Browser) -> Iterator[Visit]:
    """The page as opened from its file, all its charts drawn."""
    opened = Visit.to(report_page, browser)
    yield opened
    opened.page.context.close()
