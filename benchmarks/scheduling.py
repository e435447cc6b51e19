"""Measures what it costs to schedule a stage, compared with plain Ray Tune, and for 10,000 stages.

The stages only write their result.

    # 300 stages here, 20 trials of plain Tune; about a minute
    python -m benchmarks.scheduling
    # 10,000 stages: planning, the whole scheduler, status, memory
    python -m benchmarks.scheduling --large

Each case runs in its own process with its own Ray, on as many workers as there are cores. Seconds
per stage are counted from the end of the first stage to that of the last, without the start of Ray
and the first workers, which is listed separately.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GRID = """\
study: pretended
encoder: pico/8@16
pretrain: {source: leaves, images: [0, 24], length: 3 steps, heldout_images: 16, recipe: {name: compact, batch_images: 8, precision: fp32}}
intermediate:
  {objective: [none, classification], source: leaves, images: 16, length: 2 steps, heldout_images: 16, recipe: {name: compact, batch_images: 8}}
finetune: {source: leaves, task: segmentation, images: [8, 16], length: 2 steps, test_images: 16, recipe: {name: compact, batch_images: 8}}
resources: {cpus: 1, gpus: 0}
"""
STAGES_A_SEED = 11
METRICS: dict[str, dict[str, float]] = {
    "pretrain": {"train_mim_loss": 1.0, "val_mim_loss": 1.0},
    "intermediate": {"train_loss": 1.0, "val_accuracy": 0.5},
    "finetune": {"train_loss": 1.0, "test_images": 16, "test_loss": 1.0, "pixel_accuracy": 0.5, "miou": 0.5, "miou_ucl": 0.5},
}


def pretend(work: Any, report: Any, stop: Any) -> dict[str, float]:
    """A stage that writes its result and does nothing else."""
    metrics = METRICS[work.spec["kind"]]
    folder = Path(work.folder) / "stages" / work.stage
    (folder / ".result").write_text(json.dumps({"id": work.stage, "kind": work.spec["kind"], "metrics": metrics}))
    os.replace(folder / ".result", folder / "result.json")
    return metrics


class Ends:
    """A watcher that records when each stage ended."""

    def __init__(self) -> None:
        self.moments_s: list[float] = []

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None: ...

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None: ...

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        assert reason is None, reason
        self.moments_s.append(time.monotonic())


def ours(stages: int, scratch: Path) -> dict[str, float]:
    """Plan, write and run this many pretended stages with our scheduler."""
    from scaling.cluster.ray_settings import apply_ray_settings

    apply_ray_settings()
    from scaling import Study, load_grid, make_plan, write_tables
    from scaling.cluster.machine import Machine
    from scaling.execution.context import RunContext
    from scaling.execution.tuner import ray_running, run_plan
    from scaling.study.table import TableWriter

    (scratch / "grid.yaml").write_text(GRID)
    study = Study(scratch / "study")
    took: dict[str, float] = {}
    started = time.monotonic()

    def lap(name: str) -> None:
        nonlocal started
        took[name] = time.monotonic() - started
        started = time.monotonic()

    grid = load_grid(scratch / "grid.yaml", [f"seeds={-(-stages // STAGES_A_SEED)}"])
    plan = make_plan(grid, scratch)
    lap("planning")
    study.write_plan(grid, plan)
    lap("writing plan and specs")
    ends = Ends()
    with ray_running():
        lap("starting Ray")
        before = memory_gb()
        queue = run_plan(
            RunContext(
                plan=plan,
                study=study,
                store=scratch,
                granted=Machine.here().grant(grid),
                watchers=[ends, TableWriter(plan, study)],
                work=pretend,
            )
        )
        took["first stage"] = ends.moments_s[0] - started
        lap("running all")
        assert queue.finished
        assert len(ends.moments_s) == len(plan.stages)
        took["memory above Ray's own, GB"] = memory_gb(peak=True) - before
    lap("stopping Ray")
    write_tables(study, plan)
    lap("writing tables")
    assert {state.state for state in study.states(plan).values()} == {"done"}
    lap("reading all states")
    subprocess.run([sys.executable, "-m", "scaling.status", str(study.folder)], check=True, stdout=subprocess.DEVNULL)
    lap("status, in a process of its own")
    took["stages"] = len(plan.stages)
    took["seconds a stage"] = (ends.moments_s[-1] - ends.moments_s[0]) / (len(ends.moments_s) - 1)
    return took


def plain_tune(trials: int, scratch: Path) -> dict[str, float]:
    """Run this many trials of plain Ray Tune, each of which only writes a result."""
    import ray
    from ray import tune

    from scaling.cluster.ray_token import protect_token

    protect_token(create=True)

    def train(config: dict[str, Any]) -> None:
        (scratch / f"{config['stage']}.json").write_text("{}")
        tune.report({"loss": 1.0})

    ray.init(address="local", num_cpus=len(os.sched_getaffinity(0)), log_to_driver=False, logging_level="ERROR")
    started = time.monotonic()
    tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={"stage": tune.grid_search(list(range(trials)))},
        run_config=tune.RunConfig(name="plain", storage_path=str(scratch / "tune"), verbose=0),
    ).fit()
    ray.shutdown()
    moments = sorted(path.stat().st_mtime for path in scratch.glob("*.json"))
    assert len(moments) == trials
    return {"stages": trials, "seconds a stage": (moments[-1] - moments[0]) / (trials - 1), "running all": time.monotonic() - started}


def memory_gb(*, peak: bool = False) -> float:
    """Memory of this process: now, or its peak."""
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024**3


def in_own_process(case: str, stages: int) -> dict[str, float]:
    """Run one case of this file in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.scheduling", "--case", case, "--stages", str(stages)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    values: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return values


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="What scheduling a stage costs.")
    parser.add_argument("--large", action="store_true", help="ten thousand stages")
    parser.add_argument("--stages", type=int, default=300)
    parser.add_argument("--trials", type=int, default=20, help="of plain Tune")
    parser.add_argument("--case", choices=["ours", "plain"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps((ours if options.case == "ours" else plain_tune)(options.stages, Path(scratch))))
        return
    mine = in_own_process("ours", 10_000 if options.large else options.stages)
    print("| what | value |\n|---|---|")
    for name, value in mine.items():
        print(f"| {name} | {value:,.0f} |" if name == "stages" else f"| {name} | {value:.4g} |")
    if not options.large:
        plain = in_own_process("plain", options.trials)
        ratio = plain["seconds a stage"] / mine["seconds a stage"]
        print(f"\nPlain Tune, {plain['stages']:.0f} trials: {plain['seconds a stage']:.3g} s a trial, {ratio:,.0f} times ours.")


if __name__ == "__main__":
    main()
