"""kill -9 at random moments: a worker, the driver, the raylet, Ray's control store, a whole node."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.processes import control_stores, descendants, is_worker, kill, kill_family, raylets, title, workers
from benchmarks.faults.study import Account, Hurt, fresh, moment_s

LONGEST_S = 4.0  # a study of 22 stages trains for about 20 s on two cores
STARTING = 0.25  # share of the kills that may also fall into the seconds before anything trains

Victim = Callable[[int], int | None]


def _one(pids: list[int], rng: random.Random) -> int | None:
    return rng.choice(pids) if pids else None


def kills(fault: str, injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> Account:
    """Kill one kind of process that often, over as many studies as it takes."""
    rng = random.Random(f"{fault} {seed}")
    account = Account(fault=fault)
    victim: Victim = {
        "worker": lambda pid: _one(workers(pid), rng),
        "driver": lambda pid: pid,
        "raylet": lambda pid: _one(raylets(pid), rng),
        "gcs": lambda pid: _one(control_stores(pid), rng),
    }[fault]
    while account.injections < injections:
        study = fresh(data, scratch, account)
        while not study.is_whole() and account.injections < injections:
            _hurt(study, victim, injections, rng)
        study.settle(reference)
    return account


def _hurt(study: Hurt, victim: Victim, injections: int, rng: random.Random) -> None:
    """One launch, hit until it ends or the injections are used up."""
    process = study.start()
    written = study.work()
    while study.account.injections < injections:
        if rng.random() < STARTING:
            alive = study.sleep(process, rng.uniform(0.0, 2 * LONGEST_S))
        else:
            alive = study.wait_until_training(process, written) and study.sleep(process, moment_s(rng, LONGEST_S))
        if not alive:
            break
        written = study.work()
        pid = victim(process.pid)
        if pid is not None and kill(pid):
            study.account.injections += 1
            if pid == process.pid:
                break
        else:
            time.sleep(0.1)
    study.end(process)


def _worker_on(node: int, study: Hurt, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a worker has begun on the node; False if the launch ended first."""
    while study.sleep(process, 0.1):
        if any(map(is_worker, descendants(node))):
            return True
    return False


def node_kills(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> Account:
    """Kill every process of the second of two nodes, over and over; it comes back each time, as a
    machine of a cluster does.
    """
    rng = random.Random(f"node {seed}")
    account = Account(fault="node")
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
            while account.injections < injections:
                study = fresh(data, scratch, account, environment)
                while not study.is_whole() and account.injections < injections:
                    process = study.start()
                    while account.injections < injections:
                        node = int(ask("node"))
                        if not title(node):  # on a crowded machine a raylet may not survive its own start
                            ask("another")
                            continue
                        if not _worker_on(node, study, process) or not study.sleep(process, moment_s(rng, LONGEST_S)):
                            break
                        trained = any(map(is_worker, descendants(node)))
                        kill_family(node)
                        account.injections += 1
                        account.notes[:] = [f"{int((account.notes or ['0'])[0].split()[0]) + trained} of them with a worker on the node"]
                        study.sleep(process, 1.0)
                        ask("another")
                    study.end(process)
                study.settle(reference)
        finally:
            kill_family(cluster.pid)
    return account
