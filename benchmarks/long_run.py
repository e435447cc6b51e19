"""A long run in short: thousands of stages of milliseconds through the real scheduler and real Ray,
with memory, open files, logs and the time of a status printed as it goes on.

    python -m benchmarks.long_run                       10,000 stages
    python -m benchmarks.long_run --stages 2000 --every 500
    python -m benchmarks.long_run --without-ray         the launch's own part alone, in seconds

Each stage writes what a real one does (log, metrics, result), waits a few milliseconds, and trains
nothing. Memory is the resident set, files are open file descriptors, Ray's logs are its session
folder.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.faults.processes import descendants, title
from benchmarks.scheduling import GRID, METRICS, STAGES_A_SEED

STAGE_S = 0.005
COLUMNS = (
    *("stages done", "driver, MB", "driver's files", "largest worker, MB", "its files", "GCS, MB", "raylet, MB"),
    *("Ray's logs, MB", "files of the study", "status, s", "its CPU, s"),
)
HEADER = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def short_stage(work: Any, report: Any, stop: Any) -> dict[str, float]:
    """A stage that writes what a real one writes, and trains nothing."""
    from trials.stage import Log
    from trials.stage_files import write_json

    metrics = METRICS[work.spec["kind"]]
    folder = Path(work.folder) / "stages" / work.stage
    Log(folder / "log.txt")("began from step 0")
    with open(folder / "metrics.jsonl", "w") as handle:
        for step in range(1, 4):
            handle.write(json.dumps({"step": step, "image_passes": 8 * step, "images_per_s": 1000.0, "train_loss": 1.0}) + "\n")
    report({"step": 3, "steps": 3, "images_per_s": 1000.0})
    time.sleep(STAGE_S)
    write_json(folder / "result.json", {"id": work.stage, "kind": work.spec["kind"], "metrics": metrics})
    return metrics


class Samples:
    """A watcher that prints a row of what processes hold, every so many stages."""

    def __init__(self, folder: Path, every: int) -> None:
        self._folder, self._every, self.ended = folder, every, 0
        self.failed: list[str] = []

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None: ...

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None: ...

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        self.ended += 1
        if reason is not None:
            self.failed.append(reason)
        if self.ended % self._every == 0 or self.ended == 1:
            print(self.row(), flush=True)

    def row(self) -> str:
        """What is held now."""
        from scaling.study.stage_state import stage_states

        family = descendants(os.getpid())
        workers = [pid for pid in family if title(pid).startswith("ray::") and not any(part in title(pid) for part in ("Agent", "IDLE"))]
        largest = max(workers, key=_mb, default=0)
        own = {name: next((pid for pid in family if title(pid).split(" ")[0].endswith(name)), 0) for name in ("gcs_server", "/raylet")}
        began_s, began_cpu_s = time.monotonic(), time.thread_time()
        stage_states(self._folder)
        status_s, status_cpu_s = time.monotonic() - began_s, time.thread_time() - began_cpu_s
        files = sum(len(names) for _, _, names in os.walk(self._folder))
        memory = [_mb(os.getpid()), _files(os.getpid()), _mb(largest), _files(largest), _mb(own["gcs_server"]), _mb(own["/raylet"])]
        cells = [
            f"{self.ended:,}",
            *(f"{value:,.0f}" for value in memory),
            f"{_logs_mb():,.1f}",
            f"{files:,}",
            f"{status_s:.2f}",
            f"{status_cpu_s:.2f}",
        ]
        return "| " + " | ".join(cells) + " |"


def _mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024**2
    except (OSError, IndexError):
        return 0.0


def _files(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _logs_mb() -> float:
    import ray

    session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
    found = 0
    for place, _, names in os.walk(session):
        for name in names:
            try:
                found += (Path(place) / name).lstat().st_size
            except OSError:
                continue
    return found / 1024**2


def run(stages: int, every: int, scratch: Path) -> int:
    """Run this many stages; returns how many failed."""
    from scaling.cluster.ray_settings import apply_ray_settings

    apply_ray_settings()
    from scaling import Study, load_grid, make_plan
    from scaling.cluster.machine import Machine
    from scaling.execution.context import RunContext
    from scaling.execution.tuner import ray_running, run_plan
    from scaling.study.table import TableWriter

    (scratch / "grid.yaml").write_text(GRID)
    study = Study(scratch / "study")
    grid = load_grid(scratch / "grid.yaml", [f"seeds={-(-stages // STAGES_A_SEED)}"])
    plan = make_plan(grid, scratch)
    with study.locked():
        study.write_plan(grid, plan)
        samples = Samples(study.folder, every)
        print(HEADER, flush=True)
        began_s = time.monotonic()
        with ray_running():
            granted = Machine.here().grant(grid)
            watchers = [samples, TableWriter(plan, study)]
            queue = run_plan(RunContext(plan=plan, study=study, store=scratch, granted=granted, watchers=watchers, work=short_stage))
            print(samples.row())
    print(f"\n{samples.ended:,} of {len(plan.stages):,} stages in {time.monotonic() - began_s:,.0f} s; {len(queue.failed)} failed")
    return len(queue.failed) + len(plan.stages) - samples.ended


def without_ray(stages: int, every: int, scratch: Path) -> int:
    """The queue, the pool of two workers and the table writer, with workers that answer at once;
    prints their memory (anonymous and swapped) and Python's memory blocks.
    """
    from scaling import Study, load_grid, make_plan
    from scaling.cluster.capacity import Cluster, Shape
    from scaling.cluster.machine import Machine
    from scaling.execution.attempts import Outcome
    from scaling.execution.context import RunContext
    from scaling.execution.ready_queue import ReadyQueue
    from scaling.execution.searcher import WorkerPool
    from scaling.execution.worker import Assignment, WorkerReport
    from scaling.study.table import TableWriter

    (scratch / "grid.yaml").write_text(GRID)
    grid = load_grid(scratch / "grid.yaml", [f"seeds={-(-stages // STAGES_A_SEED)}"])
    plan, study = make_plan(grid, scratch), Study(scratch / "study")
    study.write_plan(grid, plan)
    context = RunContext(plan=plan, study=study, store=scratch, granted=Machine.here().grant(grid))
    queue = ReadyQueue(plan, study, context.shape)
    pool = WorkerPool(queue, context.assignment, lambda: Cluster({"here": Shape(2, 0)}), [TableWriter(plan, study)])
    assigned: dict[str, str | None] = {}
    shown = -1
    print("| stages done | memory, MB | Python's blocks |\n|---|---|---|", flush=True)
    while not queue.finished:
        shape = pool.next_shape()
        if shape is not None:
            pool.opened(f"worker {len(assigned)}", shape)
            assigned[f"worker {len(assigned)}"] = None
        for worker, stage in list(assigned.items()):
            report = WorkerReport(stage=None, node="here")
            if stage is not None:
                kind = plan.stages[stage].spec.kind
                (study.stage_folder(stage) / "result.json").write_text(json.dumps({"id": stage, "kind": kind, "metrics": METRICS[kind]}))
                report = WorkerReport(stage=stage, values=METRICS[kind], outcome=Outcome(done=True), node="here")
            answer = pool.reported(worker, report)
            assigned[worker] = answer.stage if isinstance(answer, Assignment) else None
            if answer == "close":
                pool.closed(worker)
                del assigned[worker]
        if queue.ended_count // every > shown:
            shown = queue.ended_count // every
            gc.collect()
            print(f"| {queue.ended_count:,} | {_anonymous_mb():,.1f} | {sys.getallocatedblocks():,} |", flush=True)
    return len(plan.stages) - queue.ended_count


def _anonymous_mb() -> float:
    """Memory of this process that is no file, in the machine or swapped out."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(words[1]) for words in lines if words[0] in ("RssAnon:", "VmSwap:")) / 1024


def main() -> int:
    """Print a table; the exit status is 0 if every stage is done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_run", description="Thousands of short stages: memory, files, logs, status.")
    parser.add_argument("--stages", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=1000, help="stages between two rows")
    parser.add_argument("--without-ray", action="store_true", help="the launch's own part alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return int((without_ray if options.without_ray else run)(options.stages, options.every, Path(scratch)) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
