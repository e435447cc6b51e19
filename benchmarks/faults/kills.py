"""kill -9 at random moments: of a worker, the driver, the raylet, the GCS, a whole node."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.processes import descendants, gcs_servers, is_worker, kill, kill_family, raylets, title, workers
from benchmarks.faults.study import FaultReport, StudyUnderTest, moment_s, new_study

LONGEST_S = 4.0  # the study trains for about 20 s on two cores
STARTING = 0.25  # share of the kills that may also happen before anything trains

Victim = Callable[[int], int | None]


def _one(pids: list[int], rng: random.Random) -> int | None:
    return rng.choice(pids) if pids else None


def kills(fault: str, injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Kill one kind of process this many times, in as many studies as needed."""
    rng = random.Random(f"{fault} {seed}")
    report = FaultReport(fault=fault)
    victim: Victim = {
        "worker": lambda pid: _one(workers(pid), rng),
        "driver": lambda pid: pid,
        "raylet": lambda pid: _one(raylets(pid), rng),
        "gcs": lambda pid: _one(gcs_servers(pid), rng),
    }[fault]
    while report.injections < injections:
        study = new_study(data, scratch, report)
        while not study.is_complete() and report.injections < injections:
            _inject(study, victim, injections, rng)
        study.settle(reference)
    return report


def _inject(study: StudyUnderTest, victim: Victim, injections: int, rng: random.Random) -> None:
    """Kill processes of one launch until it ends or the injections are used up."""
    process = study.start()
    written = study.work()
    while study.report.injections < injections:
        if rng.random() < STARTING:
            alive = study.sleep(process, rng.uniform(0.0, 2 * LONGEST_S))
        else:
            alive = study.wait_until_training(process, written) and study.sleep(process, moment_s(rng, LONGEST_S))
        if not alive:
            break
        written = study.work()
        pid = victim(process.pid)
        if pid is not None and kill(pid):
            study.report.injections += 1
            if pid == process.pid:
                break
        else:
            time.sleep(0.1)
    study.end(process)


def _worker_on(node: int, study: StudyUnderTest, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a worker has started on the node; False if the launch ended first."""
    while study.sleep(process, 0.1):
        if any(map(is_worker, descendants(node))):
            return True
    return False


def node_kills(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Repeatedly kill every process of the second of two nodes; each time a new one joins."""
    rng = random.Random(f"node {seed}")
    report = FaultReport(fault="node")
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.faults.cluster"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as cluster:
        assert cluster.stdin is not None
        assert cluster.stdout is not None

        def ask(what: str) -> str:
            print(what, file=cluster.stdin, flush=True)
            return answer()

        def answer() -> str:
            for line in cluster.stdout or ():
                if line.startswith("cluster:"):
                    return line.removeprefix("cluster:").strip()
            raise RuntimeError("the cluster ended")

        try:
            environment = {"RAY_ADDRESS": answer()}
            while report.injections < injections:
                study = new_study(data, scratch, report, environment)
                while not study.is_complete() and report.injections < injections:
                    process = study.start()
                    while report.injections < injections:
                        node = int(ask("node"))
                        if not title(node):  # on a busy machine a raylet may fail to start
                            ask("another")
                            continue
                        if not _worker_on(node, study, process) or not study.sleep(process, moment_s(rng, LONGEST_S)):
                            break
                        trained = any(map(is_worker, descendants(node)))
                        kill_family(node)
                        report.injections += 1
                        report.notes[:] = [f"{int((report.notes or ['0'])[0].split()[0]) + trained} of them with a worker on the node"]
                        study.sleep(process, 1.0)
                        ask("another")
                    study.end(process)
                study.settle(reference)
        finally:
            kill_family(cluster.pid)
    return report
