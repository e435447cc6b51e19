"""Trackers get every line of a stage once, also of a resumed stage, and never stop a study."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scaling import Plan, Study, load_grid, make_plan
from scaling.tracking.__main__ import main
from scaling.tracking.live import LiveTracking
from scaling.tracking.open import open_tracker
from scaling.tracking.tracker import TrackedStage, tracked
from trials.errors import InputError
from trials.stage_files import write_json

Lines = list[tuple[int, dict[str, float]]]


class InMemory:
    """A run that is a list."""

    def __init__(self, name: str, lines: Lines, outcomes: dict[str, tuple[str, dict[str, float]]]) -> None:
        self._name, self._lines, self._outcomes = name, lines, outcomes

    @property
    def last_step(self) -> int:
        return self._lines[-1][0] if self._lines else -1

    def log(self, lines: Lines) -> None:
        self._lines += lines

    def end(self, outcome: str, metrics: dict[str, float], step: int) -> None:
        self._outcomes[self._name] = outcome, metrics


class Memory:
    """A tracker that keeps runs in memory, and that a test can switch off."""

    name = "memory"

    def __init__(self) -> None:
        self.lines: dict[str, Lines] = {}
        self.outcomes: dict[str, tuple[str, dict[str, float]]] = {}
        self.down = False
        self.tried = 0

    def open(self, stage: TrackedStage) -> Any:
        self.tried += 1
        if self.down:
            raise ConnectionError("no route\nto host")
        return InMemory(stage.id, self.lines.setdefault(stage.id, []), self.outcomes)

    def close(self) -> None:
        pass


@pytest.fixture
def planned(grid_file: Path, small_data: Path, tmp_path: Path) -> tuple[Plan, Study]:
    grid = load_grid(grid_file, ["seeds=1"])
    plan, study = make_plan(grid, small_data), Study(tmp_path / "study")
    study.write_plan(grid, plan)
    return plan, study


def train(study: Study, name: str, steps: int, *, done: bool = False) -> None:
    """Metrics of a stage up to a step, the last line cut off by its writer."""
    lines = [json.dumps({"step": step, "image_passes": 8 * step, "train_loss": 1 / (step + 1)}) for step in range(steps + 1)]
    (study.stage_folder(name) / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 99, "tra')
    if done:
        study.stage_folder(name).mkdir(parents=True, exist_ok=True)
        write_json(study.stage_folder(name) / "result.json", {"id": name, "steps": steps, "metrics": {"miou": 0.5}})


def eventually(true: Any) -> None:
    deadline = time.monotonic() + 30
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert true()


def test_lines_are_logged_once_while_a_stage_runs_and_its_run_ends_with_it(planned: tuple[Plan, Study]) -> None:
    plan, study = planned
    (name, *_), memory = plan.stages, Memory()
    with LiveTracking(plan, study, memory, print, every_s=0.01) as watcher:
        train(study, name, 2)
        watcher.stage_progressed(name, {"step": 2})
        eventually(lambda: len(memory.lines.get(name, [])) == 3)
        train(study, name, 3, done=True)
        watcher.stage_ended(name, {"miou": 0.5}, None)
        eventually(lambda: name in memory.outcomes)
    assert memory.lines[name] == [(step, {"image_passes": 8.0 * step, "train_loss": 1 / (step + 1)}) for step in range(4)]
    assert memory.outcomes == {name: ("done", {"miou": 0.5})}
    assert memory.tried == 1


def test_a_stage_that_was_cut_off_goes_on_in_its_run(planned: tuple[Plan, Study]) -> None:
    plan, study = planned
    (name, *_), memory = plan.stages, Memory()
    with LiveTracking(plan, study, memory, print) as watcher:
        train(study, name, 2)
        watcher.stage_progressed(name, {"step": 2})
    assert memory.outcomes == {name: ("cut off", {})}
    with LiveTracking(plan, study, memory, print) as watcher:
        train(study, name, 5, done=True)
        watcher.stage_ended(name, {}, None)
    assert [step for step, _ in memory.lines[name]] == [0, 1, 2, 3, 4, 5]
    assert memory.outcomes[name][0] == "done"


def test_a_tracker_that_is_down_costs_one_line_and_one_more_for_what_is_missing(planned: tuple[Plan, Study]) -> None:
    plan, study = planned
    memory, messages = Memory(), list[str]()
    memory.down = True
    with LiveTracking(plan, study, memory, messages.append, every_s=0.01) as watcher:
        for name in plan.stages:
            train(study, name, 2)
            watcher.stage_ended(name, {}, "it failed")
        eventually(lambda: memory.tried > 0)
    assert messages[0] == "memory accepts no data (ConnectionError: no route): the study continues, and the tracker is tried again"
    fill = f"python -m scaling.tracking {study.folder} --to memory logs the rest"
    assert messages[1:] == [f"memory: {len(plan.stages)} stages are not fully logged; {fill}"]


def test_what_a_tracker_missed_is_logged_when_it_is_back(planned: tuple[Plan, Study], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaling.tracking.live.RETRY_S", 0.01)
    plan, study = planned
    (name, *_), memory = plan.stages, Memory()
    memory.down = True
    with LiveTracking(plan, study, memory, print, every_s=0.01) as watcher:
        train(study, name, 4)
        watcher.stage_ended(name, {}, "it failed")
        eventually(lambda: memory.tried > 1)
        memory.down = False
        eventually(lambda: name in memory.outcomes)
    assert [step for step, _ in memory.lines[name]] == [0, 1, 2, 3, 4]


def test_tensorboard_gets_one_readable_run_a_stage_with_every_line_once(planned: tuple[Plan, Study], capsys: pytest.CaptureFixture[str]) -> None:
    loader = pytest.importorskip("tensorboardX.event_file_writer")
    from tensorboardX.proto.event_pb2 import Event

    assert loader
    plan, study = planned
    name = next(name for name, stage in plan.stages.items() if stage.spec.kind == "finetune")
    train(study, name, 3, done=True)
    for _ in range(2):  # running it again changes nothing
        assert main([str(study.folder), "--to", "tensorboard"]) == 0
    assert f"tensorboard: 1 of {len(plan.stages)} stages logged" in capsys.readouterr().out
    (file,) = (study.folder / "tensorboard").rglob("events.out.tfevents.*")
    assert str(file.parent.relative_to(study.folder / "tensorboard")) == tracked(plan, study)[name].name
    data, found, at = file.read_bytes(), [], 0
    while at < len(data):  # a record: length (8 bytes), its checksum (4), data, its checksum (4)
        length = int.from_bytes(data[at : at + 8], "little")
        event = Event.FromString(data[at + 12 : at + 12 + length])
        found += [(value.tag, event.step, round(value.simple_value, 4)) for value in event.summary.value]
        at += length + 16
    assert [row for row in found if row[0] == "train_loss"] == [("train_loss", step, round(1 / (step + 1), 4)) for step in range(4)]
    assert ("final/miou", 3, 0.5) in found


class FakeMLflow(SimpleNamespace):
    """As much of MlflowClient as its documentation promises and we use."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        pair = lambda *values: values  # noqa: E731
        super().__init__(entities=SimpleNamespace(Metric=pair, Param=pair), MlflowClient=lambda: self)

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, experiments: list[str], filter_string: str, max_results: int) -> list[Any]:
        return [SimpleNamespace(info=SimpleNamespace(run_id=run)) for run in self.runs if filter_string == f"tags.stage_id = '{run}'"]

    def create_run(self, experiment: str, tags: dict[str, str], run_name: str) -> Any:
        run = tags["stage_id"]
        self.runs[run] = {"name": run_name, "status": "RUNNING", "metrics": [], "params": []}
        return SimpleNamespace(info=SimpleNamespace(run_id=run))

    def update_run(self, run: str, status: str) -> None:
        self.runs[run]["status"] = status

    set_terminated = update_run

    def get_metric_history(self, run: str, key: str) -> list[Any]:
        return [SimpleNamespace(step=step) for name, _, _, step in self.runs[run]["metrics"] if name == key]

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        self.runs[run]["metrics"] += metrics
        self.runs[run]["params"] += params


