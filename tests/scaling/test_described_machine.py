"""Plans for a machine and data that are not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scaling import load_grid, make_plan
from scaling.cluster.described_machine import read_machine
from scaling.launch import main
from scaling.monitoring.progress_counts import ProgressCounts
from scaling.plan.forecast import NOTHING, Forecast, Range, forecast
from scaling.plan.gpu_speed import GpuSpeed
from scaling.study.folder import Study
from trials import InputError
from trials.cost import gpu_rates
from trials.cost.costs import stage_cost, step_work
from trials.cost.gpu_rates import DECODE_S, SAME_GPU_FACTOR, gpu_memory_bytes, gpu_rate, modelled_load
from trials.cost.gpus import find_gpu, gpu_of_device, gpus, measured_rates
from trials.data.published_counts import describe_or_assume, published_count, published_counts
from trials.recipes.named import get_recipe
from trials.spec import DataSpec, StageSpec

GRID = """\
study: elsewhere
encoder: viny/16@128
pretrain: {source: imagenet, images: [0, 100000], length: 100 epochs, recipe: ucl-paper}
finetune: {source: oxford-iiit-pet, task: segmentation, images: [250, 1000], length: 100 epochs, recipe: ucl-paper, test_images: 1000}
seeds: 2
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    return path


def spec(kind: str, objective: str, encoder: str, *, recipe: str = "compact", storage: str = "pixels", **fields: object) -> StageSpec:
    parts = dict.fromkeys(("train_split", "train_fingerprint", "sampling", "heldout_split", "heldout_fingerprint"), "")
    data = DataSpec(source="imagenet", image_px=128, train_images=100, heldout_images=1, storage=storage, **parts)  # type: ignore[arg-type]
    chosen = get_recipe(kind, recipe, dict(fields))
    return StageSpec(kind=kind, objective=objective, encoder=encoder, data=data, recipe=chosen, steps=10, eval_points=1, seed=0, parent=None)


@pytest.mark.parametrize(
    ("text", "gpu", "count", "cpus", "memory", "disk"),
    [
        ("8xH100", "H100", 8, 128, None, None),
        ("1xh200,cpus=12", "H200", 1, 12, None, None),
        ("4 x A100-80GB, memory=1TB, disk=2.5TB", "A100", 4, 64, 1e12, 2.5e12),
        ("rtx 4090,memory=64GiB", "RTX4090", 1, 16, 64 * 2**30, None),
    ],
)
def test_a_machine_is_read(text: str, gpu: str, count: int, cpus: int, memory: float | None, disk: float | None) -> None:
    found = read_machine(text)
    assert (found.gpu.name, found.machine.gpus, found.machine.cpus, found.memory_bytes, found.disk_bytes) == (gpu, count, cpus, memory, disk)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("8xH1000", r"There is no GPU 'H1000' in the table of GPUs: the nearest are H100, .*; known: A10, .*V100\."),
        ("0xH100", r"a machine to plan for needs at least 1 GPU"),
        ("999999999xH100", r"can have at most 100,000 GPUs"),
        ("8", r"names no number of GPUs and no model: write it as 8xH100 or"),
        ("", r"names no number of GPUs and no model"),
        ("8xH100,memory=banana", r"memory must be a size with its unit, such as memory=512GB or memory=1.5TB, not 'banana'\."),
        ("8xH100,memory=1GB", r"memory=1GB is too little to train with: name at least 4 GB\."),
        ("8xH100,disk=-1TB", r"disk must be a size with its unit"),
        ("8xH100,cpus=0", r"cpus must be a number of CPU cores from 1 to"),
        ("8xH100,cpu=4", r"has no part 'cpu=4': did you mean 'cpus'\? write it as"),
        ("8xH100,cpus=4,cpus=5", r"names cpus twice"),
    ],
)
def test_a_machine_that_is_none_is_refused_in_one_sentence(
    text: str, sentence: str, grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(grid), "--plan", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--assume-data"]
    assert main([*arguments, "--machine", text]) == 2
    said = capsys.readouterr().err
    assert re.search(sentence, said)
    assert len(said.strip().splitlines()) == 1
    assert len(said) < 500


@pytest.mark.parametrize("option", [["--machine", "8xH100"], ["--assume-data"]])
def test_what_is_for_plans_starts_nothing(option: list[str], grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(grid), "--data", str(tmp_path), *option]) == 2
    assert f"{option[0]} is for plans: give --plan as well" in capsys.readouterr().err


def test_the_model_is_within_its_factor_of_every_measured_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = measured_rates()
    monkeypatch.setattr(gpu_rates, "measured_rates", lambda: tuple(row for row in rows if row.encoder == "none"))
    for row in rows:
        one = spec(row.kind, row.objective, row.encoder, batch_images=row.batch_images)
        found = gpu_rate(one, gpus()[row.gpu], step=row.step, side_by_side=row.side_by_side, crowding=(row.side_by_side - 1) / row.cores)  # type: ignore[arg-type]
        assert not found.measured
        assert 1 / SAME_GPU_FACTOR < found.images_per_s / row.images_per_s < SAME_GPU_FACTOR, row


