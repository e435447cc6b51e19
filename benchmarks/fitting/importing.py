"""How long `import analysis` takes in a fresh process, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from benchmarks.fitting.tables import Options, show, verdict

BARRED = ("torch", "ray", "scipy.optimize", "statsmodels", "altair")


def _seconds(module: str) -> tuple[float, str]:
    """Seconds of the import in a fresh process, and which barred modules it loaded."""
    loaded = f"*[m for m in {BARRED!r} if m in sys.modules]"
    code = f"import sys, time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start, {loaded})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return float(printed[0]), ", ".join(printed[1:]) or "none"


def run(options: Options) -> None:
    """Print both imports, paired."""
    pairs = [(_seconds("analysis"), _seconds("pandas")) for _ in range(options.count(8, 2))][1:]  # the first warms the disk cache
    ours, theirs = np.array([(one[0][0], one[1][0]) for one in pairs]).T
    loaded = pairs[0][0][1]
    rows = [["import analysis", float(np.median(ours)), loaded], ["import pandas", float(np.median(theirs)), pairs[0][1][1]]]
    show(["fresh process", "seconds, median", f"loaded of {', '.join(BARRED)}"], rows)
    print(f"\nmedian ratio of pairs: {float(np.median(ours / theirs)):.2f}")
    heavy = [one for one in ("torch", "ray") if one in loaded.split(", ")]
    verdict(f"of torch and ray it loads {', '.join(heavy) or 'neither'}", "neither", not heavy)
