"""`gpus: auto`: a probe or the GPU model decides how many stages share a GPU; finished stages correct
it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scaling import Plan, Study, load_grid, make_plan
from scaling.cluster.capacity import Cluster, Shape
from scaling.cluster.machine import Granted, Machine
from scaling.execution.attempts import Outcome
from scaling.execution.gpu_share import FILE, GpuSharing
from scaling.execution.live_share import GAIN, SAMPLES, LiveShare
from scaling.execution.ready_queue import ReadyQueue
from scaling.grid.settings import Grid
from scaling.plan.gpu_speed import GpuSpeed
from trials import StageSpec
from trials.cost.gpu_sharing import StageLoad
from trials.cost.gpus import gpus
from trials.stage_files import write_json

GPU_BYTES = 141e9
LOAD = StageLoad(images=16, step_s=4e-3, occupied_s=1e-3, start_s=1e-4, memory_bytes=1e9)
MACHINE = Machine(cpus=8, gpus=1)


class Launch:
    """A plan on a machine with one GPU, and what was shown and probed."""

    def __init__(self, grid: Grid, plan: Plan, study: Study) -> None:
        self.grid, self.plan, self.study = grid, plan, study
        self.shown: list[str] = []
        self.probed: list[StageSpec] = []
        self.answers: dict[str, StageLoad | str] = {}

    def sharing(self, *, known: bool = False, machine: Machine = MACHINE) -> GpuSharing:
        speed = GpuSpeed(gpu=gpus()["H200"], machine=machine, grid=self.grid, elsewhere=False) if known else None
        return GpuSharing(
            self.plan,
            self.study,
            self.grid,
            machine,
            machine.grant(self.grid),
            device="NVIDIA H200",
            gpu_memory_bytes=GPU_BYTES,
            memory_bytes=128e9,
            speed=speed,
        )

    def probe(self, specs: Sequence[StageSpec], **options: Any) -> list[StageLoad | str]:
        self.probed += specs
        return [self.answers.get(spec.kind, LOAD) for spec in specs]


@pytest.fixture
def launch(grid_file: Path, small_data: Path, tmp_path: Path) -> Launch:
    grid = load_grid(grid_file, ["seeds=3", "resources={cpus: 1, gpus: auto}"])
    study = Study(tmp_path / "study")
    study.folder.mkdir()
    return Launch(grid, make_plan(grid, small_data), study)


def test_one_probe_of_all_kinds_decides_and_is_remembered(launch: Launch) -> None:
    sharing = launch.sharing()
    sharing.learn(launch.probe, launch.shown.append)
    assert [spec.kind for spec in launch.probed] == list(sharing.kinds)
    granted = sharing.granted()
    assert {granted[kind].gpus for kind in sharing.kinds} == {0.25}
    assert granted["pretrain"].side_by_side == 4
    assert (
        "gpus: auto: 4 pretrain stages share a GPU; a step takes 4 ms alone and the GPU has no time for others in 25% of it (measured"
        in launch.shown[0]
    )
    again = launch.sharing()
    again.learn(None)
    assert again.granted() == granted
    again.learn(lambda *_, **__: pytest.fail("it is known"))


def test_a_probe_that_fails_leaves_the_gpu_model_or_a_gpu_of_its_own(launch: Launch) -> None:
    launch.answers = dict.fromkeys(("pretrain", "intermediate", "finetune"), "it was not done within 13 s")
    alone = launch.sharing()
    alone.learn(launch.probe, launch.shown.append)
    assert {one.gpus for one in alone.granted().values()} == {1.0}
    assert "could not be measured (it was not done within 13 s); each has a GPU of its own" in launch.shown[0]
    launch.shown.clear()
    modelled = launch.sharing(known=True)
    modelled.learn(launch.probe, launch.shown.append)
    assert "what is known of H200 stands in" in launch.shown[0]
    assert "from the model of this GPU" in launch.shown[-1]
    assert modelled.granted()["pretrain"].gpus < 1
    assert not (launch.study.folder / FILE).exists()  # only what was measured is kept


def test_a_probe_that_cannot_start_stops_nothing(launch: Launch) -> None:
    def refused(*_: object, **__: object) -> list[StageLoad | str]:
        raise OSError("Cannot allocate memory")

    sharing = launch.sharing()
    sharing.learn(refused, launch.shown.append)
    assert {one.gpus for one in sharing.granted().values()} == {1.0}
    assert "could not be measured (Cannot allocate memory)" in launch.shown[0]


def test_cores_memory_and_what_the_grid_says_limit_the_number(launch: Launch, small_data: Path, grid_file: Path) -> None:
    launch.answers = {"pretrain": dataclasses.replace(LOAD, memory_bytes=60e9)}
    sharing = launch.sharing()
    sharing.learn(launch.probe)
    assert sharing.numbers()["pretrain"] == 2
    two = launch.sharing(machine=Machine(cpus=2, gpus=1))
    two.learn(None)
    assert max(two.numbers().values()) == 2
    launch.grid = load_grid(grid_file, ["resources={cpus: 1, gpus: auto, finetune: {gpus: 0.5}}"])
    assert "finetune" not in launch.sharing().kinds


def test_packing_of_earlier_versions_is_measured_anew(launch: Launch) -> None:
    key = launch.sharing().kinds["pretrain"].key
    (launch.study.folder / FILE).write_text(json.dumps({key: 4}))
    sharing = launch.sharing()
    assert sharing.kinds["pretrain"].load is None


def test_finished_stages_and_finished_kinds_are_not_probed(launch: Launch) -> None:
    for name in launch.plan.stages:
        write_result(launch.study, name)
    assert launch.sharing().kinds == {}


def write_result(study: Study, name: str, step_s: float | None = None) -> None:
    folder = study.stage_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "result.json", {"id": name, "metrics": {}})
    write_json(folder / "provenance.json", {"step_ms": None if step_s is None else 1e3 * step_s})


def live(launch: Launch) -> tuple[LiveShare, dict[str, Granted]]:
    sharing = launch.sharing()
    sharing.learn(launch.probe)
    granted = dict(sharing.granted())
    return LiveShare(sharing, granted, launch.plan, launch.study, gpus=1, show_message=launch.shown.append), granted


def stages_of(launch: Launch, kind: str) -> list[str]:
    return [name for name, stage in launch.plan.stages.items() if stage.spec.kind == kind]


def test_stages_that_do_not_hinder_one_another_make_room_for_more(launch: Launch) -> None:
    share, granted = live(launch)
    names = stages_of(launch, "finetune")[:SAMPLES]
    for name in names:
        write_result(launch.study, name, step_s=4e-3)
    assert [share.ended(name, 1.0, 1.0) for name in names] == [False] * (SAMPLES - 1) + [True]
    assert granted["finetune"].gpus == pytest.approx(0.125)
    assert "8 finetune stages share a GPU from here on, 4 until now: a step of finetune took 4 ms" in launch.shown[-1]


def test_a_stage_that_fills_the_gpu_is_said_to_have_its_own(launch: Launch) -> None:
    launch.answers["pretrain"] = dataclasses.replace(LOAD, memory_bytes=0.6 * GPU_BYTES)
    sharing = launch.sharing()
    sharing.learn(launch.probe, launch.shown.append)
    assert sharing.granted()["pretrain"].gpus == 1.0
    assert launch.shown[0].startswith("gpus: auto: each pretrain stage has a GPU of its own; a step takes 4 ms alone")


def test_stages_that_ran_with_fewer_neighbours_teach_nothing(launch: Launch) -> None:
    share, granted = live(launch)
    before = dict(granted)
    for name in stages_of(launch, "finetune"):
        write_result(launch.study, name, step_s=4e-3)
        assert not share.ended(name, 1.0, 0.5)
    for name in stages_of(launch, "pretrain"):
        write_result(launch.study, name)  # by an earlier version, which timed no steps
        assert not share.ended(name, 1.0, 1.0)
    assert granted == before


def test_a_number_that_trains_as_much_stays(launch: Launch) -> None:
    """The GPU is full with four: fewer would train as much, which is not worth new workers."""
    share, granted = live(launch)
    for name in stages_of(launch, "finetune"):
        write_result(launch.study, name, step_s=8e-3)
        assert not share.ended(name, 1.0, 1.0)
    assert granted["finetune"].gpus == 0.25


def test_workers_of_the_new_shape_take_over_and_every_stage_runs_once(launch: Launch) -> None:
    from scaling.execution.searcher import ReadyStages, WorkerPool
    from scaling.execution.worker import Assignment, WorkerReport

    share, granted = live(launch)

    def shape(name: str) -> Shape:
        kind = launch.plan.stages[name].spec.kind
        grant = granted["pretrain" if kind == "trunk" else kind]
        return Shape(grant.all_cpus, grant.all_gpus)

    queue = ReadyQueue(launch.plan, launch.study, shape)
    pool = WorkerPool(
        queue,
        lambda name: Assignment(stage=name, spec={}, folder="", store="", study="", cpus=1, gpus=0.0),
        lambda: Cluster({"here": Shape(8, 1)}),
        [],
        adapt=share.ended,
    )
    searcher, workers, ran, opened, most = ReadyStages(pool), {}, [], 0, 0
    while True:
        while isinstance(config := searcher.suggest(f"worker{opened}"), dict):
            workers[f"worker{opened}"], opened = None, opened + 1
        if config == ReadyStages.FINISHED and not workers:
            break
        assert sum(pool._open[worker].shape.gpus for worker in workers) <= 1 + 1e-9
        for worker, stage in list(workers.items()):
            if stage:
                write_result(launch.study, stage, step_s=4e-3)
                ran.append(stage)
            answer = pool.reported(worker, WorkerReport(stage=stage, outcome=Outcome(done=True) if stage else None, node="here"))
            if answer == "close":
                searcher.on_trial_complete(worker)
                del workers[worker]
            else:
                workers[worker] = None if answer is None else answer.stage
        most = max(most, sum(stage is not None for stage in workers.values()))
    assert sorted(ran) == sorted(launch.plan.stages)
    assert 4 < most <= 8


def test_as_many_steps_are_awaited_as_stages_run_side_by_side_and_their_median_counts(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    launch.answers = {kind: dataclasses.replace(LOAD, occupied_s=0.5e-3) for kind in ("pretrain", "intermediate", "finetune")}
    share, granted = live(launch)
    assert granted["finetune"].gpus == 0.125
    learned: list[tuple[str, int, float]] = []
    monkeypatch.setattr(GpuSharing, "corrected", lambda self, kind, stages, step_s: learned.append((kind, stages, step_s)))
    name = stages_of(launch, "finetune")[0]
    for place, step_s in enumerate([4e-3] * 5 + [80e-3] * 3):
        assert learned == [], f"after {place} of 8 stages"
        write_result(launch.study, name, step_s=step_s)
        share.ended(name, 1.0, 1.0)
    assert learned == [("finetune", 8, pytest.approx(4e-3))]


def test_a_number_changes_for_a_gain_of_its_worth_and_only_so_often(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    share, granted = live(launch)
    name = stages_of(launch, "finetune")[0]
    write_result(launch.study, name, step_s=4e-3)
    wanted = {"gain": GAIN - 0.01, "number": 8}
    monkeypatch.setattr(GpuSharing, "gain", lambda self, kind, before, after: wanted["gain"])
    monkeypatch.setattr(GpuSharing, "numbers", lambda self: {"finetune": wanted["number"]})

    def changed() -> bool:
        return any([share.ended(name, 1.0, 1.0) for _ in range(2 * SAMPLES)])  # noqa: C419 - all of them end

    assert not changed()
    wanted["gain"] = GAIN + 0.01
    for number, expected in ((8, True), (4, True), (8, True), (4, False)):
        wanted["number"] = number
        assert changed() == expected
    assert granted["finetune"].gpus == 0.125


def test_shared_trunks_teach_what_pretraining_does(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    share, _ = live(launch)
    learned: list[str] = []
    monkeypatch.setattr(GpuSharing, "corrected", lambda self, kind, stages, step_s: learned.append(kind))
    name = stages_of(launch, "pretrain")[0]
    stage = launch.plan.stages[name]
    monkeypatch.setitem(launch.plan.stages, name, dataclasses.replace(stage, spec=dataclasses.replace(stage.spec, kind="trunk")))  # type: ignore[arg-type]
    write_result(launch.study, name, step_s=4e-3)
    for _ in range(SAMPLES):
        share.ended(name, 1.0, 1.0)
    assert learned == ["pretrain"]
