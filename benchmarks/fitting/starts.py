"""From how many random starts does a search reach the best optimum of the Chinchilla surface?"""

from __future__ import annotations

import numpy as np

from analysis import fit_surface
from benchmarks.fitting import rivals
from benchmarks.fitting.chinchilla import DELTA, columns, huber, read_points
from benchmarks.fitting.tables import Options, show, verdict

Array = np.ndarray
LOW, HIGH = 0.02, 2.0
CLOSE = 1e-4
SHARE = 1.0  # of ours


def _loss_of(name: str, residual: Array) -> float:
    return huber(residual) if name == "log_huber" else 0.5 * float(np.sum(residual**2))


def _residual(vector: Array, X: Array, y: Array) -> Array:
    """Log residuals at (E, ln A, alpha, ln B, beta), Hoffmann's parameters; finite wherever the
    search looks.
    """
    E, a, alpha, b, beta = vector
    with np.errstate(all="ignore"):
        fitted = E + np.exp(a - alpha * np.log(X[:, 0])) + np.exp(b - beta * np.log(X[:, 1]))
        return np.nan_to_num(np.log(np.maximum(fitted, 1e-12) / y), nan=1e6, posinf=1e6)


def _solved(alpha: float, beta: float, X: Array, y: Array) -> Array:
    """The same with E, A and B of least squares on relative errors, as our search begins; A and B
    held above zero for their logs.
    """
    from scipy.optimize import nnls

    size = np.exp(np.mean(np.log(X), axis=0))
    design = np.stack([np.ones(len(y)), (X[:, 0] / size[0]) ** -alpha, (X[:, 1] / size[1]) ** -beta], axis=1) / y[:, None]
    E, A, B = nnls(design, np.ones(len(y)))[0]
    return np.array([E, np.log(max(A, 1e-3)) + alpha * np.log(size[0]), alpha, np.log(max(B, 1e-3)) + beta * np.log(size[1]), beta])


def _by_scipy(kind: str, loss: str, begin: Array, X: Array, y: Array) -> float:
    from scipy import optimize

    with rivals.quietly():
        if kind == "BFGS":
            found = optimize.minimize(lambda v: _loss_of(loss, _residual(v, X, y)), begin, method="BFGS").x
        else:
            settings = {"loss": "huber", "f_scale": DELTA} if loss == "log_huber" else {}
            try:
                found = optimize.least_squares(_residual, begin, args=(X, y), **settings).x
            except ValueError:
                return float("inf")
        return _loss_of(loss, _residual(found, X, y))


def run(options: Options) -> None:
    """Print the share of starts at the best optimum by set and loss."""
    count = options.count(100, 3)
    points = read_points(options)
    kept = points[5:]
    sets = {"240 points": kept, "245 points": points, "compute < 1e21": kept[kept.compute < 1e21], "compute < 1e20": kept[kept.compute < 1e20]}
    if options.quick:
        sets = {"245 points": points}
    random = np.random.default_rng(options.seed)
    begins = np.exp(random.uniform(np.log(LOW), np.log(HIGH), size=(count, 2)))
    rows: list[list[object]] = []
    worst = 1.0
    default_best = True
    for loss in ("log_huber", "log_squared"):
        for name, chosen in sets.items():
            X, y = columns(chosen)
            ours = np.array([fit_surface(X, y, loss=loss, start={"alpha": a, "beta": b}, bootstrap=50).objective for a, b in begins])
            default = fit_surface(X, y, loss=loss, bootstrap=50).objective
            solved = [_solved(a, b, X, y) for a, b in begins]
            others = {kind: np.array([_by_scipy(kind, loss, begin, X, y) for begin in solved]) for kind in ("least_squares", "BFGS")}
            best = min(default, ours.min(), *(values.min() for values in others.values()))
            share = [float(np.mean(values <= best * (1.0 + CLOSE))) for values in (ours, *others.values())]
            worst = min(worst, share[0])
            default_best &= bool(default <= best * (1.0 + CLOSE))
            rows.append(
                [loss, name, len(y), f"{1e6 * best:,.4f}", "yes" if default <= best * (1.0 + CLOSE) else "no", *(f"{one:.0%}" for one in share)]
            )
    print(f"\n{count} starts, alpha and beta log-uniform on {LOW:g} to {HIGH:g}, the same for all; 'best' is the lowest any search found")
    headers = ["loss", "points", "n", "best x 1e6", "default call finds it", "ours", "scipy least_squares", "scipy BFGS"]
    show(headers, rows)
    verdict(f"at least {worst:.0%} of our random starts reach the best optimum", f"{SHARE:.0%}", worst >= SHARE, judged=not options.quick)
    verdict(f"the default call reaches it {'everywhere' if default_best else 'not everywhere'}", "everywhere", default_best)
