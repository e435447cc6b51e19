"""Each reader against files that the real library wrote in the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis import AnalysisError, read_hf_trainer, read_json_lines, read_mlflow, read_ray_tune, read_tensorboard, read_wandb

SIZES, SEEDS, STEPS = (100, 200), (0, 1), (0, 1, 2)
GRID = [(size, seed) for size in SIZES for seed in SEEDS]


def accuracy(size: int, seed: int, step: int) -> float:
    return 0.5 + size / 1000 + seed / 100 + step / 64


def expect_runs(table: pd.DataFrame) -> None:
    """The runs of the grid, one row each, with the last accuracy."""
    assert sorted(zip(table["n_labels"], table["seed"], strict=True)) == GRID
    assert table["run"].is_unique
    expected = [accuracy(size, seed, STEPS[-1]) for size, seed in zip(table["n_labels"], table["seed"], strict=True)]
    assert table["acc"].tolist() == pytest.approx(expected, rel=1e-6)


def expect_evaluations(table: pd.DataFrame) -> None:
    """One row a step."""
    assert len(table) == len(GRID) * len(STEPS)
    expected = [accuracy(*row) for row in zip(table["n_labels"], table["seed"], table["step"], strict=True)]
    assert table["acc"].tolist() == pytest.approx(expected, rel=1e-6)


def written_by(program: str, where: Path) -> Path:
    """Run a program in a process of its own, with the grid's names at hand."""
    start = f"GRID = {GRID}\nSTEPS = {STEPS}\n\ndef accuracy(size, seed, step):\n    return 0.5 + size / 1000 + seed / 100 + step / 64\n\n"
    quiet = os.environ | {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "HOME": str(where)}
    done = subprocess.run([sys.executable, "-c", start + program], cwd=where, capture_output=True, text=True, env=quiet)
    assert done.returncode == 0, done.stderr[-2000:]
    return where


@pytest.fixture(scope="module")
def wandb_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("wandb")
    program = """
import wandb
for size, seed in GRID:
    run = wandb.init(project="p", name=f"n{size} s{seed}", config={"n_labels": size, "seed": seed, "optimizer": {"lr": 0.1}, "blocks": [1, 2]})
    for step in STEPS:
        run.log({"acc": accuracy(size, seed, step), "text": "x" * 20_000})
    run.finish()
"""
    return written_by(program, tmp_path_factory.mktemp("wandb"))


def test_offline_runs_of_wandb(wandb_folder: Path) -> None:
    table = read_wandb(wandb_folder)
    expect_runs(table)
    assert set(table["optimizer.lr"]) == {0.1}
    assert set(table["blocks"]) == {"[1, 2]"}
    assert sorted(table["run"]) == [f"n{size} s{seed}" for size, seed in GRID]
    expect_evaluations(read_wandb(wandb_folder, rows="evaluations"))


def accuracies(file: Path) -> list[float]:
    try:
        return read_wandb(file, rows="evaluations")["acc"].tolist()
    except AnalysisError:  # nothing was logged yet
        return []


def test_one_file_of_wandb_and_a_cut_off_one(wandb_folder: Path, tmp_path: Path) -> None:
    file = sorted(wandb_folder.rglob("*.wandb"))[0]
    whole = read_wandb(file, rows="evaluations")
    assert len(whole) == len(STEPS)
    content, cut, found = file.read_bytes(), tmp_path / file.name, set()
    for length in (*range(1_000, len(content), 3_001), len(content)):
        cut.write_bytes(content[:length])
        part = accuracies(cut)
        assert part == whole["acc"].tolist()[: len(part)]
        found.add(len(part))
    assert found == {0, 1, 2, 3}


