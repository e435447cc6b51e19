"""How long does `--help` of each command take, beside Python's own start?

    python -m benchmarks.help

Each command and `python -c pass` are started in turns, and the ratio is of their medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from scaling.command_line import COMMANDS

TURNS = 5
START = [sys.executable, "-c", "pass"]


def seconds(command: list[str]) -> float:
    """Wall time of a process."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    """Prints one row a command."""
    print("| command | --help, s | python -c pass, s | ratio |\n|---|---|---|---|")
    for name in COMMANDS:
        pairs = [(seconds([sys.executable, "-m", "scaling.command_line", name, "--help"]), seconds(START)) for _ in range(TURNS)]
        ours, start = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {name} | {ours:.2f} | {start:.2f} | {ours / start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
