"""Does the default call return the exact parameters of noise-free points, for every law?"""

from __future__ import annotations

import itertools

import numpy as np

from analysis import LAWS, SURFACES, fit, fit_surface
from analysis.laws import Law
from benchmarks.fitting import rivals
from benchmarks.fitting.tables import Options, show, verdict

Array = np.ndarray
CLOSE = 1e-6
BENT = {"E": 0.4139, "A": 2.2773, "b": 0.05508, "c1": 5.6629, "d1": 612.58, "f1": 0.05919}
# none of the searched parameters lies on a grid that its search starts from
TRUTHS: dict[str, dict[str, float]] = {
    "power": {"E": 1.0, "A": 8.0, "b": 0.3},
    "power_no_floor": {"A": 8.0, "b": 0.3},
    "shifted_power": {"E": 0.3, "A": 20.0, "c": 200.0, "b": 0.5},
    "levelling_power": {"A": 8.0, "c": 2e4, "b": 0.3},
    "m4": {"E": 0.2, "A": 0.8, "c": 300.0, "b": 0.83, "a": 0.43},
    "broken_power": BENT,
    "broken_power_2": {"E": 0.2, "A": 3.0, "b": 0.2, "c1": 0.4, "d1": 100.0, "f1": 0.2, "c2": -0.3, "d2": 5e3, "f2": 0.3},
    "broken_power_3": {
        "E": 0.2,
        "A": 3.0,
        "b": 0.2,
        "c1": 0.4,
        "d1": 60.0,
        "f1": 0.2,
        "c2": -0.3,
        "d2": 1e3,
        "f2": 0.2,
        "c3": 0.5,
        "d3": 2e4,
        "f3": 0.2,
    },
    "falling_broken_power": {"E": 0.2, "A": 3.0, "b": 0.2, "g": 0.7, "d": 700.0, "f": 0.3},
    "exponential": {"E": 0.3, "A": 0.6, "c": 3000.0},
    "logarithmic": {"A": 0.2, "B": 0.05},
    "mmf": {"E": 0.2, "A": 0.7, "c": 500.0, "b": 0.9},
    "weibull": {"E": 0.2, "A": 0.7, "c": 800.0, "b": 0.6},
    "generalised_logistic": {"E": 0.2, "A": 0.8, "c": 300.0, "b": 1.5, "s": 0.4},
    "last_value": {"E": 0.7},
    "chinchilla": {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28},
    "shared_exponent": {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.31},
    "skaling": {"E": 1.2, "A": 31.0, "alpha": 0.27, "r": 2.3, "beta": 0.36, "k": 0.83},
    "data_constrained": {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28, "R": 7.3},
    "additive": {"E": 0.1, "A": 0.3, "c": 2300.0, "alpha": 0.26, "B": 1.5, "beta": 0.43},
    "multiplicative": {"E": 0.1, "A": 2.0, "c": 2300.0, "alpha": 0.26, "beta": 0.33},
    "effective_data": {"E": 0.1, "A": 3.0, "b": 0.43, "k": 0.57, "alpha": 0.52, "beta": 0.31},
}


def _inputs(law: Law) -> Array:
    """Where the law is measured: 60 x over four decades, or a grid of each input."""
    if law.inputs == ("x",):
        return np.geomspace(10.0, 1e5, 60)
    if law.inputs == ("P", "F"):
        axes = [(0.0, 500.0, 2e3, 8e3, 3e4, 1e5), np.geomspace(50.0, 5e3, 8)]
    elif law.inputs == ("N", "D"):
        axes = [np.geomspace(5e7, 1e10, 8), np.geomspace(1e9, 3e11, 8)]
    else:
        grid = itertools.product(np.geomspace(5e7, 1e10, 5), np.geomspace(1e9, 3e11, 5), (1.0, 4.0, 16.0, 60.0))
        return np.array([(model, seen, seen / repeats) for model, seen, repeats in grid])
    return np.array(list(itertools.product(*axes)))


def _error(found: dict[str, float] | None, truth: dict[str, float]) -> float:
    """Largest relative error of a parameter."""
    if found is None:
        return float("inf")
    return max(abs(found[name] / value - 1.0) if np.isfinite(found[name]) else float("inf") for name, value in truth.items())


def _summary(error: float) -> str:
    return f"{error:.1e}" if np.isfinite(error) else "gave up"


def run(options: Options) -> None:
    """Print the largest relative error by law."""
    rows: list[list[object]] = []
    failed = []
    for name, law in (LAWS | SURFACES).items():
        if name not in TRUTHS:
            rows.append([name, "no truth is listed for this law", "", "", ""])
            failed.append(name)
            continue
        truth, where = TRUTHS[name], _inputs(law)
        y = law(where, **truth)
        fitted = fit(where, y, law=name) if law.inputs == ("x",) else fit_surface(where, y, law=name)
        ours = _error(fitted.params, truth)
        far = float(np.max(np.abs(fitted._values(where) / y - 1.0)))

        def plain(x: Array, *values: float, law: Law = law) -> Array:
            with np.errstate(all="ignore"):
                return np.asarray(law.function(x, **dict(zip(law.names, values, strict=True))), dtype=float)

        by_scipy = rivals.curve_fit(plain, where, y, None, law.names)
        rows.append([name, _summary(ours), f"{far:.1e}", fitted.status, _summary(_error(by_scipy[0] if by_scipy else None, truth))])
        if not ours <= CLOSE:
            failed.append(name)
    show(["law", "ours: largest error of a parameter", "ours: largest error of y", "status", "scipy curve_fit, p0 = 1"], rows)
    summary = f"{len(rows) - len(failed)} of {len(rows)} laws recovered within {CLOSE:g}" + (f", not {', '.join(failed)}" if failed else "")
    verdict(summary, "all", not failed)
