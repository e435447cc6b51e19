"""The Chinchilla surface on Besiroglu et al.'s points: the optimum, its time, and bootstrap
standard errors.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import fit_surface
from benchmarks.fitting import rivals
from benchmarks.fitting.tables import Options, show, verdict

Array = np.ndarray
DELTA = 1e-3
GOOD_START = {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 400.0, "beta": 0.28}
REFERENCE = {240: 1018.2740, 245: 1826.0105}  # objective x 1e6
REFERENCE_ERRORS = {"A": 124.5, "B": 1293.0, "E": 0.0257, "alpha": 0.0154, "beta": 0.0206}
BOOTSTRAPS = 4000
SECONDS_BOOTSTRAP, SECONDS_DEFAULT = 20.0, 0.5
AGREE = 0.10  # of a standard error with the reference's, both by bootstrap


def read_points(options: Options) -> pd.DataFrame:
    """The 245 points, largest loss first, with their compute."""
    points = pd.read_csv(options.file("chinchilla_points.csv")).sort_values("loss", ascending=False, kind="stable").reset_index(drop=True)
    return points.assign(compute=6.0 * points.params * points.tokens)


def columns(points: pd.DataFrame) -> tuple[Array, Array]:
    """X of shape (n, 2) and y."""
    return points[["params", "tokens"]].to_numpy(), points["loss"].to_numpy()


def huber(residual: Array) -> float:
    """Sum of Huber's loss with delta 1e-3."""
    size = np.abs(residual)
    return float(np.sum(np.where(size <= DELTA, 0.5 * size**2, DELTA * (size - 0.5 * DELTA))))


def objective(params: rivals.Params, X: Array, y: Array) -> float:
    """That of the log residuals, the same for every tool."""
    fitted = rivals.surface(X.T, **params)
    return huber(np.log(fitted / y)) if np.all(fitted > 0) else float("inf")


def _timed(call: Callable[[], rivals.Params | None]) -> tuple[rivals.Params | None, float]:
    start = time.perf_counter()
    found = call()
    return found, time.perf_counter() - start


def _methods(X: Array, y: Array, values: int) -> dict[str, Callable[[], rivals.Params | None]]:
    ones = dict.fromkeys(GOOD_START, 1.0)

    def by_scipy(start: dict[str, float] | None) -> rivals.Params | None:
        found = rivals.curve_fit(rivals.surface, X.T, y, None if start is None else tuple(start.values()), rivals.CHINCHILLA_NAMES)
        return None if found is None else found[0]

    def by_lmfit(start: dict[str, float]) -> rivals.Params | None:
        try:
            return dict(rivals.lmfit_model(rivals.surface, X.T, y, start).best_values)  # type: ignore[attr-defined]
        except ValueError:  # where its search meets a number that is not finite
            return None

    methods: dict[str, Callable[[], rivals.Params | None]] = {
        "fit_surface(X, y)": lambda: fit_surface(X, y).params,
        "scipy curve_fit, p0 = 1": lambda: by_scipy(None),
        "scipy curve_fit, good start": lambda: by_scipy(GOOD_START),
    }
    if importlib.util.find_spec("lmfit"):
        methods["lmfit Model, from 1"] = lambda: by_lmfit(ones)
        methods["lmfit Model, good start"] = lambda: by_lmfit(GOOD_START)
        methods["lmfit Minimizer, BFGS on log-Huber x 1e6, good start"] = lambda: rivals.lmfit_scalar(X.T, y, GOOD_START, lambda r: 1e6 * huber(r))
    if importlib.util.find_spec("chinchilla") and values > 1:
        starts = f"{values**5} starts of its README's grid"
        methods[f"chinchilla 0.2.0, log-Huber 1e-3, {starts}"] = lambda: rivals.chinchilla_package(X[:, 0], X[:, 1], y, delta=DELTA, values=values)
        methods[f"chinchilla 0.2.0, its default loss, {starts}"] = lambda: rivals.chinchilla_package(X[:, 0], X[:, 1], y, delta=None, values=values)
    return methods


def _cold(options: Options) -> float:
    """Seconds of the first default call in a fresh process, after the imports."""
    code = (
        "import time, pandas as pd; from analysis import fit_surface\n"
        f"p = pd.read_csv({str(options.file('chinchilla_points.csv'))!r}).nsmallest(240, 'loss')\n"
        "X, y = p[['params', 'tokens']].to_numpy(), p['loss'].to_numpy()\n"
        "start = time.perf_counter(); fit_surface(X, y); print(time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    return float(done.stdout)


def run(options: Options) -> None:
    """Print both tables."""
    points = read_points(options)
    X, y = columns(points[5:])
    _timed(lambda: fit_surface(X, y).params)  # so that the table's times are warm
    ours: dict[int, float] = {}
    rows = []
    for kept in (points[5:],) if options.quick else (points[5:], points):
        X, y = columns(kept)
        for name, call in _methods(X, y, options.count(3, 1)).items():
            found, seconds = _timed(call)
            if found is None:
                rows.append([len(y), name, "gave up", *[""] * 5, seconds])
                continue
            value = 1e6 * objective(found, X, y)
            ours.setdefault(len(y), value)
            rows.append([len(y), name, f"{value:,.4f}", *(f"{found[one]:.5g}" for one in GOOD_START), seconds])
    show(["points", "tool", "objective x 1e6", *GOOD_START, "seconds"], rows)
    worst = max(ours[count] / REFERENCE[count] for count in ours)
    verdict(f"ours / reference objective at most {worst:.7f}", "at most 1.000001", worst <= 1.000001)

    X, y = columns(points[5:])
    warm = float(np.median([_timed(lambda: fit_surface(X, y).params)[1] for _ in range(options.count(5, 1))]))
    cold = float(np.median([_cold(options) for _ in range(options.count(3, 1))]))
    verdict(
        f"default call {warm:.2f} s warm, {cold:.2f} s as the first of a process", f"under {SECONDS_DEFAULT} s", max(warm, cold) < SECONDS_DEFAULT
    )
    samples = options.count(BOOTSTRAPS, 200)
    start = time.perf_counter()
    fitted = fit_surface(X, y, bootstrap=samples, seed=options.seed)
    seconds = time.perf_counter() - start
    errors = fitted.standard_errors()
    replicates = {name: np.array(values) for name, values in (fitted.replicates or {}).items()}
    size = replicates["beta"] / (replicates["alpha"] + replicates["beta"])
    best = fitted.params["beta"] / (fitted.params["alpha"] + fitted.params["beta"])
    table = [[name, fitted.params[name], errors[name], reference, errors[name] / reference] for name, reference in REFERENCE_ERRORS.items()]
    table.append(["exponent of the compute-optimal size", best, float(size.std(ddof=1)), 0.020, float(size.std(ddof=1)) / 0.020])
    show(["240 points", "value", f"standard error, {samples} bootstraps", "reference", "ratio"], table)
    off = max(abs(errors[name] / reference - 1.0) for name, reference in REFERENCE_ERRORS.items())
    verdict(f"standard errors within {off:.0%} of the reference", f"{AGREE:.0%}", off <= AGREE, judged=not options.quick)
    verdict(
        f"{samples} bootstraps in {seconds:.1f} s",
        f"{BOOTSTRAPS} in under {SECONDS_BOOTSTRAP:g} s",
        seconds < SECONDS_BOOTSTRAP,
        judged=not options.quick,
    )