def test_a_table_exported_from_wandb(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_text("Name,acc,n_labels\na,0.5,100\nb,0.6,200\n")
    assert read_wandb(tmp_path / "export.csv")["acc"].tolist() == [0.5, 0.6]


@pytest.mark.parametrize(
    "damage", [b":W&B", b"\x00" * 50, b":W&B\xe1\xbe\x00" + b"\xff" * 60, b":W&B\xe1\xbe\x00" + b"\x00" * 4 + b"\x02\x00\x01\x0a\xff"]
)
def test_a_file_that_is_not_of_wandb_is_refused_in_a_sentence(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "run-1.wandb").write_bytes(damage)
    with pytest.raises(AnalysisError, match=r"not a file of W&B|holds no logged value|is damaged"):
        read_wandb(tmp_path)


MLFLOW = """
import mlflow
mlflow.set_tracking_uri(URI)
mlflow.set_experiment("sizes")
for size, seed in GRID:
    with mlflow.start_run(run_name=f"n{size}-{seed}"):
        mlflow.log_params({"n_labels": size, "seed": seed})
        for step in STEPS:
            mlflow.log_metric("acc", accuracy(size, seed, step), step=step)
with mlflow.start_run(run_name="deleted") as run:
    mlflow.log_metric("acc", 0.0)
mlflow.delete_run(run.info.run_id)
"""


@pytest.mark.parametrize("kind", ["database", "folder"])
def test_runs_of_mlflow(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}" if kind == "database" else (tmp_path / "mlruns").as_uri()
    allowed = "import os\nos.environ['MLFLOW_ALLOW_FILE_STORE'] = 'true'\n"
    written_by(f"{allowed}URI = {uri!r}\n{MLFLOW}", tmp_path)
    place = tmp_path / ("mlflow.db" if kind == "database" else "mlruns")
    table = read_mlflow(place)
    expect_runs(table)
    assert set(table["experiment"]) == {"sizes"}
    assert sorted(table["run"]) == [f"n{size}-{seed}" for size, seed in GRID]
    expect_evaluations(read_mlflow(place, experiment="sizes", rows="evaluations"))
    with pytest.raises(AnalysisError, match="no run of the experiment 'size'; there are: sizes"):
        read_mlflow(place, experiment="size")


def test_a_file_that_is_not_of_mlflow_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database at all, and longer than a header")
    with pytest.raises(AnalysisError, match="is not an SQLite file of MLflow"):
        read_mlflow(tmp_path / "mlflow.db")


def test_event_files_of_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    program = """
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams
for size, seed in GRID:
    with SummaryWriter(f"logs/n{size}/s{seed}") as writer:
        for step in STEPS:
            writer.add_scalar("acc", accuracy(size, seed, step), step)
        _, start, _ = hparams({"n_labels": size, "seed": seed}, {"acc": 0.0})
        writer.file_writer.add_summary(start)
"""
    folder = written_by(program, tmp_path) / "logs"
    table = read_tensorboard(folder)
    expect_runs(table)
    assert sorted(table["run"]) == [f"n{size}/s{seed}" for size, seed in GRID]
    expect_evaluations(read_tensorboard(folder, rows="evaluations"))


def test_the_states_of_a_trainer(tmp_path: Path) -> None:
    from transformers import TrainerState

    for seed in SEEDS:
        for done in (1, 2):  # two checkpoints: the second holds the whole history
            state = TrainerState(global_step=10 * done, max_steps=20, train_batch_size=8)
            for step in range(10, 10 * done + 1, 10):
                state.log_history += [
                    {"step": step, "epoch": step / 20, "loss": 1.0 / step},
                    {"step": step, "eval_accuracy": 0.5 + seed / 10 + step / 100},
                ]
            folder = tmp_path / f"seed{seed}" / f"checkpoint-{10 * done}"
            folder.mkdir(parents=True)
            state.save_to_json(str(folder / "trainer_state.json"))
    table = read_hf_trainer(tmp_path)
    assert table["run"].tolist() == ["seed0", "seed1"]
    assert table["eval_accuracy"].tolist() == pytest.approx([0.7, 0.8])
    assert table["train_batch_size"].tolist() == [8, 8]
    evaluations = read_hf_trainer(tmp_path, rows="evaluations")
    assert evaluations[["run", "step"]].to_numpy().tolist() == [["seed0", 10], ["seed0", 20], ["seed1", 10], ["seed1", 20]]
    assert evaluations["loss"].tolist() == pytest.approx([0.1, 0.05] * 2)
    one = read_hf_trainer(tmp_path / "seed0" / "checkpoint-10" / "trainer_state.json")
    assert (one["run"].tolist(), one["step"].tolist()) == (["seed0"], [10])


@pytest.mark.slow
def test_the_trials_of_ray_tune(tmp_path: Path) -> None:
    program = f"""
from ray import tune
def trial(config):
    for step in STEPS:
        tune.report({{"acc": accuracy(config["n_labels"], config["seed"], step), "step": step}})
space = {{"n_labels": tune.grid_search({SIZES}), "seed": tune.grid_search({SEEDS})}}
tune.Tuner(trial, param_space=space, run_config=tune.RunConfig(name="sizes", storage_path={str(tmp_path / "results")!r}, verbose=0)).fit()
"""
    folder = written_by(program, tmp_path) / "results"
    table = read_ray_tune(folder)
    expect_runs(table)
    assert not {"hostname", "node_ip", "pid"} & set(table.columns)
    expect_evaluations(read_ray_tune(folder / "sizes", rows="evaluations"))


def test_json_lines_with_settings_beside_them(tmp_path: Path) -> None:
    for size, seed in GRID:
        folder = tmp_path / f"n{size}" / f"s{seed}"
        folder.mkdir(parents=True)
        (folder / "args.json").write_text(json.dumps({"n_labels": size, "seed": seed, "acc": "top-1"}))
        lines = [json.dumps({"step": step, "acc": accuracy(size, seed, step)}) for step in STEPS]
        (folder / "log.jsonl").write_text("\n".join([*lines, '{"step": 3, "ac']))  # cut off while it was written
    table = read_json_lines(tmp_path, settings="args.json")
    expect_runs(table)
    assert set(table["config.acc"]) == {"top-1"}  # a setting does not take the place of a logged value
    expect_evaluations(read_json_lines(tmp_path, "**/log.jsonl", settings="args.json", rows="evaluations"))


@pytest.mark.parametrize("reader", [read_wandb, read_mlflow, read_hf_trainer, read_json_lines, read_ray_tune, read_tensorboard])
def test_a_place_that_is_not_there_or_empty_is_said(reader, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"absent does not exist: give "):
        reader(tmp_path / "absent")
    with pytest.raises(AnalysisError, match=r"holds no|has no"):
        reader(tmp_path)


def test_lines_that_are_not_objects_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"acc": 0.5}\n[1, 2]\n{"acc": 0.6}\n')
    with pytest.raises(AnalysisError, match=r"a\.jsonl, line 2: not an object with names"):
        read_json_lines(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"acc": 0.5}\n{"acc": \n{"acc": 0.6}\n')
    with pytest.raises(AnalysisError, match=r"a\.jsonl, line 2: not JSON"):
        read_json_lines(tmp_path)


def test_rows_have_two_values_only(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"acc": 0.5}\n')
    with pytest.raises(AnalysisError, match="rows is 'run': write 'runs' for one row a run"):
        read_json_lines(tmp_path, rows="run")  # type: ignore[arg-type]
