"""How many images a second do two cores train, shared by two stages or given to one?

A launch gives a stage one core unless its grid says otherwise (`resources: {cpus: 2}`). Both ways
train in turns, in processes that stay, so that other work on the machine weighs on both alike.

python -m benchmarks.cpu_shares                                         about two minutes on two cores
python -m benchmarks.cpu_shares --encoder pico/8@32 --precision bf16
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection

from benchmarks.cpu_step import training_run
from benchmarks.fitting.tables import show

WAYS = {"two stages, a core each": (1, 1), "one stage, two cores": (2,)}


def train_when_told(orders: Connection, encoder: str, batch: int, precision: str, threads: int) -> None:
    """Train for as many seconds as each order says and answer with the images a second; an order of
    None ends it.
    """
    with training_run(encoder, batch=batch, precision=precision, threads=threads) as run:
        step = 0
        for _ in range(2):
            run.update(step := step + 1, 1e-4)
        orders.send("ready")
        while (seconds := orders.recv()) is not None:
            started, first = time.perf_counter(), step
            while time.perf_counter() - started < seconds:
                run.update(step := step + 1, 1e-4)
            orders.send((step - first) * batch / (time.perf_counter() - started))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_shares", description="Two stages on a core each, and one on two.")
    parser.add_argument("--encoder", default="viny/16@128")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args(arguments)
    context = multiprocessing.get_context("spawn")
    workers: dict[str, list[Connection]] = {way: [] for way in WAYS}
    processes = []
    for way, shares in WAYS.items():
        for threads in shares:
            here, there = context.Pipe()
            process = context.Process(target=train_when_told, args=(there, options.encoder, options.batch, options.precision, threads), daemon=True)
            process.start()
            there.close()  # else a worker that dies would leave this process waiting
            processes.append(process)
            workers[way].append(here)
    for waiting in workers.values():
        for orders in waiting:
            orders.recv()
    speeds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way, waiting in workers.items():
            for orders in waiting:
                orders.send(options.seconds)
            speeds[way].append(sum(orders.recv() for orders in waiting))
    for waiting in workers.values():
        for orders in waiting:
            orders.send(None)
    for process in processes:
        process.join()
    shared, whole = speeds.values()
    ratios = [one / other for one, other in zip(shared, whole, strict=True)]
    print(f"{options.encoder}, batches of {options.batch}, {options.precision}, {options.rounds} rounds of {options.seconds:.0f} s each")
    show(
        ["cores", "images/s in all, median", "least", "most"],
        [[way, *(f"{f(found):.0f}" for f in (statistics.median, min, max))] for way, found in speeds.items()],
    )
    print(f"\na core each / both for one: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
