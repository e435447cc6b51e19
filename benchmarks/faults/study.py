"""The study into which faults are injected, its launches, and the report of what was lost."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

GRID = """\
study: faults
encoder: pico/8@16
pretrain:
  source: leaves
  images: [0, 64]
  length: 240 steps
  heldout_images: 64
  recipe: {name: compact, batch_images: 16, precision: fp32}
intermediate:
  objective: [none, classification]
  source: leaves
  images: 64
  length: 160 steps
  heldout_images: 64
  recipe: {name: compact, batch_images: 16, precision: fp32}
finetune:
  source: leaves
  task: segmentation
  images: [16, 32]
  length: 160 steps
  test_images: 64
  recipe: {name: compact, batch_images: 16, precision: fp32}
seeds: 2
resources: {cpus: 1, gpus: 0}
"""


@dataclass
class StudySize:
    """How large the studies are: what `--set` changes in the grid, and how many stages that makes."""

    settings: tuple[str, ...] = ()
    stages: int = 22


SIZE = StudySize()
CHECKPOINT_S = 0.3  # stages take seconds: kills fall before, during and after the writing of checkpoints
LAUNCH = f"import sys; from scaling.launch import main; sys.exit(main(sys.argv[1:], checkpoint_s={CHECKPOINT_S}))"
LIMIT_S = 1800.0
MOST_LAUNCHES = 100  # of one study; kills of the driver need one each
# Ray notices a dead raylet, which refuses connections, after 3 s instead of 14 s; a slow one still
# has 10 s for each answer.
# The dashboard is most of what has to start.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "RAY_health_check_period_ms": "500", "SCALING_RAY_DASHBOARD": "0", "RAY_worker_niceness": "0"}


@dataclass(kw_only=True)
class FaultReport:
    """What one kind of fault did, over all its injections."""

    fault: str
    injections: int = 0
    launches: int = 0
    studies: int = 0
    lost: int = 0
    """Stages without a result after the last launch."""
    twice: int = 0
    """Stages that were done and ran again."""
    tables_equal: bool = True
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def row(self) -> str:
        """The line of the table."""
        equal = "yes" if self.tables_equal else "NO"
        cells = [
            self.fault,
            self.injections,
            self.studies,
            self.launches,
            self.lost,
            self.twice,
            equal,
            f"{self.seconds:,.0f}",
            "; ".join(self.notes),
        ]
        return "| " + " | ".join(str(cell) for cell in cells) + " |"


HEADER = "| fault | injections | studies | launches | stages lost | stages run twice | tables equal | seconds | notes |\n" + "|---" * 9 + "|"


class StudyUnderTest:
    """One study folder that is launched repeatedly until it is complete.

    At every check, each finished stage must still have the result file, by inode and time, that it
    had when it was first seen.
    """

    def __init__(self, data: Path, folder: Path, report: FaultReport, environment: dict[str, str] | None = None) -> None:
        self.data, self.folder, self.report = data, folder, report
        self.environment = os.environ | ENVIRONMENT | (environment or {})
        self.grid = folder.parent / f"{folder.name}.yaml"
        self.grid.write_text(GRID)
        self.launches = 0
        self.seen: dict[str, tuple[int, int]] = {}
        self.hidden: set[str] = set()
        """Stages whose result was truncated: their next result counts as the first."""
        self.twice: set[str] = set()
        self.log = folder.parent / f"{folder.name}.log"
        report.studies += 1

    def start(self) -> subprocess.Popen[bytes]:
        """Launch the grid."""
        self.report.launches += 1
        self.launches += 1
        assert self.launches <= MOST_LAUNCHES, f"it makes no progress: see {self.log}"
        settings = [word for setting in SIZE.settings for word in ("--set", setting)]
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(self.grid), "--data", str(self.data), "--out", str(self.folder), "--no-report", *settings],
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    def check_results(self) -> int:
        """Note which stages are done; returns how many."""
        for path in self.folder.glob("stages/*/result.json"):
            if path.parent.name in self.hidden:
                try:
                    json.loads(path.read_text())
                except ValueError:
                    continue
                self.hidden.discard(path.parent.name)
            status = path.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            if self.seen.setdefault(path.parent.name, stamp) != stamp:
                self.twice.add(path.parent.name)
                self.seen[path.parent.name] = stamp
        return len(self.seen)

    def work(self) -> dict[str, int]:
        """The size of what each stage has written, which grows while it trains."""
        sizes = {}
        for path in self.folder.glob("stages/*/metrics.jsonl"):
            try:
                sizes[path.parent.name] = path.stat().st_size
            except OSError:
                continue
        return sizes

    def wait_until_training(self, process: subprocess.Popen[bytes], since: dict[str, int] | None = None) -> bool:
        """Wait until a stage writes something new; False if the launch ended first."""
        before = self.work() if since is None else since
        deadline = time.monotonic() + LIMIT_S
        while process.poll() is None:
            assert time.monotonic() < deadline, f"nothing happened for {LIMIT_S:.0f} s: see {self.log}"
            if self.work() != before:
                return True
            self.check_results()
            time.sleep(0.02)
        return False

    def sleep(self, process: subprocess.Popen[bytes], seconds: float) -> bool:
        """Wait and check results; False if the launch ended first."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if process.poll() is not None:
                return False
            self.check_results()
            time.sleep(min(0.05, max(0.0, until - time.monotonic())))
        return process.poll() is None

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """Wait until the launch ends; returns its exit status."""
        deadline = time.monotonic() + LIMIT_S
        while process.poll() is None:
            assert time.monotonic() < deadline, f"the launch does not end: see {self.log}"
            self.check_results()
            time.sleep(0.05)
        self.check_results()
        return process.returncode

    def is_complete(self) -> bool:
        """Whether every stage is done."""
        return self.check_results() == SIZE.stages

    def settle(self, reference: bytes, *, launches: int = 5) -> None:
        """Launch until the study is complete, and add it to the report."""
        for _ in range(launches):
            if self.end(self.start()) == 0:
                break
        self.close(reference)

    def close(self, reference: bytes) -> None:
        """Compare with the study without faults."""
        self.report.lost += SIZE.stages - self.check_results()
        self.report.twice += len(self.twice)
        table = self.folder / "runs.csv"
        self.report.tables_equal &= table.exists() and table.read_bytes() == reference


def uninterrupted(data: Path, scratch: Path) -> bytes:
    """The runs table of a study without faults; the number of its stages is what others must have."""
    report = FaultReport(fault="none")
    study = StudyUnderTest(data, scratch / "whole", report)
    status = study.end(study.start())
    assert status == 0, study.log.read_text()[-3000:]
    SIZE.stages = study.check_results()
    return (study.folder / "runs.csv").read_bytes()


def new_study(data: Path, scratch: Path, report: FaultReport, environment: dict[str, str] | None = None) -> StudyUnderTest:
    """A new study."""
    return StudyUnderTest(data, Path(tempfile.mkdtemp(prefix=f"{report.fault.split()[0]}-", dir=scratch)) / "study", report, environment)


def moment_s(rng: random.Random, longest_s: float) -> float:
    """A random moment within this many seconds, mostly an early one, in whole milliseconds."""
    return round(rng.uniform(0.0, 1.0) ** 2 * longest_s, 3)