def test_a_measured_speed_is_taken_as_it_is_and_others_by_their_data_sheets() -> None:
    viny = spec("pretrain", "simmim", "viny/16@128", batch_images=64)
    here = gpu_rate(viny, gpus()["H200"], step="captured")
    assert (here.images_per_s, here.factor, here.measured) == (13953, 1.25, True)
    rates = [gpu_rate(viny, gpus()[name], step="captured") for name in ("H200", "H100", "A100", "L4")]
    speeds = [one.images_per_s for one in rates]
    assert speeds[1:] == sorted(speeds[1:], reverse=True)
    assert speeds[1] < here.factor * speeds[0], "modelled on a slower GPU, but not far above what was measured on the faster one"
    assert {one.factor for one in rates[1:]} == {2.5}
    assert gpu_rate(viny, gpus()["V100"], step="captured").images_per_s < rates[2].images_per_s / 2, "a V100 has no bf16"
    several = gpu_rate(spec("pretrain", "simmim", "viny/16@128", batch_images=256), gpus()["H100"], step="eager", processes=4)
    assert several.images_per_s == pytest.approx(4 * gpu_rate(viny, gpus()["H100"], step="eager").images_per_s)
    encoded = spec("pretrain", "simmim", "viny/16@128", storage="jpeg", batch_images=64)
    assert gpu_rate(encoded, gpus()["H200"], step="captured", cpus=2).images_per_s == pytest.approx(2 / DECODE_S), "two cores decode no more"


def test_the_work_of_a_step_agrees_with_the_flops_of_a_stage() -> None:
    viny = spec("pretrain", "simmim", "viny/16@128")
    work, cost = step_work(viny), stage_cost(viny)
    assert work.flops_per_image == pytest.approx(cost.train_flops_per_image, rel=0.01)
    assert work.parameters == cost.parameters
    larger = step_work(spec("pretrain", "simmim", "viny/16@256"))
    assert larger.bytes_per_image > 3.5 * work.bytes_per_image, "four times the patches"
    assert larger.operations == work.operations


def test_devices_are_known_by_the_names_that_torch_gives_them() -> None:
    assert gpu_of_device("NVIDIA H200") is gpus()["H200"]
    assert gpu_of_device("NVIDIA H300") is None
    assert all(find_gpu(gpu.device) is gpu for gpu in gpus().values())


def test_published_counts_are_found_by_source_and_by_folder(tmp_path: Path) -> None:
    assert describe_or_assume("imagenet", tmp_path, "train").images == 1_281_167
    assert describe_or_assume("imagenet:imagenet-22k", tmp_path, "train").images == 14_197_122
    pets = describe_or_assume("oxford-iiit-pet", tmp_path, "heldout")
    assert (pets.images, pets.has_masks) == (3_669, True)
    count = published_count("folder:sets/ADE20K")
    assert count is not None
    assert (count.train_images, count.classes) == (20_210, 150)
    assert describe_or_assume("leaves", tmp_path, "pretrain train").images is None, "generated images never end"
    with pytest.raises(InputError, match=r"The data of 'folder:mine' are absent, and --assume-data knows no published count for that name; it knows"):
        describe_or_assume("folder:mine", tmp_path, "train")
    assert all(one.train_images > 0 and one.source for one in published_counts().values())


