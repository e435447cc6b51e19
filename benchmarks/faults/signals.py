"""Processes that stand still, and a launch that a batch system asks to end."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from benchmarks.faults.damage import LONGEST_S
from benchmarks.faults.processes import workers
from benchmarks.faults.study import FaultReport, moment_s, new_study

STOPPED_S = 90.0


def stopped_workers(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Stop a worker (SIGSTOP) for 90 seconds and let it go on; nothing may be lost or run twice."""
    rng = random.Random(f"stopped {seed}")
    report = FaultReport(fault=f"worker stopped for {STOPPED_S:.0f} s")
    while report.injections < injections:
        study = new_study(data, scratch, report)
        process = study.start()
        if study.wait_until_training(process) and study.sleep(process, moment_s(rng, LONGEST_S)):
            running = workers(process.pid)
            if running:
                victim = rng.choice(running)
                os.kill(victim, signal.SIGSTOP)
                report.injections += 1
                study.sleep(process, STOPPED_S)
                os.kill(victim, signal.SIGCONT)
        study.end(process)
        study.settle(reference)
    return report


def terminated_launches(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Send SIGTERM alone: the launch ends with status 130, and its stages have checkpoints."""
    rng = random.Random(f"terminated {seed}")
    report = FaultReport(fault="SIGTERM alone")
    ended = 0
    while report.injections < injections:
        study = new_study(data, scratch, report)
        while not study.is_complete() and report.injections < injections:
            process = study.start()
            if study.wait_until_training(process) and study.sleep(process, moment_s(rng, LONGEST_S)):
                process.send_signal(signal.SIGTERM)
                report.injections += 1
                ended += study.end(process) == 130
            else:
                study.end(process)
        study.settle(reference)
    report.notes.append(f"{ended} ended with status 130")
    return report