def test_mlflow_has_one_run_a_stage_which_goes_on(planned: tuple[Plan, Study], monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeMLflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)  # type: ignore[arg-type]
    plan, study = planned
    name = next(iter(plan.stages))
    for steps, done, status in ((2, False, "KILLED"), (4, True, "FINISHED")):
        train(study, name, steps, done=done)
        assert main([str(study.folder), "--to", "mlflow"]) == 0
        assert fake.runs[name]["status"] == status
    run = fake.runs[name]
    assert [(metric[1], metric[3]) for metric in run["metrics"] if metric[0] == "train_loss"] == [(1 / (step + 1), step) for step in range(5)]
    assert ("seed", "0") in run["params"]
    assert ("recipe.batch_images", "8") in run["params"]


def test_wandb_runs_are_named_by_their_stage_so_that_they_go_on(planned: tuple[Plan, Study], monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, Any]] = []
    logged: list[tuple[int, dict[str, float]]] = []

    def init(**settings: Any) -> Any:
        begun.append(settings)
        start = logged[-1][0] + 1 if logged else 0
        log = lambda values, step: logged.append((step, values))  # noqa: E731
        return SimpleNamespace(starting_step=start, log=log, summary={}, finish=lambda exit_code: None)

    fake = SimpleNamespace(init=init, Settings=SimpleNamespace, login=lambda prompt: False)
    monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
    monkeypatch.delenv("WANDB_MODE", raising=False)
    plan, study = planned
    with pytest.raises(InputError, match="--track wandb has no API key: run `wandb login`, or set WANDB_MODE=offline"):
        open_tracker("wandb", plan.study, study.folder)
    monkeypatch.setenv("WANDB_MODE", "offline")
    name = next(iter(plan.stages))
    for steps in (2, 4):
        train(study, name, steps)
        assert main([str(study.folder), "--to", "wandb"]) == 0
    assert [step for step, _ in logged] == [0, 1, 2, 3, 4]
    assert {(run["project"], run["id"], run["resume"], run["reinit"]) for run in begun} == {("small", name, "allow", "create_new")}


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_a_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"--track {name} needs the package {name}, which is not installed: pip install 'scaling-law"):
        open_tracker(name, "study", tmp_path)


def test_mistakes_on_the_command_line_are_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--to", "tensorboard"]) == 2
    assert "holds no plan.json that can be read" in capsys.readouterr().err
    with pytest.raises(InputError, match="There is no tracker 'comet': choose from tensorboard, mlflow, wandb"):
        open_tracker("comet", "study", tmp_path)