def test_a_whole_plan_for_another_machine_needs_neither_it_nor_data(grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(grid), "--plan", "--data", str(tmp_path / "none"), "--assume-data", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--machine", "2xA100"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"time: about .* on 2xA100, .* to .* \(rates scaled by FLOPs and memory traffic from those measured on one H200 on", said)
    assert "nothing was measured on A100; taken to be right within a factor of 2.5" in said
    assert "data assumed: imagenet 1,281,167 and 50,000 held out (Russakovsky et al. 2015); oxford-iiit-pet 3,680 and 3,669 held out" in said
    assert re.search(r"images: 1,338,516 to decode once, about .* on 32 cores \(.* to .*\), not counted above", said)
    assert "planned for 2xA100: 32 CPU cores (16 a GPU, since --machine names none) and 2 GPUs of 80 GB" in said
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--machine", "2xA100,disk=5GB"]) == 2
    assert re.search(r"The decoded images take .*, but the disk of 2xA100 has 5 GB free", capsys.readouterr().err)
    assert main([*arguments, "--machine", "2xA100", "--set", "resources={gpus: 0}"]) == 2
    assert "whose speed on 2xA100 is not known: add --set resources.gpus=auto" in capsys.readouterr().err


def test_absent_data_without_assumption_are_refused_as_before(grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(grid), "--plan", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--machine", "8xH100"]) == 2
    assert "Data for 'oxford-iiit-pet' not found" in capsys.readouterr().err


def test_more_gpus_take_less_time_and_small_stages_share_them(grid: Path, tmp_path: Path) -> None:
    one_grid = load_grid(grid)
    plan = make_plan(one_grid, tmp_path, describe=describe_or_assume)
    walls = {}
    for text in ("1xH200", "4xH200"):
        described = read_machine(text)
        speed = GpuSpeed(gpu=described.gpu, machine=described.machine, grid=one_grid)
        granted = speed.shared(plan, described.machine.grant(one_grid))
        assert granted["pretrain"].gpus < 1, "stages of ViNy at batch 64 share a GPU"
        found = forecast(plan, Study(tmp_path / "out"), granted, gpu_speed=speed)
        assert found.wall_range_s.low < found.wall_s < found.wall_range_s.high
        walls[text] = found.wall_s
    assert walls["4xH200"] < walls["1xH200"]


def test_more_memory_than_a_gpu_has_is_said(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    large = GRID.replace("viny/16@128", "swinv2-b@192")
    path.write_text(large.replace("recipe: ucl-paper}", "recipe: {name: simmim-swinv2, batch_images: 2048}}", 1))
    grid = load_grid(path)
    plan = make_plan(grid, tmp_path, describe=describe_or_assume)
    described = read_machine("1xL4")
    speed = GpuSpeed(gpu=described.gpu, machine=described.machine, grid=grid)
    said = speed.too_large(plan, described.machine.grant(grid))
    assert re.search(r"GPU memory: pre-training of swinv2-b needs \d+ to \d+ GB on each GPU, of 24: a launch then takes batches in", said[0])


def test_stages_that_run_correct_the_forecast_and_narrow_its_range(grid: Path, tmp_path: Path) -> None:
    """All stages take twice as long as a GPU model said: after the first the launch knows it."""
    plan = make_plan(load_grid(grid), tmp_path, describe=describe_or_assume)
    names, clock = list(plan.stages), [0.0]
    wall = Range(low=40.0 * len(names), middle=100.0 * len(names), high=250.0 * len(names))
    outlook = Forecast(
        stage_s=dict.fromkeys(names, 100.0),
        wall_s=wall.middle,
        wall_range_s=wall,
        gpu_hours=NOTHING,
        cpu_hours=NOTHING,
        measured_from="",
        scaled=True,
    )
    counts = ProgressCounts(plan, outlook, clock=lambda: clock[0])
    before = counts.snapshot().left_s
    assert before.high / before.low == pytest.approx(250 / 40)
    rate = plan.stages[names[0]].own_image_passes / 200.0
    for second in (0.0, 199.0):
        clock[0] = second
        counts.progressed(names[0], {"step": second, "steps": 199, "images_per_s": rate})
    counts.ended(names[0], failed=False)
    after = counts.snapshot().left_s
    left = len(names) - 1
    assert 1.5 * 100 * left < after.middle < 2.2 * 100 * left
    assert after.high / after.low < 0.5 * before.high / before.low


def test_a_speed_is_the_roofline_of_the_formula_and_float32_moves_twice_the_bytes() -> None:
    viny = spec("pretrain", "simmim", "viny/16@128", batch_images=64)
    work = step_work(viny)
    for name, peak, width in (("H100", gpus()["H100"].bf16_flops_per_s, 0.5), ("V100", gpus()["V100"].fp32_flops_per_s, 1.0)):
        assert peak is not None
        traffic = 64 * work.bytes_per_image * width + 34 * work.parameters
        busy_s = 64 * work.flops_per_image / (0.5 * peak) + traffic / (0.61 * gpus()[name].bytes_per_s)
        found = gpu_rate(viny, gpus()[name], step="captured")
        assert found.images_per_s == pytest.approx(64 / (busy_s + 2.5e-6 * work.operations))
        fused_s = busy_s - (1 - 0.41) * 64 * work.bytes_per_image * width / (0.61 * gpus()[name].bytes_per_s)
        compiled = gpu_rate(viny, gpus()[name], step="compiled")
        assert compiled.images_per_s == pytest.approx(64 / (fused_s + 2.5e-6 * work.operations))


def test_the_cpu_starts_every_kernel_of_an_eager_step_and_one_graph_of_a_captured_one() -> None:
    viny = spec("pretrain", "simmim", "viny/16@128", batch_images=64)
    eager, captured = (modelled_load(viny, gpus()["H100"], step=step) for step in ("eager", "captured"))  # type: ignore[arg-type]
    assert eager.start_s == pytest.approx(52e-6 * step_work(viny).operations)
    assert captured.start_s == pytest.approx(2e-4)


def test_batches_taken_in_parts_keep_less_in_memory() -> None:
    viny = spec("pretrain", "simmim", "viny/16@128", batch_images=64)
    state = 16.0 * step_work(viny).parameters
    whole, quarters, spread = (
        gpu_memory_bytes(viny, gpus()["H100"], **options)[1] - state for options in ({}, {"micro_batches": 4}, {"processes": 2, "micro_batches": 2})
    )
    assert quarters == spread == pytest.approx(whole / 4)
