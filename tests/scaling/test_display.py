"""What a launch shows, drawn on a recorded console from simulated events."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from scaling import Plan, Study, load_grid, make_plan
from scaling.monitoring.display import Display
from scaling.monitoring.progress_counts import ProgressCounts
from scaling.plan.forecast import NOTHING, STAGE_OVERHEAD_S, Forecast, Range
from scaling.plan.plan import Stage

STEP_S = 10.0


@pytest.fixture
def plan(grid_file: Path, small_data: Path) -> Plan:
    return make_plan(load_grid(grid_file), small_data)


def forecast_of(plan: Plan) -> Forecast:
    wall = Range(low=0.8, middle=1.0, high=1.5).times(STEP_S * len(plan.stages))
    return Forecast(
        stage_s=dict.fromkeys(plan.stages, STEP_S), wall_s=wall.middle, wall_range_s=wall, gpu_hours=NOTHING, cpu_hours=NOTHING, measured_from=""
    )


def console(width: int, height: int = 30, *, terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=terminal, color_system="standard", legacy_windows=False)


def drawn(display: Display, on: Console) -> list[str]:
    with on.capture() as capture:
        on.print(display.picture())
    return re.sub(r"\x1b\[[0-9;]*m", "", capture.get()).splitlines()


def lines(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_running_stages_show_their_share_loss_speed_and_time_left_at_any_width(plan: Plan, tmp_path: Path, width: int) -> None:
    on = console(width)
    display = Display(plan, Study(tmp_path), forecast_of(plan), on)
    name = next(name for name, stage in plan.stages.items() if stage.spec.kind == "pretrain")
    display.stage_progressed(name, {"step": 1, "steps": 4, "images_per_s": 2.0, "val_mim_loss": 0.51234})
    shown = drawn(display, on)
    assert all(len(line) <= width for line in shown)
    row = next(line for line in shown if line.startswith("pretrain"))
    assert re.search(r"25%.* 12 s\s*$", row), "3 steps of 8 images at 2 a second"
    assert ("val_mim_loss 0.5123" in row) == (width >= 60)
    assert (" 2 " in row) == (width >= 90)
    assert f"1 running, {len(plan.stages) - 1} waiting" in shown[1]


def test_64_running_of_ten_thousand_fit_the_terminal_and_the_rest_is_counted(plan: Plan, tmp_path: Path) -> None:
    one = next(iter(plan.stages.values()))
    many = {f"pretrain-{n:012x}": Stage(id=f"pretrain-{n:012x}", spec=dataclasses.replace(one.spec, seed=n), runs=1) for n in range(10_000)}
    large = dataclasses.replace(plan, stages=many)
    on = console(80, 24)
    display = Display(large, Study(tmp_path), forecast_of(large), on)
    for name in list(many)[:64]:
        display.stage_progressed(name, {"step": 1, "steps": 2})
    shown = drawn(display, on)
    assert len(shown) <= 23
    rows = sum(line.startswith("pretrain seed") for line in shown)
    assert shown[-1].strip() == f"... and {64 - rows} more are running"
    assert "64 running, 9,936 waiting" in shown[1]


def test_every_state_is_counted_and_each_end_leaves_a_line(plan: Plan, tmp_path: Path) -> None:
    on = console(200, terminal=False)
    display = Display(plan, Study(tmp_path), forecast_of(plan), on)
    pretrain = [name for name, stage in plan.stages.items() if stage.spec.kind == "pretrain"]
    alone = next(name for name, stage in plan.stages.items() if stage.spec.kind == "finetune" and stage.spec.parent is None)
    display.stage_progressed(alone, {"step": 1, "steps": 2})
    display.stage_retried(alone, "Its process ended.", 1.0)
    display.stage_ended(pretrain[0], {}, "the loss is NaN")
    display.stage_ended(pretrain[1], {"val_mim_loss": 0.25}, None)
    display.heartbeat()
    output = lines(on).splitlines()
    assert re.match(r"retry in 1 s: finetune .*  Its process ended\.$", output[0])
    assert re.match(r"\[ 1/\d+\] pretrain seed 0 \(\w{6}\)  FAILED the loss is NaN \(log: .*log.txt\)", output[1])
    assert re.match(r"\[ 2/.*  done   val_mim_loss 0\.2500$", output[2])
    blocked = sum(plan.stages[name].spec.parent == pretrain[0] for name in plan.stages)
    below = sum(plan.stages[name].spec.parent in plan.children[pretrain[0]] for name in plan.stages)
    assert f"1 retrying, 1 failed, {blocked + below} blocked; about" in output[3]
    assert output[3].endswith("running: nothing yet")


def test_a_log_gets_no_control_characters_and_a_heartbeat_names_what_runs(plan: Plan, tmp_path: Path) -> None:
    on = console(80, terminal=False)
    with Display(plan, Study(tmp_path), forecast_of(plan), on) as display:
        for name in plan.stages:
            display.stage_progressed(name, {"step": 1, "steps": 2, "train_loss": 0.5})
        display.heartbeat()
    output = lines(on)
    assert "\x1b" not in output
    assert output.count("\n") == 1, "one line, however long"
    assert "50%, train_loss 0.5000; " in output
    assert output.endswith(f"; {len(plan.stages) - 4} more\n")


def test_no_color_turns_colours_off(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    on = console(80)
    display = Display(plan, Study(tmp_path), forecast_of(plan), on)
    display.stage_progressed(next(iter(plan.stages)), {"step": 1, "steps": 2})
    with on.capture() as capture:
        on.print(display.picture())
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", capture.get())


def test_it_says_that_it_is_stopping(plan: Plan, tmp_path: Path) -> None:
    on, asked = console(80), [False]
    display = Display(plan, Study(tmp_path), forecast_of(plan), on, stopping=lambda: asked[0])
    assert "stopping" not in "".join(drawn(display, on))
    asked[0] = True
    assert "stopping: running stages write a checkpoint; press Ctrl-C again to stop at once" in drawn(display, on)[2]


def test_the_time_left_is_the_forecast_at_first_and_then_follows_the_pace(plan: Plan) -> None:
    clock = [0.0]
    counts = ProgressCounts(plan, forecast_of(plan), clock=lambda: clock[0])
    forecast_s = STEP_S * len(plan.stages)
    first = counts.snapshot().left_s
    assert (first.low, first.middle, first.high) == pytest.approx((0.8 * forecast_s, forecast_s, 1.5 * forecast_s))
    names = list(plan.stages)
    half = len(names) // 2
    for name in names[:half]:
        clock[0] += 3 * STEP_S  # three times as slow as forecast
        counts.ended(name, failed=False)
    now = counts.snapshot()
    truth_s = 3 * STEP_S * (len(names) - half)
    assert now.share == half / len(names)
    assert 0.9 * truth_s < now.left_s.middle < truth_s
    assert (now.left_s.high - now.left_s.low) / now.left_s.middle < 0.7 * 0.5 + 0.03
    for name in names[half:]:
        counts.ended(name, failed=False)
    assert counts.snapshot().left_s.high == 0.0


def test_what_cannot_run_any_more_is_no_longer_waited_for(plan: Plan) -> None:
    counts = ProgressCounts(plan, forecast_of(plan))
    for name, stage in plan.stages.items():
        if not stage.spec.needs:
            counts.ended(name, failed=True)
    assert counts.snapshot().left_s.middle == 0.0
    assert {state for _, state in counts.snapshot().counts} == {"failed", "blocked"}


def test_a_slow_start_of_ray_does_not_raise_the_time_left(plan: Plan) -> None:
    clock = [0.0]
    counts = ProgressCounts(plan, dataclasses.replace(forecast_of(plan), start_s=20.0), clock=lambda: clock[0])
    forecast_s = STEP_S * len(plan.stages)
    assert counts.snapshot().left_s.middle == pytest.approx(forecast_s + 20.0)
    clock[0] = 15.0
    assert counts.snapshot().left_s.middle == pytest.approx(forecast_s + 5.0)
    clock[0] = 300.0  # fifteen times as slow as expected
    assert counts.snapshot().left_s.middle == pytest.approx(forecast_s)
    one = next(iter(plan.stages))
    counts.progressed(one, {"step": 1, "steps": 100})
    assert counts.snapshot().left_s.middle <= forecast_s


def test_the_time_left_is_near_the_truth_although_one_kind_of_stage_is_five_times_as_slow(plan: Plan) -> None:
    """One stage after another; every stage reports its own speed ten times."""
    slow = {name for name, stage in plan.stages.items() if stage.spec.kind == "pretrain"}
    took_s = {name: (5.0 if name in slow else 1.0) * STEP_S for name in plan.stages}
    clock, said = [0.0], []
    counts = ProgressCounts(plan, forecast_of(plan), clock=lambda: clock[0])
    names = sorted(plan.stages, key=lambda name: name.split("-")[1])  # kinds mixed
    clock[0] = 100.0  # Ray starts
    for place, name in enumerate(names):
        images = plan.stages[name].own_image_passes / (took_s[name] - STAGE_OVERHEAD_S)
        for step in range(1, 11):
            clock[0] += took_s[name] / 10
            counts.progressed(name, {"step": step, "steps": 10, "images_per_s": images})
            truth_s = (1 - step / 10) * took_s[name] + sum(took_s[later] for later in names[place + 1 :])
            said.append((counts.snapshot().left_s.middle, truth_s))
        counts.ended(name, failed=False)
    whole_s = sum(took_s.values())
    assert max(left_s for left_s, _ in said) < 2.0 * whole_s
    late = [(left_s, truth_s) for left_s, truth_s in said[len(said) // 3 :] if truth_s > 0.1 * whole_s]
    assert late
    assert all(0.6 < left_s / truth_s < 1.6 for left_s, truth_s in late)
